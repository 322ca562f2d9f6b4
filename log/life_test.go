package log_test

import (
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func become(t testing.TB, engine storage.Store, l storage.Life) {
	t.Helper()
	_, err := engine.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return storage.Batch{Life: &l}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMoved: a log that moved refuses what is new and names where it is, answers what it holds, and can be read.
func TestMoved(t *testing.T) {
	broken := false
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if broken && op == memory.OpRewrite {
			return errors.New("broken")
		}
		return nil
	}})
	l, _ := open(t, engine)
	first := request(write("1", event.Any, draft(1), draft(2)))
	want := must(t, l, first)
	broken = true
	if err := l.Truncate(t.Context(), event.Actor{}, event.Stream("note", "1"), 2); err == nil {
		t.Fatal("the truncation was not cut off")
	}
	for state, code := range map[storage.State]string{storage.Moving: "moving", storage.Moved: "moved"} {
		become(t, engine, storage.Life{State: state, Place: "/there"})
		fails(t, l, request(write("1", event.Any, draft(9))), code)
		err := l.Close(t.Context(), event.Actor{}, event.Stream("note", "1"))
		if event.Code(err) != code || !errors.Is(err, event.ErrClosed) {
			t.Errorf("close a stream of a log that is %s: %v", state, err)
		}
		got, err := l.Append(t.Context(), request(write("1", event.Any, draft(1), draft(2))))
		if err != nil || !got.Repeated || got.Events[1] != want.Events[1] {
			t.Errorf("an append the log holds, again: %+v, %v", got, err)
		}
	}

	// What was to be pruned is pruned here, too.
	broken = false
	l, _ = open(t, engine)
	report, err := l.Verify(t.Context(), nil)
	if err != nil || !report.OK() || report.Pruned != 1 {
		t.Errorf("verify a log that moved: %+v, %v", report, err)
	}
}

// TestFilling: nobody works on an incomplete copy, not even who had the empty store open when it began to be one, nor
// once it is complete: that is another log.
func TestFilling(t *testing.T) {
	other := memory.Open(memory.Options{})
	head, err := other.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	if err := engine.Adopt(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	_, err = log.Open(t.Context(), engine, log.Options{})
	if event.Code(err) != "incomplete_copy" || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("open an incomplete copy: %v", err)
	}
	fails(t, l, request(write("1", event.Any, draft(1))), "incomplete_copy")
	become(t, engine, storage.Life{})
	fails(t, l, request(write("1", event.Any, draft(1))), "unavailable")
	l, _ = open(t, engine)
	must(t, l, request(write("1", event.Any, draft(1))))
}

// TestVerifierGoesOn: a second run looks at what is new only, and reports on all.
func TestVerifierGoesOn(t *testing.T) {
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	v := log.NewVerifier(engine)
	for n := range 4 {
		var looked event.Position
		for i := range 200 {
			must(t, l, request(write("1", event.Any, draft(1000*n+i))))
		}
		report, err := v.Run(t.Context(), func(done, _ event.Position) { looked = done })
		if err != nil || !report.OK() || report.Events != uint64(200*(n+1)) || looked != event.Position(200*(n+1)) {
			t.Fatalf("run %d: %+v, looked up to %d: %v", n, report, looked, err)
		}
		whole, err := log.Verify(t.Context(), engine, nil)
		if err != nil || whole.Root != report.Root || whole.Tiles != report.Tiles {
			t.Fatalf("run %d: root %x, of the whole %x: %v", n, report.Root, whole.Root, err)
		}
	}
}
