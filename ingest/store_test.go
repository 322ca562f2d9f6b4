package ingest_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// TestIntoALog imports the documented examples into a real log, twice: the fake of the other tests must not be
// kinder than the house.
func TestIntoALog(t *testing.T) {
	for name, parts := range examples(t) {
		l, err := log.Open(t.Context(), memory.Open(memory.Options{}), log.Options{})
		if err != nil {
			t.Fatal(err)
		}
		key := storage.ImportKey(l.Identity().Secret)
		inputs := []ingest.Input{text("in", parts["input"])}
		fake := newFakeStore()
		want, err := ingest.Run(t.Context(), fake, key, parse(t, parts["map"]), inputs, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for run := range 2 {
			got, err := ingest.Run(t.Context(), l, key, parse(t, parts["map"]), inputs, ingest.Options{BatchEvents: 2})
			if err != nil {
				t.Fatal(err)
			}
			if run == 1 {
				want.EventsAdded, want.EventsSkipped = 0, want.EventsAdded
			}
			got.Seconds, want.Seconds = 0, 0
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, run %d, the fake (-), the log (+):\n%s", name, run, diff)
			}
		}
		if got := contentOf(t, l, fake.order); got != fake.content() {
			t.Errorf("%s: the log holds\n%sthe fake\n%s", name, got, fake.content())
		}
	}
}

func contentOf(t *testing.T, l *log.Log, streams []event.StreamID) (content string) {
	t.Helper()
	for _, s := range streams {
		page, err := l.Page(t.Context(), storage.Query{Stream: s, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Records {
			e, err := page.Records[i].Event()
			if err != nil {
				t.Fatal(err)
			}
			content += fmt.Sprintf("%s %s\n", e.ID, line(s, e.Draft))
		}
	}
	return content
}
