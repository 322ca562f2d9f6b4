package follow_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/storage"
)

// stored are checkpoints that somebody else has written.
type stored map[string]string

func (s stored) Checkpoint(_ context.Context, key string) (storage.Checkpoint, error) {
	return storage.Checkpoint{Revision: 1, Note: []byte(s[key])}, nil
}

func (stored) Advance(context.Context, string, storage.Checkpoint, storage.Checkpoint) (storage.Checkpoint, error) {
	return storage.Checkpoint{}, errors.New("not asked for")
}

func (s stored) Checkpoints(ctx context.Context) ([]storage.NamedCheckpoint, error) {
	var all []storage.NamedCheckpoint
	for key := range s {
		c, err := s.Checkpoint(ctx, key)
		if err != nil {
			return nil, err
		}
		all = append(all, storage.NamedCheckpoint{Follower: key, Checkpoint: c})
	}
	return all, nil
}

func noteStatus(note string) ([]follow.Standing, error) {
	return follow.Status(context.Background(), stored{"f": note}, 100)
}

// The examples of docs/format/checkpoint.md, as the page shows them.
func examples(t testing.TB) []string {
	t.Helper()
	page, err := os.ReadFile("../docs/format/checkpoint.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	if len(all) != 3 {
		t.Fatalf("the page has %d examples, want 3", len(all))
	}
	return all
}

func TestExamplesOfThePage(t *testing.T) {
	all := examples(t)
	id, err := event.ParseID("0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")
	if err != nil {
		t.Fatal(err)
	}
	lane := func(i int) follow.Standing {
		return follow.Standing{Follower: "f", Lane: i, Lanes: 4, Lag: 100, State: follow.Running}
	}
	for i, want := range [][]follow.Standing{
		{{Follower: "f", Lanes: 1, Lag: 100, State: follow.Stopped, Poison: &follow.Poisoned{
			Follower: "f", Position: 42, ID: id, Code: "internal"}}},
		{{Follower: "f", Lanes: 1, Lag: 100, State: follow.Running, Skipped: 1, Skips: []follow.Skipped{{
			ID: id, Code: "internal", Decision: follow.Decision{
				Position: 42, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "known_bad_amount"}}}}},
		{lane(0), lane(1), lane(2), lane(3)},
	} {
		got, err := noteStatus(all[i])
		if err != nil {
			t.Errorf("example %d: %v", i, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("example %d: %s", i, diff)
		}
	}
}

func TestDamagedNotesAreRefused(t *testing.T) {
	poison, skips := examples(t)[0], examples(t)[1]
	for note, want := range map[string]error{
		`{"v":2,"state":"dreaming"}`:                               event.ErrFormat,
		`{}`:                                                       event.ErrCorrupt,
		`{"v":1}`:                                                  event.ErrCorrupt,
		`{"v":0,"state":"paused"}`:                                 event.ErrCorrupt,
		`{"v":1,"state":"paused"`:                                  event.ErrCorrupt,
		`{"v":1,"state":"paused"} `:                                event.ErrCorrupt,
		`{"v":1,"state":"paused"}{}`:                               event.ErrCorrupt,
		`{"v":1,"State":"paused"}`:                                 event.ErrCorrupt,
		`{"v":1,"state":"running"}`:                                event.ErrCorrupt,
		`{"v":1,"state":"poisoned"}`:                               event.ErrCorrupt,
		`{"v":1,"state":"paused","state":"paused"}`:                event.ErrCorrupt,
		`{"v":1,"state":"paused","plan":1}`:                        event.ErrCorrupt,
		`{"v":1,"lanes":1}`:                                        event.ErrCorrupt,
		`{"v":1,"lanes":65}`:                                       event.ErrCorrupt,
		`{"v":1,"state":"paused","lanes":2}`:                       event.ErrCorrupt,
		strings.Replace(poison, `"internal"`, `"No such"`, 1):      event.ErrCorrupt,
		strings.Replace(poison, `"poisoned"`, `"paused"`, 1):       event.ErrCorrupt,
		strings.Replace(skips, `"skipped":1`, `"skipped":0`, 1):    event.ErrCorrupt,
		strings.Replace(skips, `employee/7`, `a@example.org`, 1):   event.ErrCorrupt,
		strings.Replace(skips, `"position":42`, `"position":0`, 1): event.ErrCorrupt,
	} {
		if _, err := noteStatus(note); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", note, err, want)
		}
	}
	for _, key := range []string{"", "f#0/1", "f#2/2", "f#00/2", "f#0/2/", "f#0/65", "#0/2"} {
		if _, err := follow.Status(t.Context(), stored{key: ""}, 1); !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("checkpoint %q: %v", key, err)
		}
	}
}

func FuzzNote(f *testing.F) {
	for _, example := range examples(f) {
		f.Add(example)
	}
	f.Add(`{"v":1,"state":"paused","moved":true}`)
	f.Fuzz(func(t *testing.T, note string) {
		all, err := noteStatus(note)
		if err != nil && !errors.Is(err, event.ErrCorrupt) && !errors.Is(err, event.ErrFormat) {
			t.Fatalf("refused with %v", err)
		}
		for _, s := range all {
			if (s.State == follow.Stopped) != (s.Poison != nil) || len(s.Skips) > s.Skipped {
				t.Errorf("accepted %+v", s)
			}
		}
	})
}
