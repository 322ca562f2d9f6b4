package keystest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// ScanComplete holds that a walk gives exactly the records that are asked for, once and always in the same order, with
// pages of any size and while others are changed or added; and that a page that is not full is the last.
func ScanComplete(t *testing.T, open Open) {
	e := open(t)
	kept := scannable(t, e.Keys)
	order := walk(t, e.Keys, storage.KeyringQuery{Limit: 1000})
	same(t, "number of keyrings", len(kept), len(order))
	for i := range order {
		if !sameKeyring(order[i], kept[order[i].KRID]) {
			t.Errorf("keyring %d of a walk is another one than was stored", i)
		}
	}
	for range 2 {
		for _, after := range []int{-1, 0, 60, 118, 119} {
			scanAfter(t, e.Keys, order, after)
		}
		e.Reopen(t)
	}
	for _, q := range []storage.KeyringQuery{{Limit: 0}, {Limit: -1}, {Limit: 1, After: person()}} {
		if _, err := e.Keys.ScanKeyrings(t.Context(), q); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("scan with %+v: %v", q, err)
		}
	}
	scanWhileChanged(t, e.Keys, order)
	scanWhileAdded(t, e.Keys, order)
}

// scannable stores keyrings of five epochs, of which every third is destroyed.
func scannable(t *testing.T, s storage.Keystore) map[event.KRID]storage.Keyring {
	kept := make(map[event.KRID]storage.Keyring)
	var changes []storage.KeyChange
	for i := range 120 {
		k := ring(person())
		k.Epoch = uint32(i%5 + 1)
		changes = append(changes, storage.KeyChange{Keyring: &k})
		last := k
		if i%3 == 0 {
			last = destroyed(k)
			last.Epoch = k.Epoch
			changes = append(changes, storage.KeyChange{Keyring: &last})
		}
		kept[k.KRID] = last
	}
	store(t, s, changes...)
	return kept
}

// scanAfter walks from behind the keyring at a place, or from the beginning.
func scanAfter(t *testing.T, s storage.Keystore, order []storage.Keyring, after int) {
	for _, q := range []storage.KeyringQuery{
		{}, {Live: true}, {Before: 1}, {Before: 2}, {Before: 4}, {Before: 4, Live: true}, {Before: 1000},
	} {
		if after >= 0 {
			q.After = order[after].KRID
		}
		var want []storage.Keyring
		for _, k := range order[after+1:] {
			if (q.Before == 0 || k.Epoch < q.Before) && (!q.Live || k.State == storage.KeyLive) {
				want = append(want, k)
			}
		}
		for _, limit := range []int{1, 7, 119, 120, 121} {
			q.Limit = limit
			if got := walk(t, s, q); !slices.EqualFunc(want, got, sameKeyring) {
				t.Errorf("a walk with %+v gives %d keyrings, or others, instead of %d", q, len(got), len(want))
			}
		}
	}
}

// scanWhileChanged changes every live keyring as soon as a walk has seen it; order is left as they are then.
func scanWhileChanged(t *testing.T, s storage.Keystore, order []storage.Keyring) {
	var got []storage.Keyring
	for q := (storage.KeyringQuery{Limit: 7}); ; {
		page, err := s.ScanKeyrings(t.Context(), q)
		if err != nil {
			t.Fatalf("scan keyrings: %v", err)
		}
		got = append(got, page...)
		var changes []storage.KeyChange
		for i := range page {
			if next := page[i]; next.State == storage.KeyLive {
				next.Version, next.Epoch = next.Version+1, 9
				next.Record = append(bytes.Clone(next.Record), "somewhat longer"...)
				changes = append(changes, storage.KeyChange{Keyring: &next})
			}
		}
		store(t, s, changes...)
		if len(page) < q.Limit {
			break
		}
		q.After = page[len(page)-1].KRID
	}
	same(t, "walk that changes what it has seen", order, got)
	copy(order, walk(t, s, storage.KeyringQuery{Limit: 50}))
	byKRID := func(a, b storage.Keyring) bool { return a.KRID == b.KRID }
	if !slices.EqualFunc(got, order, byKRID) {
		t.Error("keyrings that were changed come in another order")
	}
}

func sameKeyring(a, b storage.Keyring) bool {
	return a.KRID == b.KRID && a.Version == b.Version && a.Epoch == b.Epoch && a.State == b.State &&
		bytes.Equal(a.Record, b.Record)
}

// walk scans page by page to the end.
func walk(t testing.TB, s storage.Keystore, q storage.KeyringQuery) (all []storage.Keyring) {
	t.Helper()
	for {
		page, err := s.ScanKeyrings(t.Context(), q)
		if err != nil {
			t.Fatalf("scan keyrings: %v", err)
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		q.After = page[len(page)-1].KRID
	}
}

func scanWhileAdded(t *testing.T, s storage.Keystore, order []storage.Keyring) {
	var adding sync.WaitGroup
	for range 4 {
		adding.Go(func() {
			for range 25 {
				c, _, _ := minting(person())
				if _, err := s.ChangeKeys(t.Context(), []storage.KeyChange{c}); err != nil {
					t.Errorf("change keys: %v", err)
				}
			}
		})
	}
	for range 3 {
		got := walk(t, s, storage.KeyringQuery{Limit: 11})
		old := slices.DeleteFunc(slices.Clone(got), func(k storage.Keyring) bool {
			return !slices.ContainsFunc(order, func(o storage.Keyring) bool { return o.KRID == k.KRID })
		})
		same(t, "walk while keyrings are added", order, old)
		seen := make(map[event.KRID]bool)
		for _, k := range got {
			if seen[k.KRID] {
				t.Error("a walk saw a keyring twice")
			}
			seen[k.KRID] = true
		}
	}
	adding.Wait()
	same(t, "keyrings after all", len(order)+100, len(walk(t, s, storage.KeyringQuery{Limit: 100})))
}

// marker is text that is nowhere else.
func marker() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ScrubRemoves holds that after ScrubKeys no byte of what was replaced, removed or pruned is left anywhere. Markers
// that stay prove that the search would have found them.
func ScrubRemoves(t *testing.T, open Open) {
	e := open(t)
	var goes, stays []string
	for range 3 {
		for i := range 30 {
			gone, kept := scrubbed(t, e.Keys, i)
			goes, stays = append(goes, gone...), append(stays, kept...)
		}
		u := use(0, person())
		u.At, u.Reason, u.Words, u.Purpose = -1000, marker(), []byte(marker()), marker()
		u.Actor.ID, u.Entries[0].Group = event.ActorID(marker()), marker()
		record(t, e.Keys, u, use(1, person()))
		goes = append(goes, u.Reason, string(u.Words), u.Purpose, string(u.Actor.ID), u.Entries[0].Group,
			string(u.Entries[0].KRID[:8]))
		expectMarkers(t, e, "before PruneUses", append(stays[len(stays)-8:], goes[len(goes)-6:]...), true)
		prune(t, e.Keys, 0, 1)
		residue, err := e.Keys.ScrubKeys(t.Context())
		if err != nil {
			t.Fatalf("scrub: %v", err)
		}
		if (len(residue.Remains) > 0) != e.Features.Remains {
			t.Errorf("with nobody reading, ScrubKeys leaves %q", residue.Remains)
		}
		for range 2 {
			expectMarkers(t, e, "after ScrubKeys", stays, true)
			expectMarkers(t, e, "after ScrubKeys", goes, false)
			e.Reopen(t)
		}
	}
}

// scrubbed stores things of which some are replaced or removed, and returns what marks them.
func scrubbed(t *testing.T, s storage.Keystore, i int) (goes, stays []string) {
	padding := make([]byte, 100+i%10*2000) // some do not fit one page of a database
	mark := func(texts *[]string) []byte {
		m := marker()
		*texts = append(*texts, m)
		return append(bytes.Clone(padding), m...)
	}
	k, r, e := ring(person()), retention("class", int64(i)), epoch(uint32(1))
	e.Version, r.Version = uint64(0), uint64(0)
	if now := head(t, s).Epochs; len(now) > 0 {
		e.Version = now[0].Version
	}
	r.Version = retentions(t, s, r.RetentionID)[0].Version
	removed, replaced, kept := live(person()), live(person()), live(person())
	k.Record, r.Record, e.Record = mark(&goes), mark(&goes), mark(&goes)
	r.Version, e.Version = r.Version+1, e.Version+1
	store(t, s, storage.KeyChange{
		Keyring: &k, Retention: &r, Epoch: &e, Add: []storage.Lookup{removed, replaced, kept},
	})
	goes = append(goes, string(removed.Token[:]), string(removed.KRID[:]), string(replaced.KRID[:]))
	k.Record, r.Record, e.Record = mark(&stays), mark(&goes), mark(&goes)
	k.Version, r.Version, e.Version = k.Version+1, r.Version+1, e.Version+1
	suppressed := storage.Lookup{Token: replaced.Token, State: storage.KeyDestroyed, Until: 1}
	store(t, s, storage.KeyChange{
		Keyring: &k, Retention: &r, Epoch: &e, Remove: []storage.LookupToken{removed.Token},
		Replace: []storage.Lookup{suppressed},
	})
	gone := e
	gone.Version, gone.Record = e.Version+1, []byte("nothing of it")
	last := r
	last.Version, last.Record = r.Version+1, []byte("receipt 9")
	store(t, s, storage.KeyChange{Epoch: &gone, Retention: &last})
	return goes, append(stays, string(replaced.Token[:]), string(kept.Token[:]), string(kept.KRID[:]))
}

func expectMarkers(t *testing.T, e *Engine, when string, markers []string, want bool) {
	t.Helper()
	dump := e.Dump(t)
	wrong := 0
	for _, m := range markers {
		if slices.ContainsFunc(dump, func(b []byte) bool { return bytes.Contains(b, []byte(m)) }) != want {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%s: found is %t for %d of %d markers", when, !want, wrong, len(markers))
	}
}

// SizesAddUp holds that every part is named once and that together they are what the keystore takes.
func SizesAddUp(t *testing.T, open Open) {
	e := open(t)
	last := map[string]int64{}
	for round := range 3 {
		var changes []storage.KeyChange
		for range 200 {
			c, _, _ := minting(person())
			changes = append(changes, c)
		}
		for i := range 100 {
			r := retention("class", int64(round*100+i))
			changes = append(changes, storage.KeyChange{Retention: &r})
		}
		store(t, e.Keys, changes...)
		for i := range 100 {
			record(t, e.Keys, use(i, person(), person(), person()))
		}
		sizes, err := e.Keys.KeySizes(t.Context())
		if err != nil {
			t.Fatalf("sizes: %v", err)
		}
		var sum int64
		now := map[string]int64{}
		for _, z := range sizes {
			now[z.Part] += z.Bytes
			sum += z.Bytes
		}
		if want := e.Bytes(t); sum != want || len(now) != len(sizes) {
			t.Errorf("%d parts add up to %d bytes, but the keystore takes %d", len(sizes), sum, want)
		}
		for _, part := range []string{"keyrings", "lookups", "retentions", "uses", "other"} {
			if bytes, ok := now[part]; !ok || part != "other" && bytes <= last[part] {
				t.Errorf("part %s takes %d bytes after %d", part, bytes, last[part])
			}
		}
		same(t, "number of parts", 5, len(sizes))
		last = now
	}
}
