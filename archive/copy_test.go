package archive_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/archive"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func copyTo(t testing.TB, from, to storage.Store, place string) archive.Report {
	t.Helper()
	r, err := archive.Copy(t.Context(), from, to, archive.CopyOptions{Place: place})
	if err != nil {
		t.Fatalf("copy to %s: %v", place, err)
	}
	return r
}

// TestCopy moves random lives from engine to engine and back: every answer is the same.
func TestCopy(t *testing.T) {
	engines := []func(testing.TB) storage.Store{inMemory, inFolder, inDatabase}
	for seed := range uint64(9) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			first := engines[seed%3](t)
			l := newLife(t, seed, first)
			l.goOn(int(seed*seed) * 6)
			want := read(t, first)

			second, third := engines[(seed+1+seed/3)%3](t), engines[(seed+2)%3](t)
			r := copyTo(t, first, second, "/second")
			lives(t, first, storage.Life{State: storage.Moved, Place: "/second"})
			lives(t, second, storage.Life{})
			equal(t, want, read(t, second))
			equal(t, want, read(t, first))
			report := archive.Report{Events: uint64(want.Head.Position), Streams: len(want.Streams),
				Cursors: len(want.Checkpoints), Tokens: len(want.Tokens), Root: r.Root}
			if diff := cmp.Diff(report, r); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if proof, err := log.Verify(t.Context(), first, nil); err != nil || proof.Root != r.Root {
				t.Errorf("the root of the source is %x, reported %x: %v", proof.Root, r.Root, err)
			}

			again := copyTo(t, first, second, "/second")
			if report.Already = true; again != report {
				t.Errorf("copied again: %+v", again)
			}
			equal(t, want, read(t, second))
			copyTo(t, second, third, "/third")
			equal(t, want, read(t, third))
			usable(t, third)
		})
	}
}

// TestCopyPending copies a truncation that was cut off: it is cut off in the copy, too, and finished when that opens.
func TestCopyPending(t *testing.T) {
	broken := errors.New("broken")
	fail := false
	from := closing(t, memory.Open(memory.Options{Indexed: []string{"channel"}, Fail: func(op string) error {
		if fail && op == memory.OpRewrite {
			return broken
		}
		return nil
	}}))
	l := newLife(t, 1, from)
	l.goOn(300)
	busy := read(t, from).Streams
	fail = true
	cut := 0
	for _, s := range busy {
		if s.Version < 3 || s.Stream.Kind == event.SystemKind || s.Truncated > 2 {
			continue
		}
		if err := l.log.Truncate(t.Context(), event.Actor{}, s.Stream, s.Version); errors.Is(err, broken) {
			cut++
		}
	}
	if cut == 0 {
		t.Fatal("no truncation was cut off")
	}
	to := inFolder(t)
	want := read(t, from)
	copyTo(t, from, to, "/to")
	equal(t, want, read(t, to))
	usable(t, to)
	for _, s := range read(t, to).Streams {
		if s.Pruned != s.Truncated {
			t.Errorf("stream %s is pruned below %d, not below %d", s.Stream, s.Pruned, s.Truncated)
		}
	}
}

// TestCopyLarge has several pages, by number and by bytes.
func TestCopyLarge(t *testing.T) {
	from, to := inMemory(t), inFolderOf(t, 8192)
	l := newLife(t, 3, from)
	large := fmt.Appendf(nil, `{"text":"%0*d"}`, 3<<20, 1)
	for range 2 {
		w := log.Write{Stream: event.Stream("large", "1"), Expected: event.Any}
		for range 10_000 {
			w.Events = append(w.Events, event.Draft{Type: "Small", Data: []byte(`{}`)})
		}
		if _, err := l.log.Append(t.Context(), &log.Request{Writes: []log.Write{w}}); err != nil {
			t.Fatal(err)
		}
	}
	w := log.Write{Stream: event.Stream("large", "2"), Expected: event.Any}
	for range 4 {
		w.Events = append(w.Events, event.Draft{Type: "Large", Data: large})
	}
	if _, err := l.log.Append(t.Context(), &log.Request{Writes: []log.Write{w}}); err != nil {
		t.Fatal(err)
	}
	steps := map[archive.Step]event.Position{}
	_, err := archive.Copy(t.Context(), from, to, archive.CopyOptions{Place: "/to",
		Progress: func(s archive.Step, done, head event.Position) {
			if done < steps[s] || done > head {
				t.Errorf("%s goes from %d to %d of %d", s, steps[s], done, head)
			}
			steps[s] = done
		}})
	if err != nil {
		t.Fatal(err)
	}
	all := map[archive.Step]event.Position{archive.Copying: 20_004, archive.Verifying: 20_004}
	if diff := cmp.Diff(all, steps); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	want, got := walk(t, from, storage.Query{}), walk(t, to, storage.Query{})
	if !slices.EqualFunc(want, got, func(a, b storage.Record) bool { return reflect.DeepEqual(a, b) }) {
		t.Error("the records differ")
	}
	usable(t, to)
}

// TestCopyRefused holds what is not copied, or not there.
func TestCopyRefused(t *testing.T) {
	try := func(from, to storage.Store, place string) error {
		_, err := archive.Copy(t.Context(), from, to, archive.CopyOptions{Place: place})
		return err
	}
	lived := func() storage.Store {
		s := inMemory(t)
		newLife(t, 5, s).goOn(30)
		return s
	}
	filling := func(from storage.Store) storage.Store {
		s := inMemory(t)
		head, err := from.Head(t.Context())
		if err == nil {
			err = s.Adopt(t.Context(), head)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	moved := lived()
	there := inMemory(t)
	copyTo(t, moved, there, "/there")
	moving := lived()
	set(t, moving, storage.Life{State: storage.Moving, Place: "/there"})
	live := lived()

	for name, c := range map[string]struct {
		from, to storage.Store
		place    string
		want     error
		sentence string
	}{
		"nowhere":             {live, inMemory(t), "", event.ErrInvalid, "the place it moves to is not named"},
		"to itself":           {live, live, "/x", event.ErrConflict, "is the same one; name a new, empty one"},
		"into another":        {live, lived(), "/x", event.ErrConflict, "is in use; name a new, empty one"},
		"into another's copy": {live, filling(lived()), "/x", event.ErrConflict, "is an incomplete copy of another one"},
		"into one that moved": {live, moved, "/x", event.ErrConflict, "moved to /there; name a new"},
		"a copy":              {filling(live), inMemory(t), "/x", event.ErrUnavailable, "is a copy that is not complete"},
		"elsewhere":           {moved, inMemory(t), "/x", event.ErrConflict, "it moved to /there; copy it from there"},
		"while it moves":      {moving, inMemory(t), "/x", event.ErrConflict, "it is moving to /there; finish that"},
		"to a lost place":     {moved, inMemory(t), "/there", event.ErrConflict, "is not there any more; restore a backup"},
		"back":                {there, moved, "/x", event.ErrConflict, "moved to /there; name a new"},
	} {
		from, to := read(t, c.from), read(t, c.to)
		err := try(c.from, c.to, c.place)
		if !errors.Is(err, c.want) || !contains(err, c.sentence) {
			t.Errorf("%s: %v", name, err)
		}
		equalLives(t, name, from, read(t, c.from))
		equalLives(t, name, to, read(t, c.to))
	}
}

// TestCopyOfDamage finds damage before the source is sealed.
func TestCopyOfDamage(t *testing.T) {
	for name, damage := range map[string]func(r *storage.Record){
		"body":     func(r *storage.Record) { r.Body = event.AppendBody(nil, &event.Draft{Data: []byte(`{"n":1}`)}) },
		"leaf":     func(r *storage.Record) { r.Leaf[3]++ },
		"position": func(r *storage.Record) { r.Position++ },
	} {
		from := inMemory(t)
		newLife(t, 8, from).goOn(60)
		bad := &altered{Store: from, at: 40, alter: damage}
		to := inMemory(t)
		_, err := archive.Copy(t.Context(), bad, to, archive.CopyOptions{Place: "/to"})
		if !errors.Is(err, event.ErrCorrupt) || !contains(err, "lethe doctor") {
			t.Errorf("%s: %v", name, err)
		}
		lives(t, from, storage.Life{})
		if _, err := log.Open(t.Context(), to, log.Options{}); event.Code(err) != "incomplete_copy" {
			t.Errorf("%s: opened the copy: %v", name, err)
		}
	}
}
