package vaultkms_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

func TestContract(t *testing.T) {
	for what, prepare := range map[string]func(*testing.T, *rig){
		"with a token":           func(*testing.T, *rig) {},
		"answers without bodies": func(_ *testing.T, r *rig) { r.vault.Classic = true },
		"with the documented rights": func(t *testing.T, r *rig) {
			use, erase := policies(t)
			r.vault.Mount("lethe", "transit")
			id, secretID := r.vault.Role(use+erase, time.Hour, -1)
			r.options.Mount, r.options.Token = "lethe", nil
			r.options.AppRole = &vaultkms.AppRole{
				RoleID: id, SecretID: func(context.Context) (string, error) { return secretID, nil },
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			kmstest.Run(t, func(t *testing.T) func() kms.KMS {
				r := newRig(t)
				prepare(t, r)
				return func() kms.KMS { return r.open(t) }
			})
		})
	}
}

// TestRights: without the rights of erasing a key stays as it is.
func TestRights(t *testing.T) {
	r := newRig(t)
	use, erase := policies(t)
	r.vault.Mount("lethe", "transit")
	r.options.Mount, r.token = "lethe", r.vault.Token(use, 0)
	k := r.open(t)
	item := wrapped(t, k, "root")
	_, err := k.Destroy(t.Context(), "root")
	if !errors.Is(err, event.ErrDenied) || event.Code(err) != kms.CodeDenied {
		t.Errorf("destroy without the right: %v", err)
	}
	if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("state %d, %v", state, err)
	}
	if out, err := k.Unwrap(t.Context(), "root", []kms.Item{item}); err != nil || string(out[0]) != secret {
		t.Errorf("unwrap: %v", err)
	}
	r.token = r.vault.Token(use+erase, 0)
	if _, err := k.Destroy(t.Context(), "root"); err != nil {
		t.Errorf("destroy with the right: %v", err)
	}
	if err := k.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}

// TestDestroyCut cuts every request of Destroy off: before Vault sees it, and after Vault did it. Whatever was done,
// the key is whole or destroyed, and calling again completes it.
func TestDestroyCut(t *testing.T) {
	seen := map[kms.State]int{}
	for at := 1; ; at++ {
		acknowledged := false
		for _, done := range []bool{false, true} {
			r := newRig(t)
			k := r.open(t)
			item := wrapped(t, k, "root")
			count := 0
			r.vault.Disturb(func(w http.ResponseWriter, request *http.Request) bool {
				if count++; count < at {
					return false
				}
				if done && count == at {
					r.vault.Disturb(nil)
					r.vault.ServeHTTP(&deaf{header: http.Header{}}, request)
				}
				kmstest.VaultErrors(w, http.StatusBadGateway, "cut off")
				return true
			})
			_, err := k.Destroy(t.Context(), "root")
			r.vault.Disturb(nil)
			acknowledged = err == nil
			state, stateErr := k.State(t.Context(), "root")
			out, unwrapErr := k.Unwrap(t.Context(), "root", []kms.Item{item})
			live := state == kms.Live && unwrapErr == nil && string(out[0]) == secret
			gone := state == kms.Destroyed && event.Code(unwrapErr) == kms.CodeDestroyed
			if stateErr != nil || !live && !gone || acknowledged && !gone {
				t.Fatalf("cut at request %d (done %v): %v; state %d, %v; unwrap %v", at, done, err, state, stateErr, unwrapErr)
			}
			seen[state]++
			first, err := k.Destroy(t.Context(), "root")
			if err != nil {
				t.Fatalf("cut at request %d: destroy again: %v", at, err)
			}
			if state, err := k.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
				t.Fatalf("cut at request %d: completed, state %d, %v", at, state, err)
			}
			if again, err := k.Destroy(t.Context(), "root"); err != nil || again != first {
				t.Fatalf("cut at request %d: destroyed once more: %+v, %v, want %+v", at, again, err, first)
			}
		}
		if acknowledged {
			break
		}
	}
	if seen[kms.Live] == 0 || seen[kms.Destroyed] == 0 {
		t.Errorf("the sweep saw states %v, want both", seen)
	}
}

// deaf takes an answer that nobody hears.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) Write(b []byte) (int, error) { return len(b), nil }
func (d *deaf) WriteHeader(int)             {}

// TestMadeAgain: a key that somebody makes under a destroyed name is not Lethe's.
func TestMadeAgain(t *testing.T) {
	r := newRig(t)
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 400e6, time.UTC))
	r.vault.Clock, r.options.Horizon = clock, 30*24*time.Hour
	k := r.open(t)
	item := wrapped(t, k, "root")
	first, err := k.Destroy(t.Context(), "root")
	want := kms.Destruction{
		Effective:        time.Date(2026, time.March, 1, 12, 0, 1, 0, time.UTC),
		RecoverableUntil: time.Date(2026, time.March, 31, 12, 0, 1, 0, time.UTC),
	}
	if diff := cmp.Diff(want, first); diff != "" || err != nil {
		t.Errorf("destroyed (-want +got): %v\n%s", err, diff)
	}
	clock.Move(time.Minute)
	r.hand(t, "POST", "transit/encrypt/root", `{"batch_input":[{"plaintext":"QQ=="}]}`)
	if state, err := k.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
		t.Errorf("state %d, %v", state, err)
	}
	_, unwrapErr := k.Unwrap(t.Context(), "root", []kms.Item{item})
	_, wrapErr := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
	for what, err := range map[string]error{
		"unwrap": unwrapErr, "wrap": wrapErr, "create": k.Create(t.Context(), "root"),
	} {
		if event.Code(err) != kms.CodeDestroyed {
			t.Errorf("%s under a key that was made again: %v", what, err)
		}
	}
	if again, err := k.Destroy(t.Context(), "root"); again != first || err != nil {
		t.Errorf("destroyed again: %+v, %v", again, err)
	}
}

// TestNotesByHand: notes that somebody made, or left behind, do not make a key destroyed that is there.
func TestNotesByHand(t *testing.T) {
	start := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for what, notes := range map[string][]string{"begun": {".ending"}, "begun and done": {".ending", ".destroyed"}} {
		r := newRig(t)
		clock := kmstest.NewClock(start)
		r.vault.Clock = clock
		k := r.open(t)
		item := wrapped(t, k, "root")
		clock.Move(time.Minute)
		for _, note := range notes {
			r.hand(t, "POST", "transit/keys/root"+note, "{}")
		}
		clock.Move(time.Minute)
		if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
			t.Errorf("noted as %s: state %d, %v", what, state, err)
		}
		if out, err := k.Unwrap(t.Context(), "root", []kms.Item{item}); err != nil || string(out[0]) != secret {
			t.Errorf("noted as %s: unwrap: %v", what, err)
		}
		d, err := k.Destroy(t.Context(), "root")
		if want := start.Add(2*time.Minute + time.Second); err != nil || !d.Effective.Equal(want) {
			t.Errorf("noted as %s: destroyed at %v, %v, want %v", what, d.Effective, err, want)
		}
		if state, err := k.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
			t.Errorf("noted as %s: then state %d, %v", what, state, err)
		}
	}
	r := newRig(t)
	clock := kmstest.NewClock(start)
	r.vault.Clock = clock
	k := r.open(t)
	r.hand(t, "POST", "transit/keys/root.ending", "{}")
	clock.Move(time.Minute)
	r.hand(t, "POST", "transit/keys/root", "{}")
	if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("a younger key whose destruction is not noted as done: state %d, %v", state, err)
	}
}

// TestDeletionNotBelieved: a server that says it deleted the key, and has it, has not destroyed it.
func TestDeletionNotBelieved(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	wrapped(t, k, "root")
	r.vault.Disturb(func(w http.ResponseWriter, request *http.Request) bool {
		if request.Method != http.MethodDelete {
			return false
		}
		w.WriteHeader(http.StatusNoContent)
		return true
	})
	if d, err := k.Destroy(t.Context(), "root"); event.Code(err) != kms.CodeUnavailable || !d.Effective.IsZero() {
		t.Errorf("destroyed: %+v, %v", d, err)
	}
	if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("state %d, %v", state, err)
	}
}

// TestDeletedByHand: a key that somebody deleted is missing, and is not made again by using it.
func TestDeletedByHand(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	item := wrapped(t, k, "root")
	r.hand(t, "POST", "transit/keys/root/config", `{"deletion_allowed":true}`)
	r.hand(t, "DELETE", "transit/keys/root", "")
	for range 2 {
		if state, err := k.State(t.Context(), "root"); state != 0 || event.Code(err) != kms.CodeMissing {
			t.Errorf("state %d, %v", state, err)
		}
		_, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
		if event.Code(err) != kms.CodeMissing {
			t.Errorf("wrap: %v", err)
		}
		_, err = k.Unwrap(t.Context(), "root", []kms.Item{item})
		if event.Code(err) != kms.CodeMissing {
			t.Errorf("unwrap: %v", err)
		}
		if _, err := k.Destroy(t.Context(), "root"); event.Code(err) != kms.CodeMissing {
			t.Errorf("destroy: %v", err)
		}
	}
}

// TestWrapRace: a key that is destroyed between looking for it and encrypting is made again by Vault; what was wrapped
// under that is not given out.
func TestWrapRace(t *testing.T) {
	r := newRig(t)
	k, other := r.open(t), r.open(t)
	wrapped(t, k, "root")
	raced := false
	r.vault.Disturb(func(_ http.ResponseWriter, request *http.Request) bool {
		if !raced && strings.HasSuffix(request.URL.Path, "/encrypt/root") {
			raced = true
			if _, err := other.Destroy(t.Context(), "root"); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	out, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
	if !raced || out != nil || event.Code(err) != kms.CodeDestroyed {
		t.Errorf("raced %v: %d items, %v", raced, len(out), err)
	}
}

// TestUnfit: keys of which there may be copies are refused, and not called destroyable.
func TestUnfit(t *testing.T) {
	for what, body := range map[string]string{
		"exportable": `{"exportable":true}`, "backup": `{"allow_plaintext_backup":true}`, "derived": `{"derived":true}`,
	} {
		r := newRig(t)
		k := r.open(t)
		r.hand(t, "POST", "transit/keys/root", body)
		_, wrapErr := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
		_, destroyErr := k.Destroy(t.Context(), "root")
		for call, err := range map[string]error{
			"create": k.Create(t.Context(), "root"), "wrap": wrapErr, "destroy": destroyErr,
		} {
			if !errors.Is(err, event.ErrConflict) || event.Code(err) != "kms_key_unfit" {
				t.Errorf("%s with a key that is %s: %v", call, what, err)
			}
		}
		if slices.ContainsFunc(r.vault.Requests(), func(s string) bool { return strings.Contains(s, "encrypt") }) {
			t.Errorf("something was sent to a key that is %s", what)
		}
	}
	r := newRig(t)
	k := r.open(t)
	wrapped(t, k, "root")
	r.hand(t, "POST", "transit/keys/root/config", `{"exportable":true}`)
	if _, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}}); event.Code(err) != "kms_key_unfit" {
		t.Errorf("wrap under a key that became exportable: %v", err)
	}
}

func TestSoftDeleted(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	item := wrapped(t, k, "root")
	r.hand(t, "DELETE", "transit/keys/root/soft-delete", "")
	if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("state %d, %v", state, err)
	}
	_, err := k.Unwrap(t.Context(), "root", []kms.Item{item})
	if event.Code(err) != kms.CodeUnavailable || !strings.Contains(err.Error(), "soft-deleted") {
		t.Errorf("unwrap: %v", err)
	}
	_, err = k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
	if event.Code(err) != kms.CodeUnavailable || !strings.Contains(err.Error(), "soft-deleted") {
		t.Errorf("wrap: %v", err)
	}
}

func TestRotated(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	before := wrapped(t, k, "root")
	r.hand(t, "POST", "transit/keys/root/rotate", "{}")
	after := wrapped(t, k, "root")
	if !strings.HasPrefix(string(before.Bytes), "vault:v1:") || !strings.HasPrefix(string(after.Bytes), "vault:v2:") {
		t.Fatalf("wrapped as %.9s and %.9s", before.Bytes, after.Bytes)
	}
	out, err := k.Unwrap(t.Context(), "root", []kms.Item{before, after})
	if err != nil || string(out[0]) != secret || string(out[1]) != secret {
		t.Errorf("unwrap: %v", err)
	}
}

// TestForms: what Vault never gave is not even sent to it.
func TestForms(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	wrapped(t, k, "root")
	out, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte("as long as padding needs")}})
	if err != nil {
		t.Fatal(err)
	}
	item := kms.Item{Bytes: out[0]}
	_, box, _ := strings.Cut(string(item.Bytes[len("vault:"):]), ":")
	raw, err := base64.StdEncoding.DecodeString(box)
	if err != nil || !strings.HasSuffix(box, "==") {
		t.Fatal(err)
	}
	short := base64.StdEncoding.EncodeToString(raw[:28])
	loose := box[:len(box)-3] + string(box[len(box)-3]+1) + "==" // the same bytes, with other bits behind them
	if again, err := base64.StdEncoding.DecodeString(loose); err != nil || !slices.Equal(again, raw) {
		t.Fatalf("the loose form is another: %v", err)
	}
	for _, form := range []string{
		"vault:v1:" + loose, box, "vault:v0:" + box, "vault:v01:" + box, "vault:v:" + box, "vault:v-1:" + box,
		"vault:v1:", "vault:v1:" + short,
		"Vault:v1:" + box, " vault:v1:" + box, "vault:v1:" + box + "\n", "vault:v1:" + box[:20] + "\n" + box[20:],
		"vault:v1:" + strings.TrimRight(box, "="), "vault:v1:" + strings.NewReplacer("+", "-", "/", "_").Replace(box) + "-_",
		"vault:v1:" + box + ":x", "vault:v9999999999:" + box, "transit:v1:" + box,
	} {
		_, err := k.Unwrap(t.Context(), "root", []kms.Item{{Bytes: []byte(form), AAD: item.AAD}})
		if event.Code(err) != kms.CodeNotOpened {
			t.Errorf("form %q: %v", form[:min(12, len(form))], err)
		}
	}
	if slices.Contains(r.vault.Requests(), "POST /v1/transit/decrypt/root") {
		t.Error("a form that Vault never gave was sent to it")
	}
}

func TestOptions(t *testing.T) {
	good := newRig(t).options
	for what, change := range map[string]func(*vaultkms.Options){
		"no address":               func(o *vaultkms.Options) { o.Address = "" },
		"another scheme":           func(o *vaultkms.Options) { o.Address = "ftp://127.0.0.1" },
		"a password in it":         func(o *vaultkms.Options) { o.Address = "https://user:word@vault.example.org" },
		"a path in it":             func(o *vaultkms.Options) { o.Address = "https://vault.example.org/v1" },
		"a query in it":            func(o *vaultkms.Options) { o.Address = "https://vault.example.org?x" },
		"cleartext over a network": func(o *vaultkms.Options) { o.Address = "http://vault.example.org:8200" },
		"a mount that climbs":      func(o *vaultkms.Options) { o.Mount = "../sys" },
		"a mount with a query":     func(o *vaultkms.Options) { o.Mount = "transit?list=true" },
		"a namespace of two lines": func(o *vaultkms.Options) { o.Namespace = "a\r\nX-Vault-Token: x" },
		"no token":                 func(o *vaultkms.Options) { o.Token = nil },
		"token and role":           func(o *vaultkms.Options) { o.AppRole = &vaultkms.AppRole{} },
		"a role without a secret":  func(o *vaultkms.Options) { o.Token, o.AppRole = nil, &vaultkms.AppRole{RoleID: "x"} },
		"a negative horizon":       func(o *vaultkms.Options) { o.Horizon = -1 },
		"a negative timeout":       func(o *vaultkms.Options) { o.Timeout = -1 },
	} {
		o := good
		change(&o)
		k, err := vaultkms.Open(t.Context(), o)
		if k != nil || !errors.Is(err, event.ErrInvalid) || event.Code(err) != "kms_option" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, address := range []string{"http://[::1]:8200", "http://localhost:8200/", "https://vault.example.org"} {
		o := good
		o.Address = address
		if _, err := vaultkms.Open(t.Context(), o); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	o := good
	o.Address, o.Cleartext, o.Mount, o.Namespace = "http://vault.example.org:8200", true, "a/b/", "team-1"
	k, err := vaultkms.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := "transit keys of Vault at http://vault.example.org:8200, mount a/b, namespace team-1"
	if text := k.Describe(); text != want {
		t.Errorf("it describes itself as %q, want %q", text, want)
	}
}
