package keystest

import (
	"math"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// HeadKept holds that a new keystore is nobody's and has no epochs, and that its head is what was stored last.
func HeadKept(t *testing.T, open Open) {
	e := open(t)
	same(t, "head of a new keystore", storage.KeyHead{}, head(t, e.Keys))
	want := storage.KeyHead{Store: event.StoreID{1, 2, 3}, Applied: 12}
	third, first := epoch(3), epoch(1)
	store(t, e.Keys, storage.KeyChange{Epoch: &third}, storage.KeyChange{Store: want.Store, Applied: 12})
	store(t, e.Keys, storage.KeyChange{Epoch: &first, Store: want.Store, Applied: 5}) // Applied is never lowered
	want.Epochs = []storage.Epoch{first, third}
	for range 2 {
		same(t, "head", want, head(t, e.Keys))
		e.Reopen(t)
	}
	gone := first
	gone.Version, gone.State, gone.Record, gone.Created, gone.Name = 2, storage.KeyDestroyed, nil, math.MinInt64, ""
	rewrapped := third
	rewrapped.Version, rewrapped.Record = 2, []byte("wrapped anew")
	store(t, e.Keys, storage.KeyChange{Epoch: &gone, Applied: math.MaxInt64}, storage.KeyChange{Epoch: &rewrapped})
	want.Epochs, want.Applied = []storage.Epoch{gone, rewrapped}, math.MaxInt64
	for range 2 {
		same(t, "head", want, head(t, e.Keys))
		e.Reopen(t)
	}
}

// KeyringsAnswered holds that records come back as they went in, each where it was asked for.
func KeyringsAnswered(t *testing.T, open Open) {
	e := open(t)
	a, b, gone, unknown := ring(person()), ring(person()), ring(person()), person()
	b.Epoch, b.Record = math.MaxUint32, make([]byte, 100_000)
	b.Record[99_999] = 7
	empty := ring(person())
	empty.Record = []byte{}
	store(t, e.Keys, storage.KeyChange{Keyring: &a}, storage.KeyChange{Keyring: &b}, storage.KeyChange{Keyring: &gone},
		storage.KeyChange{Keyring: &empty})
	tombstone := destroyed(gone)
	store(t, e.Keys, storage.KeyChange{Keyring: &tombstone})
	empty.Record = nil
	for range 2 {
		got := keyrings(t, e.Keys, b.KRID, unknown, gone.KRID, a.KRID, b.KRID, event.KRID{}, empty.KRID)
		same(t, "keyrings", []storage.Keyring{b, {}, tombstone, a, b, {}, empty}, got)
		same(t, "no keyrings", 0, len(keyrings(t, e.Keys)))
		e.Reopen(t)
	}
	var many []storage.KeyChange
	var krids []event.KRID
	for range 2500 {
		c, r, _ := minting(person())
		many, krids = append(many, c), append(krids, r.KRID, person())
	}
	store(t, e.Keys, many...)
	for i, r := range keyrings(t, e.Keys, krids...) {
		if i%2 == 0 && r.KRID != krids[i] || i%2 == 1 && !r.KRID.IsZero() {
			t.Fatalf("keyring %d of %d is of %s", i, len(krids), r.KRID)
		}
	}
}

// LookupsAnswered holds that tokens stand for what was stored, each where it was asked for.
func LookupsAnswered(t *testing.T, open Open) {
	e := open(t)
	a, b, moved, removed := live(person()), live(person()), live(person()), live(person())
	suppressed := storage.Lookup{Token: token(), State: storage.KeyDestroyed, Until: math.MaxInt64}
	store(t, e.Keys, storage.KeyChange{Add: []storage.Lookup{a, moved, removed}},
		storage.KeyChange{Replace: []storage.Lookup{b, suppressed}})
	moved.KRID = person()
	erased := storage.Lookup{Token: a.Token, State: storage.KeyDestroyed, Until: -1}
	store(t, e.Keys, storage.KeyChange{
		Replace: []storage.Lookup{moved, erased}, Remove: []storage.LookupToken{removed.Token, token()},
	})
	for range 2 {
		got := lookups(t, e.Keys, suppressed.Token, token(), a.Token, removed.Token, b.Token, moved.Token, b.Token)
		same(t, "lookups", []storage.Lookup{suppressed, {}, erased, {}, b, moved, b}, got)
		same(t, "no lookups", 0, len(lookups(t, e.Keys)))
		e.Reopen(t)
	}
	store(t, e.Keys, storage.KeyChange{Add: []storage.Lookup{removed}}) // its token is free again
	same(t, "lookup", []storage.Lookup{removed}, lookups(t, e.Keys, removed.Token))
}

// RetentionsAnswered holds that retention keys come back as they went in, each where it was asked for.
func RetentionsAnswered(t *testing.T, open Open) {
	e := open(t)
	list := []storage.RetentionKey{
		retention("loan", 0), retention("loan", math.MinInt64), retention("loan", math.MaxInt64), retention("Loan", 0),
		retention("ünï", -1),
	}
	want := []storage.RetentionKey{{}}
	ids := []storage.RetentionID{{Class: "loan", Bucket: 1}}
	for i := range list {
		store(t, e.Keys, storage.KeyChange{Retention: &list[i]})
		want, ids = append(want, list[i]), append(ids, list[i].RetentionID)
	}
	gone := list[1]
	gone.Version, gone.State, gone.Epoch, gone.Record = 2, storage.KeyDestroyed, 0, nil
	store(t, e.Keys, storage.KeyChange{Retention: &gone})
	want[2] = gone
	for range 2 {
		same(t, "retention keys", want, retentions(t, e.Keys, ids...))
		same(t, "no retention keys", 0, len(retentions(t, e.Keys)))
		e.Reopen(t)
	}
}
