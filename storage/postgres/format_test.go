package postgres_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// TestUpgradeFromFormat1 opens a log as versions made it that knew no fences: it keeps what it has, and takes fences.
func TestUpgradeFromFormat1(t *testing.T) {
	address := pgtest.Place(t)
	s := open(t, address, postgres.Options{})
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	before := all(t, s)
	closeStore(t, s)
	conn, schema := connect(t, address)
	for _, text := range []string{
		"DROP TABLE " + schema + ".fence", "ALTER TABLE " + schema + ".token DROP COLUMN may_open",
		"DELETE FROM " + schema + ".lethe_format WHERE format > 1",
	} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	s, err := postgres.Open(t.Context(), address, nil) // also without leave to create one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	if diff := cmp.Diff(before, all(t, s)); diff != "" {
		t.Errorf("the upgrade changed the log (-before +after):\n%s", diff)
	}
	if err := narrow(s, event.KRID{1}); err != nil {
		t.Error(err)
	}
	fences, err := s.Fences(t.Context(), 0, 1)
	want := []storage.Fence{{Number: 1, KRID: event.KRID{1}, Position: 1}}
	if err != nil || !slices.Equal(fences, want) {
		t.Errorf("the fences are %v, want %v: %v", fences, want, err)
	}
	var formats int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".lethe_format").Scan(&formats)
	if err != nil || formats != 2 {
		t.Errorf("the table of formats has %d rows, want 2: %v", formats, err)
	}
}

// narrow commits a fence for a person, and nothing else.
func narrow(s storage.Log, krid event.KRID) error {
	_, err := s.Commit(context.Background(), storage.Probe{},
		func(h storage.Head, _ storage.Found) (storage.Batch, error) {
			return storage.Batch{Fences: []storage.Fence{{KRID: krid, Position: h.Position}}}, nil
		})
	return err
}

// TestFenceSeenByOthers sets fences at one of two stores: the other sees the head's fence with whatever it does next,
// and its commits are decided under it, also those made on a guess.
func TestFenceSeenByOthers(t *testing.T) {
	t.Parallel()
	both := twins(t, pgtest.Place(t))
	for range 70 { // enough to go without asking whether another process is there
		if err := add(both[1], payload); err != nil {
			t.Fatal(err)
		}
	}
	decided := func(s storage.Log) (fence uint64) {
		_, err := s.Commit(t.Context(), storage.Probe{}, func(h storage.Head, _ storage.Found) (storage.Batch, error) {
			fence = h.Fence
			return storage.Batch{Tiles: []storage.Tile{{ID: storage.TileID{N: h.Fence}, Hashes: make([]byte, 8192)}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return fence
	}
	for n := uint64(1); n <= 4; n++ {
		if err := narrow(both[n%2], event.KRID{byte(n)}); err != nil {
			t.Fatal(err)
		}
		if fence := decided(both[(n+1)%2]); fence != n {
			t.Errorf("after fence %d the other store's commit is decided under %d", n, fence)
		}
		for i, s := range both {
			if head, err := s.Head(t.Context()); err != nil || head.Fence != n {
				t.Errorf("after fence %d store %d is at fence %d: %v", n, i, head.Fence, err)
			}
		}
	}
	fences, err := both[0].Fences(t.Context(), 1, 2)
	want := []storage.Fence{{Number: 2, KRID: event.KRID{2}, Position: 70}, {Number: 3, KRID: event.KRID{3}, Position: 70}}
	if err != nil || !slices.Equal(fences, want) {
		t.Errorf("the fences after 1 are %v, want %v: %v", fences, want, err)
	}
}
