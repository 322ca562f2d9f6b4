package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
)

const (
	numbered = "{source: s, format: jsonl, events: [{stream: 'a/{s}', type: 'T{n}', data: {all: true}}]}"
	keyed    = "{source: s, format: jsonl, events: [{key: n, stream: 'a/{s}', type: 'T{n}', data: {all: true}}]}"
	traced   = `
source: s
format: xes
events:
  - {record: trace, stream: 'a/{id}', type: Begun, data: {all: true}}
  - {record: event, stream: 'a/{case.id}', type: '{n}', data: {fields: {of: '{case.id}'}}}`
)

// genLines makes JSON Lines of which some cannot be imported.
func genLines(t *rapid.T) string {
	var b strings.Builder
	for n := range rapid.IntRange(0, 40).Draw(t, "records") {
		switch rapid.IntRange(0, 9).Draw(t, "shape") {
		case 0:
			b.WriteString("{not json}\n")
		case 1:
			fmt.Fprintf(&b, `{"n":%d}`+"\n", n)
		default:
			fmt.Fprintf(&b, `{"n":%d,"s":"%d"}`+"\n", n, rapid.IntRange(0, 3).Draw(t, "stream"))
		}
	}
	return b.String()
}

func genXES(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("<log>")
	for trace := range rapid.IntRange(0, 8).Draw(t, "traces") {
		fmt.Fprintf(&b, `<trace><string key="id" value="%d"/>`, trace%5)
		for n := range rapid.IntRange(0, 6).Draw(t, "events") {
			fmt.Fprintf(&b, `<event><string key="n" value="E%d"/></event>`, n)
		}
		b.WriteString("</trace>\n")
	}
	return b.String() + "</log>"
}

// TestInterruptedAndRepeated: cut off at any batch, by the store (which may or may not have kept the request it
// failed at) or by the context, and run again until it ends, an import comes to what it comes to in one go.
func TestInterruptedAndRepeated(t *testing.T) {
	maps := map[string]*ingest.Map{}
	for _, text := range []string{numbered, keyed, traced} {
		maps[text] = parse(t, text)
	}
	interrupted := 0
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SampledFrom([]string{numbered, keyed, traced}).Draw(t, "map")
		content := ""
		if source == traced {
			content = genXES(t)
		} else {
			content = genLines(t)
		}
		inputs := []ingest.Input{text("in", content)}
		once, again := newFakeStore(), newFakeStore()
		want, err := ingest.Run(context.Background(), once, [32]byte{}, maps[source], inputs, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		added := int64(0)
		for runs := 0; ; runs++ {
			ctx, cancel := context.WithCancel(context.Background())
			again.fault = genFault(t, runs > 20, cancel)
			batch := rapid.IntRange(1, 7).Draw(t, "batch")
			sum, err := ingest.Run(ctx, again, [32]byte{}, maps[source], inputs, ingest.Options{BatchEvents: batch})
			cancel()
			added += sum.EventsAdded
			if err == nil {
				if sum.Rejected != want.Rejected || sum.Records != want.Records ||
					sum.EventsAdded+sum.EventsSkipped != want.EventsAdded+want.EventsSkipped {
					t.Fatalf("the last run came to %+v, one run to %+v", sum, want)
				}
				break
			}
			interrupted++
			if !errors.Is(err, event.ErrUnknown) && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(once.content(), again.content()); diff != "" {
			t.Fatalf("in one go (-), interrupted (+):\n%s", diff)
		}
		if added > want.EventsAdded {
			t.Fatalf("the runs together added %d events, one run %d", added, want.EventsAdded)
		}
	})
	if interrupted == 0 {
		t.Error("no run was interrupted")
	}
}

// genFault makes a call fail now and then, until calm.
func genFault(t *rapid.T, calm bool, cancel func()) func() (int, bool, error) {
	return func() (int, bool, error) {
		if calm {
			return 0, false, nil
		}
		switch rapid.IntRange(0, 9).Draw(t, "fault") {
		case 0:
			cancel()
			return 0, false, nil
		case 1:
			after := rapid.IntRange(0, 5).Draw(t, "after")
			return after, rapid.Bool().Draw(t, "appended"), event.Errorf(event.ErrUnknown, "commit: lost")
		}
		return 0, false, nil
	}
}

func TestSecondRunAddsNothing(t *testing.T) {
	for name, parts := range examples(t) {
		m, store := parse(t, parts["map"]), newFakeStore()
		inputs := []ingest.Input{text("in", parts["input"])}
		one, err := ingest.Run(t.Context(), store, [32]byte{}, m, inputs, ingest.Options{})
		if err != nil || one.EventsAdded == 0 || one.EventsSkipped != 0 {
			t.Fatalf("%s: %v, %+v", name, err, one)
		}
		before := store.content()
		two, err := ingest.Run(t.Context(), store, [32]byte{}, m, inputs, ingest.Options{})
		if err != nil || two.EventsAdded != 0 || two.EventsSkipped != one.EventsAdded || two.Records != one.Records {
			t.Errorf("%s: %v, %+v after %+v", name, err, two, one)
		}
		if store.content() != before {
			t.Errorf("%s: the second run changed the store", name)
		}
	}
}

// TestChangedRecordIsRejected: the same id with other content is told, never doubled and never overwritten.
func TestChangedRecordIsRejected(t *testing.T) {
	m, store, rejects := parse(t, keyed), newFakeStore(), &bytes.Buffer{}
	for _, content := range []string{`{"n":1,"s":"a"}`, `{"n":1,"s":"a","x":2}`} {
		if _, err := ingest.Run(t.Context(), store, [32]byte{}, m, []ingest.Input{text("in", content)},
			ingest.Options{Rejects: rejects}); err != nil {
			t.Fatal(err)
		}
	}
	if store.events() != 1 || !strings.Contains(rejects.String(), `"record":1,"line":1,"code":"id_conflict"`) {
		t.Errorf("%d events, rejects %s", store.events(), rejects)
	}
}

// TestStoreThatCannotGoOn ends the run with what was done so far.
func TestStoreThatCannotGoOn(t *testing.T) {
	m := parse(t, numbered)
	content := strings.Repeat(`{"n":1,"s":"a"}`+"\n", 10)
	for _, cause := range []error{event.ErrUnavailable, event.ErrFailed, event.ErrFull, event.ErrUnknown,
		event.ErrHeld, event.ErrCorrupt, errors.New("of an unknown kind")} {
		store, calls := newFakeStore(), 0
		store.fault = func() (int, bool, error) {
			if calls++; calls == 3 {
				return 1, false, cause
			}
			return 0, false, nil
		}
		sum, err := ingest.Run(t.Context(), store, [32]byte{}, m, []ingest.Input{text("in", content)},
			ingest.Options{BatchEvents: 2})
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "record 6, line 6") {
			t.Errorf("%v: the run ended with %v", cause, err)
		}
		sum.Seconds = 0
		if diff := cmp.Diff(ingest.Summary{Records: 5, EventsAdded: 5}, sum); diff != "" || calls != 3 {
			t.Errorf("%v after %d calls:\n%s", cause, calls, diff)
		}
	}
}

// TestStrictStopsAtTheFirst: everything before the bad record is in, nothing behind it.
func TestStrictStopsAtTheFirst(t *testing.T) {
	m := parse(t, numbered)
	content := `{"n":1,"s":"a"}` + "\n" + `{"n":2,"s":"b"}` + "\n" + `{"n":3}` + "\n" + `{"n":4,"s":"a"}`
	for _, batch := range []int{1, 2, 100} {
		store, rejects := newFakeStore(), &bytes.Buffer{}
		sum, err := ingest.Run(t.Context(), store, [32]byte{}, m, []ingest.Input{text("in", content)},
			ingest.Options{Strict: true, BatchEvents: batch, Rejects: rejects})
		if event.Code(err) != "missing_field" || !errors.Is(err, event.ErrInvalid) {
			t.Errorf("the run ended with %v", err)
		}
		if store.events() != 2 || sum.Rejected != 1 || sum.Records != 3 || strings.Count(rejects.String(), "\n") != 1 {
			t.Errorf("batches of %d: %d events, %+v, rejects %s", batch, store.events(), sum, rejects)
		}
	}
}

func TestClosedStreamRejectsAndGoesOn(t *testing.T) {
	m, store, rejects := parse(t, numbered), newFakeStore(), &bytes.Buffer{}
	store.closed[event.Stream("a", "2")] = true
	content := `{"n":1,"s":"1"}` + "\n" + `{"n":2,"s":"2"}` + "\n" + `{"n":3,"s":"3"}`
	sum, err := ingest.Run(t.Context(), store, [32]byte{}, m, []ingest.Input{text("in", content)},
		ingest.Options{Rejects: rejects})
	want := `{"input":"in","record":2,"line":2,"code":"stream_closed","cause":"its stream is closed"}` + "\n"
	if err != nil || sum.EventsAdded != 2 || sum.Rejected != 1 || rejects.String() != want {
		t.Errorf("%v, %+v, rejects %s", err, sum, rejects)
	}
	_, err = ingest.Run(t.Context(), store, [32]byte{}, m, []ingest.Input{text("in", content)},
		ingest.Options{Strict: true})
	if !errors.Is(err, event.ErrClosed) {
		t.Errorf("strict, the run ended with %v", err)
	}
}
