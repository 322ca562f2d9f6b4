package kmstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lethe-es/lethe/event"
)

// Vault is a server that answers like HashiCorp Vault and OpenBao, as far as Lethe uses them: the transit engine,
// AppRole logins, tokens with policies. What it does is taken from api-docs/secret/transit, api-docs/auth/approle,
// api-docs/auth/token and api-docs (status codes) of both. It encrypts for real and keeps everything in memory.
type Vault struct {
	Clock   event.Clock // the machine's, unless a test sets another before use
	Classic bool        // answers writes with 204, as older versions do

	mu       sync.Mutex
	mounts   map[string]*vaultMount
	tokens   map[string]*vaultToken
	roles    map[string]*vaultRole // by role id
	disturb  func(http.ResponseWriter, *http.Request) bool
	requests []string
}

// vaultMount is an engine at a path; keys of a transit engine, values of a kv engine.
type vaultMount struct {
	engine string
	keys   map[string]*vaultKey
	values map[string]json.RawMessage
}

type vaultToken struct {
	rules []vaultRule
	root  bool
	ttl   time.Duration // 0: for ever
	end   time.Time
}

type vaultRule struct {
	path   string
	rights []string
}

type vaultRole struct {
	secret string
	uses   int // left; below 0: without end
	rules  []vaultRule
	ttl    time.Duration
}

// NewVault makes a server that is unsealed and has a transit engine at "transit".
func NewVault() *Vault {
	v := &Vault{
		Clock: event.SystemClock{}, mounts: map[string]*vaultMount{}, tokens: map[string]*vaultToken{},
		roles: map[string]*vaultRole{},
	}
	v.Mount("transit", "transit")
	return v
}

// Mount puts an engine, "transit" or "kv", at a path.
func (v *Vault) Mount(path, engine string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mounts[path] = &vaultMount{engine: engine, keys: map[string]*vaultKey{}, values: map[string]json.RawMessage{}}
}

// RootToken gives a token that may do everything.
func (v *Vault) RootToken() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.issue(&vaultToken{root: true})
}

// Token gives a token with the rights of a policy in HCL. A ttl of 0 is for ever.
func (v *Vault) Token(policy string, ttl time.Duration) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.issue(&vaultToken{rules: parsePolicy(policy), ttl: ttl})
}

func (v *Vault) issue(t *vaultToken) string {
	if t.ttl > 0 {
		t.end = v.Clock.Now().Add(t.ttl)
	}
	text := "hvs." + strings.ReplaceAll(uuid.NewString(), "-", "")
	v.tokens[text] = t
	return text
}

// Revoke ends a token.
func (v *Vault) Revoke(token string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.tokens, token)
}

// RevokeAll ends every token.
func (v *Vault) RevokeAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.tokens)
}

// Role makes an AppRole whose logins have the rights of a policy. uses is how often its secret id is good; below 0,
// always.
func (v *Vault) Role(policy string, ttl time.Duration, uses int) (roleID, secretID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	roleID, secretID = uuid.NewString(), uuid.NewString()
	v.roles[roleID] = &vaultRole{secret: secretID, uses: uses, rules: parsePolicy(policy), ttl: ttl}
	return roleID, secretID
}

// Disturb lets a function answer requests before the server does; it returns false for those it leaves alone. nil ends
// it. The function may block.
func (v *Vault) Disturb(f func(http.ResponseWriter, *http.Request) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.disturb = f
}

// Requests are the requests so far, such as "POST /v1/transit/encrypt/root".
func (v *Vault) Requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.requests)
}

// ServeHTTP answers.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.requests = append(v.requests, r.Method+" "+r.URL.Path)
	disturb := v.disturb
	v.mu.Unlock()
	if disturb != nil && disturb(w, r) {
		return
	}
	var body map[string]json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&body); err != nil && r.ContentLength > 0 {
		VaultErrors(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok {
		VaultErrors(w, http.StatusNotFound)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer(w, vaultCall{r.Method, path, r.Header.Get("X-Vault-Token"), body})
}

// vaultCall is a request, taken apart.
type vaultCall struct {
	method, path, token string
	body                map[string]json.RawMessage
}

// text is a parameter that is a text.
func (c vaultCall) text(name string) string {
	var s string
	_ = json.Unmarshal(c.body[name], &s)
	return s
}

// truth is a parameter that is a truth value.
func (c vaultCall) truth(name string) bool { return string(c.body[name]) == "true" }

func (v *Vault) answer(w http.ResponseWriter, c vaultCall) {
	if c.path == "auth/approle/login" {
		v.login(w, c)
		return
	}
	token := v.tokens[c.token]
	if token == nil || !token.end.IsZero() && !v.Clock.Now().Before(token.end) {
		VaultErrors(w, http.StatusForbidden, "permission denied", "invalid token")
		return
	}
	if c.path == "auth/token/renew-self" {
		token.end = v.Clock.Now().Add(token.ttl)
		vaultAuth(w, c.token, token)
		return
	}
	mount, rest := v.route(c.path)
	if mount == nil {
		VaultErrors(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", c.path))
		return
	}
	right := map[string]string{"GET": "read", "POST": "update", "PUT": "update", "DELETE": "delete"}[c.method]
	if kind, name, _ := strings.Cut(rest, "/"); kind == "encrypt" && mount.keys[name] == nil {
		right = "create" // of paths with an existence check
	}
	if !token.may(right, c.path) {
		VaultErrors(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	if mount.engine == "kv" {
		mount.kv(w, c, rest)
		return
	}
	v.transit(w, c, mount, rest)
}

func (v *Vault) route(path string) (*vaultMount, string) {
	for at, mount := range v.mounts {
		if rest, ok := strings.CutPrefix(path, at+"/"); ok {
			return mount, rest
		}
	}
	return nil, ""
}

// login is that of auth/approle.
func (v *Vault) login(w http.ResponseWriter, c vaultCall) {
	role := v.roles[c.text("role_id")]
	if role == nil || role.secret != c.text("secret_id") || role.uses == 0 {
		VaultErrors(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	role.uses--
	token := &vaultToken{rules: role.rules, ttl: role.ttl}
	vaultAuth(w, v.issue(token), token)
}

func vaultAuth(w http.ResponseWriter, text string, t *vaultToken) {
	vaultWrite(w, http.StatusOK, map[string]any{"auth": map[string]any{
		"client_token": text, "lease_duration": int64(t.ttl / time.Second), "renewable": true, "policies": []string{"lethe"},
	}})
}

// kv keeps what it is given, as the first version of that engine does: a mount that is not the one Lethe wants.
func (m *vaultMount) kv(w http.ResponseWriter, c vaultCall, path string) {
	switch c.method {
	case http.MethodGet:
		if m.values[path] == nil {
			VaultErrors(w, http.StatusNotFound)
			return
		}
		vaultWrite(w, http.StatusOK, map[string]any{"data": m.values[path]})
	case http.MethodDelete:
		delete(m.values, path)
		w.WriteHeader(http.StatusNoContent)
	default:
		text, err := json.Marshal(c.body)
		if err != nil {
			VaultErrors(w, http.StatusBadRequest, "no data")
			return
		}
		m.values[path] = text
		w.WriteHeader(http.StatusNoContent)
	}
}

// VaultErrors answers as Vault does when something is wrong.
func VaultErrors(w http.ResponseWriter, status int, errors ...string) {
	if errors == nil {
		errors = []string{}
	}
	vaultWrite(w, status, map[string]any{"errors": errors})
}

func vaultWrite(w http.ResponseWriter, status int, fields map[string]any) {
	if status < 300 {
		fields["request_id"] = uuid.NewString()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(fields)
}

var policyRule = regexp.MustCompile(`path\s+"([^"]+)"\s*\{[^}]*capabilities\s*=\s*\[([^\]]*)\]`)

// parsePolicy reads paths and capabilities of a policy; comments and the rest are left out.
func parsePolicy(text string) []vaultRule {
	text = regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(text, "")
	var rules []vaultRule
	for _, found := range policyRule.FindAllStringSubmatch(text, -1) {
		rule := vaultRule{path: found[1]}
		for right := range strings.SplitSeq(found[2], ",") {
			rule.rights = append(rule.rights, strings.Trim(right, " \t\n\""))
		}
		rules = append(rules, rule)
	}
	return rules
}

// may decides by the rule that fits most closely: an exact path before a pattern, a longer pattern before a shorter;
// the rights of rules for the same path add up.
func (t *vaultToken) may(right, path string) bool {
	if t.root {
		return true
	}
	best, allowed := -1, false
	for _, rule := range t.rules {
		weight := len(rule.path)
		switch glob := strings.HasSuffix(rule.path, "*"); {
		case rule.path == path:
			weight += 1 << 20
		case glob && strings.HasPrefix(path, strings.TrimSuffix(rule.path, "*")):
		case strings.Contains(rule.path, "+") && segments(rule.path, path):
		default:
			continue
		}
		if weight > best {
			best, allowed = weight, false
		}
		allowed = allowed || weight == best && slices.Contains(rule.rights, right)
	}
	return allowed
}

// segments compares with "+" for any one segment.
func segments(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, have, func(p, s string) bool { return p == "+" || p == s })
}
