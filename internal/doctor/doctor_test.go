package doctor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/doctor"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// fill appends n events by a log of its own, which stays open.
func fill(t *testing.T, engine storage.Store, n int) {
	t.Helper()
	store, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // some tests end it before
	for range n {
		_, err := store.As(event.Actor{Kind: "employee", ID: "7"}).Append(t.Context(), event.Stream("application", "1"),
			event.Any, event.Draft{Type: "Noted", Data: []byte(`{"amount": 1}`), Metadata: map[string]string{"channel": "web"}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func examine(t *testing.T, engine storage.Store) *doctor.Report {
	t.Helper()
	report, err := doctor.Examine(t.Context(), doctor.Engine(engine), nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(r *doctor.Report) (list []string) {
	for _, c := range r.Checks {
		list = append(list, c.Name)
	}
	return list
}

func TestWholeStore(t *testing.T) {
	folder, err := sqlite.Open(t.Context(), t.TempDir(), &sqlite.Options{Indexed: []string{"channel"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		engine storage.Store
		want   string
	}{
		{folder, "sqlite settings format structure lock life head lineage index tree"},
		{memory.Open(memory.Options{Indexed: []string{"channel"}}), "life head lineage index tree"},
	} {
		fill(t, test.engine, 3)
		report := examine(t, test.engine)
		if got := strings.Join(names(report), " "); got != test.want || report.Head != 3 {
			t.Errorf("checks up to position %d: %s, want %s", report.Head, got, test.want)
		}
		if wrong := report.Wrong(); wrong != nil {
			t.Errorf("a store that is whole: %+v", wrong)
		}
		said := report.Checks[len(report.Checks)-2].Detail
		if want := "reaches position 3; 3 events asked for, all found; it knows metadata channel"; said != want {
			t.Errorf("of the index it says %q, want %q", said, want)
		}
	}
}

// lying is an engine that answers otherwise than it should.
type lying struct {
	storage.Store
	head func(*storage.Head)
	page func(storage.Query, *storage.Page) error
}

func (l lying) Head(ctx context.Context) (storage.Head, error) {
	h, err := l.Store.Head(ctx)
	if l.head != nil {
		l.head(&h)
	}
	return h, err
}

func (l lying) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	p, err := l.Store.Page(ctx, q)
	if err == nil && l.page != nil {
		err = l.page(q, &p)
	}
	return p, err
}

// TestWhatIsWrong holds that each thing that can be wrong is found, by its check and with its place.
func TestWhatIsWrong(t *testing.T) {
	engine := memory.Open(memory.Options{})
	fill(t, engine, 3)
	away := event.Errorf(event.ErrUnavailable, "away")
	for name, test := range map[string]struct {
		lie   lying
		wrong string // check and detail
		err   error
	}{
		"a life nobody knows": {lying{head: func(h *storage.Head) { h.Life.State = 9 }},
			"life: state 9, which this version does not know", nil},
		"no lineage":                 {lying{head: func(h *storage.Head) { h.Lineage = nil }}, "lineage: store ", nil},
		"a fork that is not reached": {lying{head: func(h *storage.Head) { h.Lineage[0].First = 9 }}, "from position 9", nil},
		"an index without an event": {lying{page: func(q storage.Query, p *storage.Page) error {
			if len(q.Filter) > 0 && q.From == 2 {
				p.Records = nil
			}
			return nil
		}}, "index: position 2 is not found by all of its terms", nil},
		"a row that is damaged": {lying{page: func(q storage.Query, p *storage.Page) error {
			if q.From <= 3 && (q.To == 0 || q.To >= 3) {
				return event.Errorf(event.ErrCorrupt, "damaged")
			}
			return nil
		}}, "index: position 3: damaged", nil},
		"an event that changed": {lying{page: func(q storage.Query, p *storage.Page) error {
			for i := range p.Records {
				if p.Records[i].Position == 2 {
					p.Records[i].Recorded++
				}
			}
			return nil
		}}, "tree: position 2: ", nil},
		"nobody there": {lying{page: func(storage.Query, *storage.Page) error { return away }}, "", away},
	} {
		test.lie.Store = engine
		report, err := doctor.Examine(t.Context(), doctor.Engine(test.lie), nil)
		if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.err)
			continue
		}
		if err != nil {
			continue
		}
		wrong := report.Wrong()
		if wrong == nil || !strings.Contains(wrong.Name+": "+wrong.Detail, test.wrong) {
			t.Errorf("%s: %+v, want %s", name, wrong, test.wrong)
		}
	}
}

// TestStatesOfLife holds that every state of a store is said, and that none but an unknown one is a fault.
func TestStatesOfLife(t *testing.T) {
	engine := memory.Open(memory.Options{})
	fill(t, engine, 1)
	for state, want := range map[storage.State]string{
		storage.Live: "live", storage.Moving: "moving to /srv/bank: it is sealed",
		storage.Moved: "moved to /srv/bank: it is sealed", storage.Filling: "an incomplete copy",
	} {
		report := examine(t, lying{Store: engine, head: func(h *storage.Head) {
			h.Life = storage.Life{State: state, Place: "/srv/bank"}
		}})
		i := slices.Index(names(report), "life")
		if c := report.Checks[i]; !c.OK || !strings.HasPrefix(c.Detail, want) {
			t.Errorf("in state %s it says %+v, want %s", state, c, want)
		}
	}
}
