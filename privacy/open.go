package privacy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// Open decodes records as this reader may see them: with the personal values that the opening allows, and of every
// other one why it is withheld. A use is recorded durably before anything is released, and what holds of persons is
// compared with the head of the log after that, so that a restriction or erasure that was acknowledged anywhere is
// obeyed. The zero Opening opens nothing. An error releases nothing.
func (p *Privacy) Open(ctx context.Context, o event.Opening, records []storage.Record) ([]event.Event, error) {
	r := &reading{Privacy: p, events: make([]event.Event, len(records)), records: records}
	if err := r.decode(); err != nil {
		return nil, err
	}
	if o.IsZero() {
		if err := r.withholdAll(ctx); err != nil {
			return nil, err
		}
		return r.events, nil
	}
	if err := r.open(ctx, o); err != nil {
		return nil, err
	}
	return r.events, nil
}

// OpenBoxes opens events that a consumer holds from elsewhere, such as a bus: as they were read without a purpose, with
// their Boxes. It is Open in everything else: the use is recorded, and what may not be seen is withheld. Boxes open
// only with the event they were sealed in; where they come from does not matter.
func (p *Privacy) OpenBoxes(ctx context.Context, o event.Opening, events []event.Event) ([]event.Event, error) {
	records := make([]storage.Record, len(events))
	for i := range events {
		e := &events[i]
		d := e.Draft
		d.Canonical()
		if err := d.Validate(); err != nil {
			return nil, fmt.Errorf("open event %s: %w", e.ID, err)
		}
		records[i] = storage.Record{Position: e.Position, ID: e.ID, Stream: e.Stream, Version: e.Version, Type: e.Type,
			Recorded: event.Micros(e.RecordedAt), Leaf: e.Leaf, Body: event.AppendBody(nil, &d), Boxes: e.Boxes}
	}
	return p.Open(ctx, o, records)
}

// reading is the opening of one batch of records.
type reading struct {
	*Privacy
	records []storage.Record
	events  []event.Event
	boxes   []sealed.Box
	owner   []owned // of boxes, one after the other
	first   []int   // in boxes, of each record; and one more
	from    []int   // in owner, of each box; and one more

	state  *state
	moment time.Time // as of which it is decided: what is recorded is what is released
	grant  *policy.Grant
	actor  event.Actor // under its alias
	words  []byte      // of the reason, sealed
	wants  []keyring.OpenWant
	keys   []keyring.Opened
	names  names
}

// owned is what becomes of one owner's key of a box.
type owned struct {
	want int // in wants; -1: its group is not granted
}

func (r *reading) decode() error {
	boxes := 0
	for i := range r.records {
		boxes += sealed.Count(r.records[i].Boxes)
	}
	r.boxes, r.first = slices.Grow(r.boxes, boxes), slices.Grow(r.first, len(r.records)+1)
	for i := range r.records {
		e, err := r.records[i].Event()
		if err != nil {
			return err
		}
		e.Boxes = r.records[i].Boxes
		r.events[i] = e
		r.first = append(r.first, len(r.boxes))
		if r.boxes, err = sealed.ParseInto(r.boxes, r.records[i].Boxes); err != nil {
			return fmt.Errorf("read event %s: %w", e.ID, err)
		}
	}
	r.first = append(r.first, len(r.boxes))
	return nil
}

// withholdAll says of every sealed value that no purpose was given.
func (r *reading) withholdAll(ctx context.Context) error {
	if len(r.boxes) == 0 {
		return nil
	}
	if r.strange() { // another process pushed a schema, and appended under it
		if _, err := r.refresh(ctx); err != nil {
			return err
		}
	}
	st := r.now.Load()
	var f schema.Findings
	for i := range r.events {
		boxes := r.boxes[r.first[i]:r.first[i+1]]
		if len(boxes) == 0 {
			continue
		}
		verdict := func(b *sealed.Box) verdict {
			if st.policy.Undisclosed(b.Group) {
				return verdict{why: policy.Undisclosed}
			}
			return verdict{why: event.WithheldSealed}
		}
		if err := r.withhold(&r.events[i], boxes, verdict, &f); err != nil {
			return err
		}
	}
	return nil
}

// strange tells whether an event with boxes is under a schema that is not known here.
func (r *reading) strange() bool {
	for i := range r.events {
		id := r.events[i].Schema
		if r.first[i] < r.first[i+1] && id != (event.SchemaID{}) && r.schemas.Version(id) == nil {
			return true
		}
	}
	return false
}

// openTries bounds how often a batch is decided again because what holds of persons changed meanwhile.
const openTries = 20

func (r *reading) open(ctx context.Context, o event.Opening) error {
	st, err := r.refresh(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	for range openTries {
		r.state = st
		if err := r.decide(ctx, o); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if err := r.record(ctx, o); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if st, err = r.refresh(ctx); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if st == r.state {
			return r.release(ctx)
		}
	}
	return event.Errorf(event.ErrUnavailable, "open: what may be opened changes all the time").Hint("try again")
}

// decide finds out, as of one state, which boxes may be opened, and gets their keys.
func (r *reading) decide(ctx context.Context, o event.Opening) (err error) {
	keeper, err := r.ring()
	if err != nil {
		return err
	}
	if r.actor, err = r.alias(ctx, o.Actor); err != nil {
		return err
	}
	aliased := o
	aliased.Actor = r.actor
	if r.grant, err = r.state.policy.Grant(aliased); err != nil {
		return err
	}
	r.moment = r.clock.Now()
	owners := 0
	for i := range r.boxes {
		owners += len(r.boxes[i].Owners)
	}
	r.wants, r.owner = slices.Grow(r.wants[:0], owners), slices.Grow(r.owner[:0], owners)
	r.from = slices.Grow(r.from[:0], len(r.boxes)+1)
	for i := range r.boxes {
		b := &r.boxes[i]
		r.from = append(r.from, len(r.owner))
		for j := range b.Owners {
			want := -1
			if r.grant.Of(b.Group) == "" {
				want = len(r.wants)
				r.wants = append(r.wants, keyring.OpenWant{Generation: b.Owners[j].Generation, Want: keyring.Want{
					KRID: b.Owners[j].KRID, Group: b.Group, Class: b.Class, Bucket: b.Bucket}})
			}
			r.owner = append(r.owner, owned{want})
		}
	}
	r.from = append(r.from, len(r.owner))
	r.keys = make([]keyring.Opened, len(r.wants))
	if err := keeper.ForOpening(ctx, r.wants, r.keys); err != nil {
		return err
	}
	return r.name(ctx, keeper)
}

// verdict is what becomes of a box.
type verdict struct {
	why     event.Withholding // "": it opens
	receipt string
	owner   int // by whose key it opens
}

// of is the verdict on box i. Of a joint box the strictest owner who is left decides; who was erased decides no more,
// and when all were it is erased.
func (r *reading) of(i int) verdict {
	b := &r.boxes[i]
	if why := r.grant.Of(b.Group); why != "" {
		return verdict{why: why}
	}
	gone, opens, stays := verdict{}, verdict{owner: -1}, event.Withholding("")
	for j, o := range r.owner[r.from[i]:r.from[i+1]] {
		key := &r.keys[o.want]
		switch {
		case key.State == keyring.Live && b.Cipher != nil:
			if why := r.grant.Person(b.Group, key.Standing, r.moment); why != "" && stays != event.WithheldRestricted {
				stays = why // not that of whose alias is lower: a restriction counts before anything else
			}
			if opens.owner < 0 {
				opens.owner = j
			}
		case key.State == keyring.Superseded:
			gone = verdict{why: event.WithheldSuperseded, receipt: key.Receipt}
		case gone.why == "":
			gone = verdict{why: event.WithheldErased, receipt: key.Receipt}
		}
	}
	switch {
	case stays != "":
		return verdict{why: stays}
	case opens.owner < 0:
		return gone
	}
	return opens
}

// release puts the values that may be seen into the events.
func (r *reading) release(ctx context.Context) error {
	defer clear(r.keys)
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.parallel(func(w *bench, i int) error {
		if err := r.fill(w, i); err != nil {
			return err
		}
		r.names.show(i, &r.events[i])
		return nil
	})
}

// fill opens the boxes of record i.
func (r *reading) fill(w *bench, i int) error {
	e := &r.events[i]
	first, end := r.first[i], r.first[i+1]
	if first == end {
		return nil
	}
	place := sealed.Place{Context: sealed.InEvent, Store: r.store, ID: e.ID, Type: e.Type, Schema: e.Schema}
	f := filler{event: e, values: w.values[:0]}
	defer f.done(w)
	withheld := false
	for n := first; n < end; n++ {
		v := r.of(n)
		if v.why != "" {
			withheld = true
			continue
		}
		b := &r.boxes[n]
		key := &r.keys[r.owner[r.from[n]+v.owner].want].PRK
		content, err := w.open(b, &place, v.owner, key)
		if err != nil {
			return err
		}
		f.take(content)
	}
	if withheld {
		verdicts := func(b *sealed.Box) verdict { return r.of(r.at(b, first)) }
		if err := r.withhold(e, r.boxes[first:end], verdicts, &w.findings); err != nil {
			return err
		}
	}
	return f.finish(r.Privacy)
}

// at is the index of a box of a record whose boxes begin at first.
func (r *reading) at(b *sealed.Box, first int) int {
	for i := first; ; i++ {
		if &r.boxes[i] == b {
			return i
		}
	}
}
