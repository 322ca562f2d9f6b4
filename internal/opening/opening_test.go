package opening_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
)

const policyText = `{"version": 1, "kinds": {"customer": {"person": true}}, "groups": {"contact": {}},
	"purposes": {"support": {"basis": "contract", "groups": ["contact"]}}}`

const schemaText = `{"type": "object", "additionalProperties": false, "properties": {
	"email": {"type": "string", "x-personal": {"group": "contact", "subject": "stream"}}}}`

// rig is a folder with a store and a key folder in it, and how they are opened.
type rig struct {
	*opening.Opener
	dir string
}

func newRig(t *testing.T, environ ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	settings, err := setting.Load(new(setting.Flags), append([]string{"HOME=" + dir}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{&opening.Opener{Settings: &settings, Clock: event.SystemClock{}, Code: "test 1"}, dir}
}

func (r *rig) keys() string { return filepath.Join(r.dir, ".config", "lethe", "keys") }

// open opens the store for one step of a test.
func (r *rig) open(t *testing.T, do func(s *opening.Store) error) error {
	t.Helper()
	s, err := r.Store(t.Context(), opening.Place{Name: filepath.Join(r.dir, "data")}, opening.Creating)
	if err != nil {
		return err
	}
	err = do(s)
	if closing := s.Close(); closing != nil {
		t.Fatal(closing)
	}
	return err
}

func (r *rig) append(t *testing.T, stream event.StreamID, data string) error {
	t.Helper()
	typ := "Moved" // of persons
	if stream.Kind == "thing" {
		typ = "Seen"
	}
	return r.open(t, func(s *opening.Store) error {
		_, err := s.As(event.Actor{}).Append(t.Context(), stream, event.Any, event.Draft{Type: typ, Data: []byte(data)})
		return err
	})
}

func (r *rig) declare(t *testing.T) {
	t.Helper()
	err := r.open(t, func(s *opening.Store) error {
		room := s.Privacy()
		if _, err := room.SetPolicy(t.Context(), event.Actor{}, []byte(policyText), false); err != nil {
			return err
		}
		v := &schema.Version{Type: "Moved", Notation: "jsonschema", Text: []byte(schemaText)}
		_, err := room.PushSchema(t.Context(), event.Actor{}, v, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeysWhenNeeded makes the key folder when somebody is first spoken of, and no sooner.
func TestKeysWhenNeeded(t *testing.T) {
	r := newRig(t)
	if err := r.append(t, event.Stream("thing", "1"), `{}`); err != nil {
		t.Fatal(err)
	}
	r.declare(t)
	if _, err := os.Stat(filepath.Join(r.dir, ".config")); !os.IsNotExist(err) {
		t.Fatalf("there is a key folder before anybody was spoken of: %v", err)
	}
	if err := r.append(t, event.Stream("customer", "1"), `{"email": "a@example.org"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.keys()); err != nil {
		t.Fatal(err)
	}
}

// TestKeysAway refuses what needs keys while the key folder is away, and does not make another.
func TestKeysAway(t *testing.T) {
	r := newRig(t)
	r.declare(t)
	if err := r.append(t, event.Stream("customer", "1"), `{"email": "a@example.org"}`); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.keys(), r.keys()+"-away"); err != nil {
		t.Fatal(err)
	}
	err := r.append(t, event.Stream("customer", "2"), `{"email": "b@example.org"}`)
	if event.Code(err) != "kms_mount_missing" {
		t.Errorf("an append of personal data gives %v", err)
	}
	if err := r.append(t, event.Stream("thing", "1"), `{}`); err != nil {
		t.Errorf("an append of nothing personal gives %v", err)
	}
	if _, err := os.Stat(r.keys()); !os.IsNotExist(err) {
		t.Errorf("a new key folder was made: %v", err)
	}
}

// TestKeystoreLost refuses a new keystore beside a log that speaks of persons.
func TestKeystoreLost(t *testing.T) {
	r := newRig(t)
	r.declare(t)
	if err := r.append(t, event.Stream("customer", "1"), `{"email": "a@example.org"}`); err != nil {
		t.Fatal(err)
	}
	if keyed, err := r.Keyed(t.Context(), opening.Place{Name: "data"}); !keyed || err != nil {
		t.Errorf("the keystore is said to hold no keys: %v", err)
	}
	if err := os.Remove(filepath.Join(r.dir, "data", "keys.db")); err != nil {
		t.Fatal(err)
	}
	if err := r.append(t, event.Stream("thing", "1"), `{}`); event.Code(err) != "keystore_new" {
		t.Errorf("it opens with a new keystore: %v", err)
	}
	if keyed, err := r.Keyed(t.Context(), opening.Place{Name: "data"}); keyed || err != nil {
		t.Errorf("the new keystore is said to hold keys: %v", err)
	}
	r.Settings.KMS.Address = "none"
	if err := r.append(t, event.Stream("thing", "1"), `{}`); err != nil {
		t.Errorf("without keys it does not open sealed: %v", err)
	}
}

func TestServices(t *testing.T) {
	for address, code := range map[string]string{
		"none": "", "local:": "", "local:/somewhere/keys": "",
		"vault:https://vault.example.org:8200/lethe": "", "vault:vault.example.org": "malformed_setting",
		"vault:http://vault.example.org:8200/lethe": "kms_option", "aws:key": "malformed_setting",
		"/somewhere": "malformed_setting",
	} {
		r := newRig(t, "LETHE_KMS="+address, "LETHE_KMS_TOKEN_FILE=token")
		err := r.open(t, func(*opening.Store) error { return nil })
		if got := event.Code(err); err == nil && code != "" || err != nil && got != code {
			t.Errorf("--kms %s: %v", address, err)
		}
	}
	r := newRig(t, "LETHE_KMS=vault:https://vault.example.org:8200/lethe")
	if err := r.open(t, func(*opening.Store) error { return nil }); event.Code(err) != "malformed_setting" {
		t.Errorf("Vault without a token: %v", err)
	}
}

const everything = `path "transit/*" { capabilities = ["create", "read", "update", "delete", "list"] }`

// TestVault has root keys in a Vault, by token and by role; no key folder is made.
func TestVault(t *testing.T) {
	vault := kmstest.NewVault()
	server := httptest.NewServer(vault)
	defer server.Close()
	role, secret := vault.Role(everything, 0, -1)
	for name, environ := range map[string][]string{
		"token": {"LETHE_KMS_TOKEN_FILE=secret", vault.Token(everything, 0)},
		"role":  {"LETHE_KMS_ROLE_FILE=secret", secret, "LETHE_KMS_ROLE=" + role},
	} {
		t.Run(name, func(t *testing.T) {
			file := append([]string{"LETHE_KMS=vault:" + server.URL + "/transit", environ[0]}, environ[2:]...)
			r := newRig(t, file...)
			if err := os.WriteFile("secret", []byte(environ[1]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			asked := len(vault.Requests())
			r.declare(t)
			if n := len(vault.Requests()); n > asked {
				t.Errorf("Vault was asked %d times before anybody was spoken of", n-asked)
			}
			if err := r.append(t, event.Stream("customer", "1"), `{"email": "a@example.org"}`); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(r.keys()); !os.IsNotExist(err) {
				t.Errorf("there is a key folder, too: %v", err)
			}
			if err := os.Chmod("secret", 0o644); err != nil {
				t.Fatal(err)
			}
			err := r.append(t, event.Stream("customer", "2"), `{"email": "b@example.org"}`)
			if err == nil {
				t.Error("with a secret that others may read it goes on")
			}
		})
	}
}
