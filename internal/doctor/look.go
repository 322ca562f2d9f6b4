package doctor

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// doctor gathers checks.
type doctor struct {
	patient Patient
	head    *storage.Head
	checks  []storage.Check
}

func (d *doctor) add(name string, ok bool, format string, args ...any) {
	d.checks = append(d.checks, storage.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// damaged turns damage that an engine reports into a check; other errors end the examination.
func (d *doctor) damaged(name string, p event.Position, err error) error {
	if !damage(err) {
		return err
	}
	d.add(name, false, "position %d: %v", p, err)
	return nil
}

// lineage compares the head with the incarnations that led to it.
func (d *doctor) lineage() {
	h := d.head
	d.add("head", true, "position %d, system position %d, fence %d", h.Position, h.System, h.Fence)
	lives := make([]string, len(h.Lineage))
	ok := len(lives) > 0 && h.Lineage[len(lives)-1].Incarnation == h.Incarnation
	for i, fork := range h.Lineage {
		lives[i] = fmt.Sprintf("%016x from position %d", uint64(fork.Incarnation), fork.First)
		reached := fork.First <= h.Position+1 || h.Life.State == storage.Filling // a copy has the lineage before the events
		ok = ok && reached && (i == 0 || h.Lineage[i-1].First <= fork.First)
	}
	d.add("lineage", ok, "store %s, incarnation %s", h.Store, strings.Join(lives, ", then "))
}

// sampled is how many events of a log the index is asked for.
const sampled = 1000

// index asks the index for events by all that it should know of them. Events are taken evenly over the log.
func (d *doctor) index(ctx context.Context) error {
	step := max(uint64(d.head.Position)/sampled, 1)
	asked := 0
	for p := uint64(1); p <= uint64(d.head.Position); p += step {
		page, err := d.patient.page(ctx, storage.Query{From: p, To: p, Limit: 1})
		if err != nil {
			return d.damaged("index", event.Position(p), err)
		}
		if len(page) == 0 { // truncated
			continue
		}
		e := page[0]
		asked++
		found, err := d.indexed(ctx, &e)
		if err != nil {
			return d.damaged("index", e.Position, err)
		}
		if !found {
			d.add("index", false, "position %d is not found by all of its terms", e.Position)
			return nil
		}
	}
	keys := "no metadata"
	if len(d.head.Indexed) > 0 {
		keys = "metadata " + strings.Join(d.head.Indexed, ", ")
	}
	d.add("index", true, "reaches position %d; %d events asked for, all found; it knows %s", d.head.Position, asked, keys)
	return nil
}

// indexed looks an event up by its terms and by its place in its stream.
func (d *doctor) indexed(ctx context.Context, e *event.Event) (bool, error) {
	m := event.Match{Types: []string{e.Type}, Kinds: []string{e.Stream.Kind}, Stream: e.Stream, Relations: e.Relations,
		Correlation: e.Correlation, Causation: e.Causation}
	for _, key := range d.head.Indexed {
		if value, ok := e.Metadata[key]; ok {
			if m.Metadata == nil {
				m.Metadata = make(map[string]string)
			}
			m.Metadata[key] = value
		}
	}
	at := uint64(e.Position)
	page, err := d.patient.page(ctx, storage.Query{Filter: event.Filter{m}, From: at, To: at, Limit: 1})
	if err != nil || len(page) != 1 {
		return false, err
	}
	version := uint64(e.Version)
	page, err = d.patient.page(ctx, storage.Query{Stream: e.Stream, From: version, To: version, Limit: 1})
	return err == nil && len(page) == 1 && page[0].ID == e.ID, err
}

// tree proves every row.
func (d *doctor) tree(ctx context.Context, progress Progress) error {
	report, err := d.patient.verify(ctx, progress)
	for _, f := range report.Findings {
		d.add("tree", false, "position %d: %s", f.Position, f.Cause)
	}
	if report.More > 0 {
		d.add("tree", false, "%d more places do not fit", report.More)
	}
	if err != nil {
		return d.damaged("tree", event.Position(report.Events)+1, err)
	}
	if report.OK() {
		d.add("tree", true, "%d events proven (%d truncated, by their leaves), %d tiles, root %s",
			report.Events, report.Pruned, report.Tiles, hex.EncodeToString(report.Root[:]))
	}
	return nil
}
