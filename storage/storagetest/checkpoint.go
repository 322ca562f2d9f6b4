package storagetest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// CheckpointZero holds that a follower that never stored one is at the zero Checkpoint.
func CheckpointZero(t *testing.T, open Open) {
	s := open(t).Store
	advance(t, s, "relay", storage.Checkpoint{}, storage.Checkpoint{Note: []byte("n")})
	for _, follower := range []string{"", "relay2", "Relay", "rela"} {
		got, err := s.Checkpoint(t.Context(), follower)
		if err != nil {
			t.Fatalf("checkpoint of %q: %v", follower, err)
		}
		same(t, "checkpoint never stored", storage.Checkpoint{}, got)
	}
}

func advance(t testing.TB, s storage.Store, follower string, from, to storage.Checkpoint) storage.Checkpoint {
	t.Helper()
	got, err := s.Advance(t.Context(), follower, from, to)
	if err != nil {
		t.Fatalf("advance %s from revision %d: %v", follower, from.Revision, err)
	}
	return got
}

// CheckpointCAS holds that a checkpoint moves only from the revision that is stored, whoever tries at the same time.
func CheckpointCAS(t *testing.T, open Open) {
	e := open(t)
	var last storage.Checkpoint
	for revision := range uint64(4) {
		to := storage.Checkpoint{
			Revision: 77, // the engine counts
			Cursor: event.Cursor{
				Store: event.StoreID{1}, Incarnation: math.MaxUint64 - event.Incarnation(revision),
				Position: math.MaxUint64,
			},
			Note: [][]byte{[]byte("note"), nil, {}, {0}}[revision],
		}
		got := advance(t, e.Store, "relay", storage.Checkpoint{Revision: revision}, to)
		to.Revision = revision + 1
		if len(to.Note) == 0 {
			to.Note = nil
		}
		same(t, "checkpoint as advanced", to, got)
		for _, stale := range []uint64{0, revision, revision + 2, math.MaxUint64} {
			_, err := e.Store.Advance(t.Context(), "relay", storage.Checkpoint{Revision: stale}, storage.Checkpoint{})
			if !errors.Is(err, event.ErrConflict) {
				t.Errorf("advance from revision %d of %d: %v", stale, revision+1, err)
			}
		}
		e.Reopen(t)
		stored, err := e.Store.Checkpoint(t.Context(), "relay")
		if err != nil {
			t.Fatalf("checkpoint: %v", err)
		}
		same(t, "checkpoint as stored", to, stored)
		last = stored
	}
	if _, err := e.Store.Advance(t.Context(), "new", last, storage.Checkpoint{}); !errors.Is(err, event.ErrConflict) {
		t.Errorf("advance of a follower that has no checkpoint from revision %d: %v", last.Revision, err)
	}
	race(t, e.Store, last)
}

func race(t *testing.T, s storage.Store, from storage.Checkpoint) {
	t.Helper()
	var won atomic.Int64
	var racing sync.WaitGroup
	for i := range 8 {
		racing.Go(func() {
			_, err := s.Advance(t.Context(), "relay", from, storage.Checkpoint{Note: fmt.Append(nil, i)})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, event.ErrConflict) {
				t.Errorf("advance: %v", err)
			}
		})
	}
	racing.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 advances from one revision went through", won.Load())
	}
}

// CheckpointsListed holds that all checkpoints are listed by name.
func CheckpointsListed(t *testing.T, open Open) {
	s := open(t).Store
	var want []storage.NamedCheckpoint
	names := []string{"B", "a", "a/1", "aa", "b", "é"}
	for i := range names {
		name := names[(i+3)%len(names)]
		advance(t, s, name, storage.Checkpoint{}, storage.Checkpoint{Note: []byte(name)})
	}
	for _, name := range names {
		from := storage.Checkpoint{Revision: 1}
		to := storage.Checkpoint{Cursor: event.Cursor{Position: event.Position(len(name))}}
		want = append(want, storage.NamedCheckpoint{Follower: name, Checkpoint: advance(t, s, name, from, to)})
	}
	got, err := s.Checkpoints(t.Context())
	if err != nil {
		t.Fatalf("checkpoints: %v", err)
	}
	same(t, "checkpoints", want, got)
}
