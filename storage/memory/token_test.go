package memory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func TestFailBeforeTokensChanged(t *testing.T) {
	f := openFaulty()
	want := storage.Token{ID: "a", Read: true, Kinds: []string{"application"}}
	if err := f.AddToken(t.Context(), want); err != nil {
		t.Fatalf("add: %v", err)
	}
	f.err = event.Errorf(event.ErrFull, "write page: no room")
	for name, call := range map[string]func() error{
		memory.OpToken: func() error {
			_, err := f.Token(t.Context(), "a")
			return err
		},
		memory.OpToken + "s": func() error {
			_, err := f.Tokens(t.Context())
			return err
		},
		memory.OpAddToken: func() error { return f.AddToken(t.Context(), storage.Token{ID: "b"}) },
		memory.OpRevokeToken: func() error {
			_, err := f.RevokeToken(t.Context(), "a", 5)
			return err
		},
		memory.OpUseTokens: func() error { return f.UseTokens(t.Context(), map[string]int64{"a": 5}) },
	} {
		if f.step = name; name == memory.OpToken+"s" {
			f.step = memory.OpToken
		}
		if err := call(); err != f.err { //nolint:errorlint // the hook's own value
			t.Errorf("%s with a fault returned %v", name, err)
		}
		f.step = ""
		got, err := f.Tokens(t.Context())
		if diff := cmp.Diff([]storage.Token{want}, got); err != nil || diff != "" {
			t.Errorf("tokens after %s failed (%v):\n%s", name, err, diff)
		}
	}
}

func TestRestoreTakesTokens(t *testing.T) {
	from := memory.Open(memory.Options{})
	if err := from.AddToken(t.Context(), storage.Token{ID: "a", Kinds: []string{"k"}}); err != nil {
		t.Fatalf("add: %v", err)
	}
	if _, err := from.RevokeToken(t.Context(), "a", 5); err != nil {
		t.Fatalf("revoke: %v", err)
	}
	s := restore(t, from, 0)
	got, err := s.Tokens(t.Context())
	if diff := cmp.Diff([]storage.Token{{ID: "a", Kinds: []string{"k"}, Revoked: 5}}, got); err != nil || diff != "" {
		t.Errorf("tokens of a restored store (%v):\n%s", err, diff)
	}
	if err := s.AddToken(t.Context(), storage.Token{ID: "b"}); err != nil {
		t.Fatalf("add: %v", err)
	}
	if old, err := from.Tokens(t.Context()); err != nil || len(old) != 1 {
		t.Errorf("the store it came from has %d tokens: %v", len(old), err)
	}
}
