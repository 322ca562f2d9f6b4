package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

func decodeError(t testing.TB, value string) *lethev1.Error {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	m := &lethev1.Error{}
	if err == nil {
		err = proto.Unmarshal(raw, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// subject is a procedure and how to call it.
type subject struct {
	path   string
	needs  lethev1.Permission
	stream bool
	get    bool
	whole  bool // it is about all kinds of streams
}

const (
	whoami    = "/lethe.v1.StoreService/Whoami"
	anyone    = lethev1.Permission(100) // any valid token
	eventFeed = "/v1/events"
)

// subjects are all methods of the descriptors. One that names no permission fails the test.
func subjects(t *testing.T) (list []subject) {
	for _, file := range []protoreflect.FileDescriptor{
		lethev1.File_lethe_v1_log_proto, lethev1.File_lethe_v1_store_proto, lethev1.File_lethe_v1_stream_proto,
		lethev1.File_lethe_v1_follower_proto, lethev1.File_lethe_v1_token_proto, lethev1.File_lethe_v1_schema_proto,
		lethev1.File_lethe_v1_policy_proto, lethev1.File_lethe_v1_subject_proto, lethev1.File_lethe_v1_key_proto,
	} {
		whole := slices.Contains([]string{"schema", "policy", "subject", "key"},
			strings.TrimSuffix(path.Base(file.Path()), ".proto"))
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				needs, _ := proto.GetExtension(m.Options(), lethev1.E_Needs).(lethev1.Permission)
				if needs == lethev1.Permission_PERMISSION_UNSPECIFIED {
					t.Errorf("%s names no permission", m.FullName())
				}
				name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
				if needs == lethev1.Permission_PERMISSION_ANY {
					needs = anyone
				}
				list = append(list, subject{path: name, needs: needs, stream: m.IsStreamingServer(), whole: whole})
			}
		}
	}
	if len(list) < 39 {
		t.Fatalf("only %d methods were found", len(list))
	}
	return append(list, subject{path: eventFeed, needs: lethev1.Permission_PERMISSION_READ, get: true},
		subject{path: eventFeed, needs: lethev1.Permission_PERMISSION_READ})
}

// firstWrite ends a call at its first written message.
type firstWrite struct {
	*httptest.ResponseRecorder
	end func()
}

func (w firstWrite) Write(b []byte) (int, error) {
	n, err := w.ResponseRecorder.Write(b)
	if w.Body.Len() > 5 {
		w.end()
	}
	return n, err
}

// call gives the code of the error with which a call is refused, "" if a method ran, and the answer's bytes.
func (w *world) call(t *testing.T, s subject, headers map[string]string) (string, []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := []byte("{}")
	method, contentType := http.MethodPost, "application/json"
	switch {
	case s.get:
		method, body = http.MethodGet, nil
	case s.stream:
		contentType = "application/connect+json"
		body = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	}
	r := httptest.NewRequestWithContext(ctx, method, "http://localhost"+s.path, bytes.NewReader(body))
	if !s.get {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer := firstWrite{httptest.NewRecorder(), cancel}
	w.server.Handler().ServeHTTP(answer, r)
	text := answer.Body.Bytes()
	if s.stream {
		if len(text) < 5 {
			t.Fatalf("%s answers %q", s.path, text)
		}
		if text[0]&2 == 0 { // not the end: a message
			return "", text
		}
		var end struct{ Error json.RawMessage }
		if err := json.Unmarshal(text[5:], &end); err != nil {
			t.Fatal(err)
		}
		text = end.Error
	} else if answer.Code == http.StatusOK {
		return "", text
	}
	m := told(t, text)
	if challenge := answer.Header().Get("WWW-Authenticate"); !s.stream &&
		(answer.Code == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("%s answers %d with challenge %q", s.path, answer.Code, challenge)
	}
	switch m.GetKind() {
	case "invalid", "not_found", "unsupported":
		if !slices.Contains([]string{"store_missing", "store_unknown", "procedure_unknown"}, m.GetCode()) {
			return "", text // a method found the empty request wanting
		}
	}
	return m.GetCode(), text
}

// bearing is a token and what the model knows of it.
type bearing struct {
	name   string
	text   string
	fault  string // code; "": it is good in loans
	scope  token.Scope
	tenant string
}

func (w *world) bearings(t *testing.T) []bearing {
	grant := func(s token.Scope, expires time.Time) token.Secret {
		return w.mint(t, token.Grant{Scope: s, Expires: expires})
	}
	all := token.Scope{Read: true, Append: true, Admin: true, Open: true}
	kinds := token.Scope{Read: true, Append: true, Open: true, Kinds: []string{"application"}}
	expired := grant(all, w.clock.Now().Add(time.Minute))
	revoked := grant(all, time.Time{})
	if _, err := w.engine.RevokeToken(t.Context(), revoked.ID(), w.clock.Now().UnixMicro()); err != nil {
		t.Fatal(err)
	}
	unknown, err := token.Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	list := []bearing{
		{name: "none", fault: "token_missing"},
		{name: "malformed", text: "lethe_nonsense", fault: "token_malformed"},
		{name: "unknown", text: unknown.Reveal(), fault: "token_unknown"},
		{name: "expired", text: expired.Reveal(), fault: "token_expired"},
		{name: "revoked", text: revoked.Reveal(), fault: "token_revoked"},
	}
	for name, scope := range map[string]token.Scope{
		"read": {Read: true}, "append": {Append: true}, "admin": {Admin: true}, "open": {Open: true}, "all": all,
		"kinds": kinds,
	} {
		list = append(list, bearing{name: name, text: grant(scope, time.Time{}).Reveal(), scope: scope})
	}
	return list
}

// verdict is the whole policy, as simple as it can be said.
func verdict(b bearing, store string, s subject) string {
	switch {
	case b.fault == "token_missing", b.fault == "token_malformed":
		return b.fault
	case store == "":
		return "store_missing"
	case store != "loans":
		return "token_unknown"
	case b.fault != "":
		return b.fault
	}
	allowed := map[lethev1.Permission]bool{
		lethev1.Permission_PERMISSION_READ: b.scope.Read, lethev1.Permission_PERMISSION_APPEND: b.scope.Append,
		lethev1.Permission_PERMISSION_ADMIN: b.scope.Admin, lethev1.Permission_PERMISSION_OPEN: b.scope.Open, anyone: true,
	}
	if allowed[s.needs] && !(s.whole && len(b.scope.Kinds) > 0) {
		return ""
	}
	return "denied"
}

func TestEveryProcedureRefuses(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	list := subjects(t)
	for _, b := range w.bearings(t) {
		for _, store := range []string{"loans", "other", "nowhere", ""} {
			headers := map[string]string{}
			if store != "" {
				headers["Lethe-Store"] = store
			}
			if b.text != "" {
				headers["Authorization"] = "Bearer " + b.text
			}
			for _, s := range list {
				got, text := w.call(t, s, headers)
				if want := verdict(b, store, s); got != want {
					t.Errorf("%s with token %s at store %q: got %q, want %q\n%s", s.path, b.name, store, got, want, text)
				}
				if strings.Contains(string(text), b.text) && b.text != "" {
					t.Errorf("%s shows the token it was sent: %s", s.path, text)
				}
			}
		}
	}
}

// TestStoresCannotBeGuessed compares what a store that is there says of a strange token with what one says that is not.
func TestStoresCannotBeGuessed(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	secret := w.mint(t, everything())
	for _, s := range subjects(t) {
		answers := map[string]string{}
		for _, store := range []string{"other", "nowhere", "Other", "other, loans", strings.Repeat("x", 300)} {
			_, text := w.call(t, s, map[string]string{"Lethe-Store": store, "Authorization": "Bearer " + secret.Reveal()})
			answers[store] = string(text)
		}
		for store, text := range answers {
			if text != answers["other"] {
				t.Errorf("%s at store %q: %s\nat a store that is there: %s", s.path, store, text, answers["other"])
			}
		}
	}
}

func TestAuthorizationForms(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	secret := w.mint(t, everything()).Reveal()
	for value, want := range map[string]string{
		"Bearer " + secret: "", "bearer " + secret: "", "Bearer  " + secret: "",
		"": "token_missing", "Bearer": "token_missing", "Bearer ": "token_missing", "Basic " + secret: "token_missing",
		secret: "token_missing", "Bearer " + secret + " ": "token_malformed",
	} {
		got, _ := w.call(t, subject{path: whoami}, map[string]string{"Lethe-Store": "loans", "Authorization": value})
		if got != want {
			t.Errorf("%q: got %q, want %q", strings.ReplaceAll(value, secret, "…"), got, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, whoami, strings.NewReader("{}"))
	r.Header = http.Header{"Lethe-Store": {"loans"}, "Content-Type": {"application/json"},
		"Authorization": {"Bearer " + secret, "Bearer " + secret}}
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, r)
	if m := told(t, answer.Body.Bytes()); m.GetCode() != "token_malformed" {
		t.Errorf("two tokens: %v", m)
	}
}

func TestNoTokens(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	for _, s := range subjects(t) {
		for store, want := range map[string]string{"loans": "", "nowhere": "store_unknown", "": "store_missing"} {
			headers := map[string]string{}
			if store != "" {
				headers["Lethe-Store"] = store
			}
			if got, _ := w.call(t, s, headers); got != want {
				t.Errorf("%s at store %q: got %q, want %q", s.path, store, got, want)
			}
		}
	}
}

// TestOneStoreNeedsNoName has one store only.
func TestOneStoreNeedsNoName(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	var err error
	w.server, err = server.New([]server.Tenant{{Name: "loans", Store: w.loans, Tokens: w.engine}}, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret := w.mint(t, everything())
	for store, want := range map[string]string{"loans": "", "": "", "other": "token_unknown"} {
		headers := map[string]string{"Authorization": "Bearer " + secret.Reveal(), "Lethe-Store": store}
		if got, _ := w.call(t, subject{path: whoami}, headers); got != want {
			t.Errorf("store %q: got %q, want %q", store, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	good := server.Tenant{Name: "loans", Store: w.loans, Tokens: w.engine}
	for want, tenants := range map[string][]server.Tenant{
		"no_store":        {},
		"repeated_store":  {good, good},
		"malformed_store": {{Name: "Loans", Store: w.loans, Tokens: w.engine}},
		"no_tokens":       {{Name: "loans", Store: w.loans}},
	} {
		if _, err := server.New(tenants, server.Options{}); codeOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := server.New([]server.Tenant{{Name: "loans"}}, server.Options{NoTokens: true}); codeOf(err) != "no_store" {
		t.Errorf("a tenant without a store: %v", err)
	}
}

// TestDeniedIsLogged: whose token was denied what can be found out afterwards, at the level at which servers run.
func TestDeniedIsLogged(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	secret := w.mint(t, token.Grant{Scope: token.Scope{Read: true}})
	w.post("/lethe.v1.SubjectService/Show", `{"person": "customer/4711"}`,
		map[string]string{"Authorization": "Bearer " + secret.Reveal(), "Lethe-Store": "loans"})
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "level=INFO") && strings.Contains(line, "SubjectService/Show") &&
			strings.Contains(line, "code=denied") && strings.Contains(line, "store=loans") &&
			strings.Contains(line, "token="+secret.ID()) {
			return
		}
	}
	t.Errorf("the log does not say who was denied:\n%s", w.log.String())
}
