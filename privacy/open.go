package privacy

import (
	"context"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// Open decodes records as this reader may see them: Decode, and Reading.Open.
func (p *Privacy) Open(ctx context.Context, o event.Opening, records []storage.Record) ([]event.Event, error) {
	r, err := p.Decode(records)
	if err != nil {
		return nil, err
	}
	return r.Open(ctx, o)
}

// Reading is one batch of records on its way to a reader: decoded, with nothing opened.
type Reading struct {
	events []event.Event
	*readingParts
}

// readingParts is memory of a reading that is used again for later ones.
type readingParts struct {
	allowed
	boxes    []sealed.Box
	first    []int     // in boxes, of each event; and one more
	owner    []int     // of boxes, one after the other: where in wants its key is; -1: its group is not granted
	from     []int     // in owner, of each box; and one more
	verdicts []verdict // on boxes
	wants    []keyring.OpenWant
	keys     []keyring.Opened
	tally    tally
	names    names
}

// Decode decodes records and opens nothing. No key is asked for and no use recorded, so that a batch may be decoded
// before anybody asks for it.
func (p *Privacy) Decode(records []storage.Record) (*Reading, error) {
	r := &Reading{events: make([]event.Event, len(records)), readingParts: p.readings.Get().(*readingParts)}
	r.Privacy = p
	boxes := 0
	for i := range records {
		boxes += sealed.Count(records[i].Boxes)
	}
	r.boxes, r.first = slices.Grow(r.boxes, boxes), slices.Grow(r.first, len(records)+1)
	for i := range records {
		e, err := records[i].Event()
		if err != nil {
			return nil, err
		}
		e.Boxes = records[i].Boxes
		r.events[i] = e
		r.first = append(r.first, len(r.boxes))
		if r.boxes, err = sealed.ParseInto(r.boxes, records[i].Boxes); err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
	}
	r.first = append(r.first, len(r.boxes))
	return r, nil
}

// Len is how many events there are.
func (r *Reading) Len() int { return len(r.events) }

// done gives the memory back, without what was in it.
func (r *Reading) done() {
	p, parts := r.Privacy, r.readingParts
	r.readingParts = nil
	clear(parts.boxes)
	clear(parts.verdicts)
	clear(parts.wants)
	clear(parts.keys[:cap(parts.keys)]) // of an earlier decision, too
	parts.tally.clear()
	*parts = readingParts{boxes: parts.boxes[:0], first: parts.first[:0], owner: parts.owner[:0], from: parts.from[:0],
		verdicts: parts.verdicts[:0], wants: parts.wants[:0], keys: parts.keys[:0], tally: parts.tally}
	p.readings.Put(parts)
}

// Open gives the events as this reader may see them: with the personal values that the opening allows, and of every
// other one why it is withheld. A use is recorded durably before anything is released, and what holds of persons is
// compared with the head of the log after that, so that a restriction or erasure that was acknowledged anywhere is
// obeyed. The zero Opening opens nothing. An error releases nothing. It is called once.
func (r *Reading) Open(ctx context.Context, o event.Opening) ([]event.Event, error) {
	defer r.done()
	switch {
	case !o.IsZero():
		if err := r.settle(ctx, o); err != nil {
			return nil, err
		}
	case len(r.boxes) == 0:
		return r.events, nil
	default:
		if err := r.withholdAll(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.release(ctx); err != nil {
		return nil, err
	}
	return r.events, nil
}

// withholdAll says of every box that no purpose was given. It goes on without the head of the log, or without keys, by
// what is known, for nothing is opened; but not if an event is under a schema that somebody else pushed meanwhile.
func (r *Reading) withholdAll(ctx context.Context) error {
	st, err := r.refresh(ctx)
	if err != nil {
		if r.strange() {
			return err
		}
		st = r.now.Load()
	}
	for i := range r.boxes {
		why := event.WithheldSealed
		if st.policy.Undisclosed(r.boxes[i].Group) {
			why = policy.Undisclosed
		}
		r.verdicts = append(r.verdicts, verdict{why: why})
	}
	return nil
}

// strange tells whether an event with boxes is under a schema that is not known here.
func (r *Reading) strange() bool {
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

// settle decides what may be opened and records it.
func (r *Reading) settle(ctx context.Context, o event.Opening) error {
	return r.steady(ctx, func(st *state) error {
		if err := r.decide(ctx, o, st); err != nil {
			return err
		}
		return r.count(ctx, o)
	})
}

// steady does what decides an opening, until the state it was decided by is that of the log's head after it. To decide
// the same again takes no record of a use, so that it ends soon even where somebody else is fenced all the time.
func (p *Privacy) steady(ctx context.Context, decide func(st *state) error) error {
	st, err := p.refresh(ctx)
	if err != nil {
		return err
	}
	for range openTries {
		if err := decide(st); err != nil {
			return err
		}
		now, err := p.refresh(ctx)
		if err != nil {
			return err
		}
		if now == st {
			return nil
		}
		st = now
	}
	return event.Errorf(event.ErrUnavailable, "what may be opened changes all the time").Hint("try again")
}

// decide finds out, as of one state, which boxes may be opened, and gets their keys.
func (r *Reading) decide(ctx context.Context, o event.Opening, st *state) error {
	keeper, err := r.ring()
	if err != nil {
		return err
	}
	if r.allowed, err = r.allow(ctx, o, st); err != nil {
		return err
	}
	owners := 0
	for i := range r.boxes {
		owners += len(r.boxes[i].Owners)
	}
	r.wants, r.owner = slices.Grow(r.wants[:0], owners), slices.Grow(r.owner[:0], owners)
	r.from = slices.Grow(r.from[:0], len(r.boxes)+1)
	for i := range r.boxes {
		b := &r.boxes[i]
		r.from = append(r.from, len(r.owner))
		granted := r.grant.Of(b.Group) == ""
		for j := range b.Owners {
			want := -1
			if granted {
				want = len(r.wants)
				r.wants = append(r.wants, keyring.OpenWant{Generation: b.Owners[j].Generation, Want: keyring.Want{
					KRID: b.Owners[j].KRID, Group: b.Group, Class: b.Class, Bucket: b.Bucket}})
			}
			r.owner = append(r.owner, want)
		}
	}
	r.from = append(r.from, len(r.owner))
	r.keys = slices.Grow(r.keys[:0], len(r.wants))[:len(r.wants)]
	if err := keeper.ForOpening(ctx, r.wants, r.keys); err != nil {
		return err
	}
	r.verdicts = slices.Grow(r.verdicts[:0], len(r.boxes))
	for i := range r.boxes {
		r.verdicts = append(r.verdicts, r.judge(i))
	}
	return r.name(ctx, keeper)
}

// verdict is what becomes of a box.
type verdict struct {
	why     event.Withholding // "": it opens
	receipt string
	owner   int // by whose key it opens
}

// judge is the verdict on box i. Of a joint box the strictest owner who is left decides; who was erased decides no
// more, and when all were it is erased.
func (r *Reading) judge(i int) verdict {
	b := &r.boxes[i]
	if why := r.grant.Of(b.Group); why != "" {
		return verdict{why: why}
	}
	gone, opens, stays := verdict{}, verdict{owner: -1}, event.Withholding("")
	for j, want := range r.owner[r.from[i]:r.from[i+1]] {
		key := &r.keys[want]
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

// count makes the use durable: of every person and group whose boxes are to be opened, or whose references are shown,
// how many and where. Where nothing is opened nothing is recorded, nor what is on record from a decision before.
func (r *Reading) count(ctx context.Context, o event.Opening) error {
	t := &r.tally
	t.begin()
	for i := range r.events {
		at := r.events[i].Position
		for n := r.first[i]; n < r.first[i+1]; n++ {
			if r.verdicts[n].why != "" {
				continue
			}
			b := &r.boxes[n]
			for j := range b.Owners {
				if r.keys[r.owner[r.from[n]+j]].State == keyring.Live {
					t.add(b.Owners[j].KRID, b.Group, at)
				}
			}
		}
		if r.names.of == nil {
			continue
		}
		for _, k := range r.names.of[i] {
			if _, shown := r.names.person[k]; shown {
				t.add(k, policy.Reference, at)
			}
		}
	}
	if !t.end() {
		return nil
	}
	return r.record(ctx, o.Code, t.entries)
}

// release puts the values that may be seen into the events, and says of the others why they are withheld.
func (r *Reading) release(ctx context.Context) error {
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

// fill opens the boxes of event i.
func (r *Reading) fill(w *bench, i int) error {
	e := &r.events[i]
	first, end := r.first[i], r.first[i+1]
	if first == end {
		return nil
	}
	place := sealed.Place{Context: sealed.InEvent, Store: r.store, ID: e.ID, Type: e.Type, Schema: e.Schema}
	f := filler{event: e, values: w.values[:0]}
	defer f.done(w)
	size := 0
	for n := first; n < end; n++ {
		size += len(r.boxes[n].Cipher)
	}
	w.room(size)
	withheld := false
	for n := first; n < end; n++ {
		v := &r.verdicts[n]
		if v.why != "" {
			withheld = true
			continue
		}
		key := &r.keys[r.owner[r.from[n]+v.owner]].PRK
		content, err := w.open(&r.boxes[n], &place, v.owner, key)
		if err != nil {
			return err
		}
		f.take(content)
	}
	if withheld {
		if err := r.withhold(e, r.boxes[first:end], r.verdicts[first:end], &w.findings); err != nil {
			return err
		}
	}
	return f.finish(r.Privacy)
}
