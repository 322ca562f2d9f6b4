package storagetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// token is a token in which every field says something.
func token(id string) storage.Token {
	t := storage.Token{
		ID: id, Label: "night import, " + id + " \u00e9", Read: true, Append: true, Open: true,
		Kinds: []string{"application", "a.b:c"}, Created: epoch, Expires: math.MaxInt64,
	}
	copy(t.Hash[:], "hash of "+id)
	t.Hash[31] = 0xff
	return t
}

func addTokens(t testing.TB, s storage.Store, tokens ...storage.Token) {
	t.Helper()
	for _, x := range tokens {
		if err := s.AddToken(t.Context(), x); err != nil {
			t.Fatalf("add token %s: %v", x.ID, err)
		}
	}
}

// holds compares all tokens of a store, in the list and one by one, with those it should hold, which are in order.
func holds(t testing.TB, s storage.Store, want ...storage.Token) {
	t.Helper()
	got, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatalf("tokens: %v", err)
	}
	same(t, "tokens", want, got)
	for _, x := range want {
		one, err := s.Token(t.Context(), x.ID)
		if err != nil {
			t.Fatalf("token %s: %v", x.ID, err)
		}
		same(t, "token "+x.ID, x, one)
	}
}

// TokenKept holds that every field of a token comes back as it went in, and that of no other id there is a token.
func TokenKept(t *testing.T, open Open) {
	e := open(t)
	s := e.Store
	bare := storage.Token{ID: "bare"}
	full := token("full")
	full.Revoked, full.Used = 1, math.MaxInt64
	admin := storage.Token{ID: "admin", Admin: true, Kinds: []string{}, Created: math.MinInt64, Expires: -1}
	opener := storage.Token{ID: "opener", Open: true}
	reader := storage.Token{ID: "reader", Read: true, Kinds: []string{"k"}}
	addTokens(t, s, bare, full, admin, reader, opener)
	admin.Kinds = nil
	for range 2 {
		holds(t, e.Store, admin, bare, full, opener, reader)
		for _, id := range []string{"", "ful", "full2", "Full", "full ", "b%", "bare\x00"} {
			if got, err := e.Store.Token(t.Context(), id); !errors.Is(err, event.ErrNotFound) {
				t.Errorf("token %q, which is not there: %+v, %v", id, got, err)
			}
		}
		e.Reopen(t)
	}
}

// TokensListed holds that all tokens are listed by id, ended ones too.
func TokensListed(t *testing.T, open Open) {
	s := open(t).Store
	holds(t, s)
	ids := []string{"A", "a", "a0", "aa", "b", "é"}
	var want []storage.Token
	for i := range ids {
		addTokens(t, s, token(ids[(i+3)%len(ids)]))
		want = append(want, token(ids[i]))
	}
	holds(t, s, want...)
	for _, i := range []int{4, 1} {
		want[i].Revoked = 7
		if _, err := s.RevokeToken(t.Context(), ids[i], 7); err != nil {
			t.Fatalf("revoke: %v", err)
		}
	}
	holds(t, s, want...)
}

// TokenAdded holds that an id is given to one token only, whoever tries at the same time, and that the token stays.
func TokenAdded(t *testing.T, open Open) {
	e := open(t)
	first := token("a")
	addTokens(t, e.Store, first)
	other := storage.Token{ID: "a", Label: "other", Admin: true}
	for range 2 {
		if err := e.Store.AddToken(t.Context(), other); !errors.Is(err, event.ErrConflict) {
			t.Errorf("add a token with an id that is there: %v", err)
		}
		if err := e.Store.AddToken(t.Context(), storage.Token{Label: "nameless"}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("add a token without id: %v", err)
		}
		holds(t, e.Store, first)
		e.Reopen(t)
	}
	var won, winner atomic.Int64
	var racing sync.WaitGroup
	for i := range 8 {
		racing.Go(func() {
			err := e.Store.AddToken(t.Context(), storage.Token{ID: "b", Created: int64(i)})
			if err == nil {
				won.Add(1)
				winner.Store(int64(i))
			} else if !errors.Is(err, event.ErrConflict) {
				t.Errorf("add: %v", err)
			}
		})
	}
	racing.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 tokens with one id were added", won.Load())
	}
	holds(t, e.Store, first, storage.Token{ID: "b", Created: winner.Load()})
}

// TokenRevoked holds that a token ends once, and stays ended.
func TokenRevoked(t *testing.T, open Open) {
	e := open(t)
	ended, left := token("a"), token("b")
	addTokens(t, e.Store, ended, left)
	ended.Revoked = epoch + 5
	for _, at := range []int64{epoch + 5, epoch + 9, 1, math.MaxInt64} {
		got, err := e.Store.RevokeToken(t.Context(), "a", at)
		if err != nil {
			t.Fatalf("revoke at %d: %v", at, err)
		}
		same(t, "token as revoked", ended, got)
		holds(t, e.Store, ended, left)
		e.Reopen(t)
		holds(t, e.Store, ended, left)
	}
	for _, id := range []string{"", "c", "B"} {
		if _, err := e.Store.RevokeToken(t.Context(), id, 1); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("revoke %q, which is not there: %v", id, err)
		}
	}
	for _, at := range []int64{0, -1, math.MinInt64} {
		if _, err := e.Store.RevokeToken(t.Context(), "b", at); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("revoke at %d: %v", at, err)
		}
	}
	holds(t, e.Store, ended, left)
}

// TokenUsed holds that the last use only moves forward, also when uses and a revocation are noted at the same time.
func TokenUsed(t *testing.T, open Open) {
	e := open(t)
	a, b, c := token("a"), token("b"), token("c")
	addTokens(t, e.Store, a, b, c)
	use := func(at map[string]int64) {
		t.Helper()
		if err := e.Store.UseTokens(t.Context(), at); err != nil {
			t.Fatalf("use: %v", err)
		}
	}
	use(nil)
	holds(t, e.Store, a, b, c)
	use(map[string]int64{"a": 50, "b": 60, "": 7, "unknown": 70})
	a.Used, b.Used = 50, 60
	holds(t, e.Store, a, b, c)
	use(map[string]int64{"a": 49, "b": 61, "c": -1})
	b.Used = 61
	e.Reopen(t)
	holds(t, e.Store, a, b, c)

	var racing sync.WaitGroup
	for i := range 4 {
		racing.Go(func() {
			for n := range int64(10) {
				at := map[string]int64{"a": 100 + 10*int64(i) + n, "b": 200 - 10*int64(i) - n}
				if err := e.Store.UseTokens(t.Context(), at); err != nil {
					t.Errorf("use: %v", err)
				}
			}
		})
	}
	racing.Go(func() {
		if _, err := e.Store.RevokeToken(t.Context(), "a", 3); err != nil {
			t.Errorf("revoke: %v", err)
		}
		if err := e.Store.AddToken(t.Context(), token("d")); err != nil {
			t.Errorf("add: %v", err)
		}
	})
	for range 20 {
		if list, err := e.Store.Tokens(t.Context()); err != nil || len(list) < 3 {
			t.Errorf("%d tokens: %v", len(list), err)
		}
	}
	racing.Wait()
	a.Used, a.Revoked, b.Used = 139, 3, 200
	e.Reopen(t)
	holds(t, e.Store, a, b, c, token("d"))
}

// scribbleTokens overwrites everything tokens refer to.
func scribbleTokens(tokens ...storage.Token) {
	for _, x := range tokens {
		for i := range x.Kinds {
			x.Kinds[i] = "scribble"
		}
	}
}

// tokensKept holds that the engine's tokens are its own, whatever happens to what went in and came out.
func tokensKept(t *testing.T, s storage.Store) {
	t.Helper()
	given := make([]storage.Token, 3)
	for i := range given {
		given[i] = token(fmt.Sprint("copy", i))
	}
	addTokens(t, s, given...)
	scribbleTokens(given...)
	for i := range given {
		given[i] = token(given[i].ID)
	}
	for range 2 {
		holds(t, s, given...)
		list, err := s.Tokens(t.Context())
		if err != nil {
			t.Fatalf("tokens: %v", err)
		}
		one, err1 := s.Token(t.Context(), given[0].ID)
		revoked, err2 := s.RevokeToken(t.Context(), given[1].ID, 9)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("token: %v", err)
		}
		given[1].Revoked = 9
		scribbleTokens(slices.Concat(list, []storage.Token{one, revoked})...)
	}
	holds(t, s, given...)
}
