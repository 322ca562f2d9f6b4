package privacy

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/sealed"
)

// Seal turns requests into what the log may keep: references to persons become aliases, personal values boxes, data is
// checked against its schema. Request i that may not be kept has its reason in errs[i]; the others are unharmed. The
// requests given stay as they are.
//
// It asks nobody whether what it knows of policy, schemas and persons still holds: the log compares, under the lock of
// its head, and refuses what was sealed before a fence with log.ErrFenced. Then Refresh, and seal again; so, too, where
// a request is refused and Refresh returns another fence than its Sealing has.
func (p *Privacy) Seal(ctx context.Context, requests []log.Request) (out []log.Request, errs []error) {
	out, errs = slices.Clone(requests), make([]error, len(requests))
	st := p.now.Load()
	if len(out) > 1 {
		if p.seal(ctx, st, out) == nil {
			return out, errs
		}
		copy(out, requests) // one of them is the cause: each by itself
	}
	for i := range out {
		errs[i] = p.seal(ctx, st, out[i:i+1])
	}
	return out, errs
}

// Refresh brings what is known of policy, schemas and persons to the head of the log, and returns the fence as of which
// it is known then.
func (p *Privacy) Refresh(ctx context.Context) (fence uint64, err error) {
	st, err := p.follow(ctx)
	if err != nil {
		return 0, err
	}
	return st.fence, nil
}

// seal changes the requests in place, all or none of what counts.
func (p *Privacy) seal(ctx context.Context, st *state, requests []log.Request) error {
	if st.plain && !nameSchema(requests) {
		for i := range requests {
			requests[i].Sealing = &log.Sealing{Fence: st.fence}
		}
		return nil
	}
	w := p.work(st)
	defer w.done()
	for i := range requests {
		if err := w.collect(&requests[i]); err != nil {
			return err
		}
	}
	if err := w.resolve(ctx, true); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for i := range w.items {
		if err := w.items[i].box(w); err != nil {
			return err
		}
	}
	if err := w.unlock(ctx); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for i := range w.items {
		if err := w.items[i].seal(w); err != nil {
			return err
		}
	}
	return w.sign(ctx, requests)
}

// nameSchema tells whether an event names a schema, which must then be known.
func nameSchema(requests []log.Request) bool {
	for i := range requests {
		for j := range requests[i].Writes {
			named := func(d event.Draft) bool { return d.Schema != (event.SchemaID{}) }
			if slices.ContainsFunc(requests[i].Writes[j].Events, named) {
				return true
			}
		}
	}
	return false
}

// work is the sealing of requests that come together. Its memory is used again.
type work struct {
	*Privacy
	*state
	*bench
	people
	items []item
	wants []keyring.Want
	keys  []keyring.Key
}

func (p *Privacy) work(st *state) *work {
	w, _ := p.works.Get().(*work)
	if w == nil {
		w = &work{bench: new(bench)}
	}
	w.Privacy, w.state = p, st
	return w
}

// done clears what was personal and gives the memory back.
func (w *work) done() {
	w.bench.clear()
	w.people.clear()
	for i := range w.items {
		w.items[i].clear()
	}
	clear(w.keys[:cap(w.keys)])
	w.items, w.wants, w.keys = w.items[:0], w.wants[:0], w.keys[:0]
	w.works.Put(w)
}

// next is room for one more item.
func (w *work) next() *item {
	if len(w.items) < cap(w.items) {
		w.items = w.items[:len(w.items)+1]
	} else {
		w.items = append(w.items, item{})
	}
	return &w.items[len(w.items)-1]
}

// collect takes a request in: it becomes one of our own that may be changed, with an id for every event, and says which
// persons it speaks of.
func (w *work) collect(r *log.Request) error {
	r.Sealing = &log.Sealing{Fence: w.fence, Minted: true}
	r.Writes = slices.Clone(r.Writes)
	first := len(w.items)
	for i := range r.Writes {
		write := &r.Writes[i]
		write.Events = slices.Clone(write.Events)
		if err := w.patch("stream", write.Stream.Kind, &write.Stream.ID); err != nil {
			return err
		}
		for j := range write.Events {
			d := &write.Events[j]
			if !d.ID.IsZero() {
				r.Sealing.Minted = false
			} else if id, err := w.ids.Next(); err != nil {
				return fmt.Errorf("append: %w", err)
			} else {
				d.ID = id
			}
			if err := w.next().collect(w, write, d); err != nil {
				return err
			}
		}
	}
	r.Sealing.Events = make([]log.Sealed, len(w.items)-first)
	for i := range r.Sealing.Events {
		w.items[first+i].out = &r.Sealing.Events[i]
	}
	if r.Condition == nil {
		return nil
	}
	condition := *r.Condition
	r.Condition = &condition
	var err error
	condition.Filter, err = w.alias(condition.Filter)
	return err
}

// unlock gets the keys for all boxes at once.
func (w *work) unlock(ctx context.Context) error {
	if len(w.wants) == 0 {
		return nil
	}
	keeper, err := w.ring()
	if err != nil {
		return err
	}
	w.keys = slices.Grow(w.keys[:0], len(w.wants))[:len(w.wants)]
	return keeper.ForSealing(ctx, w.wants, w.keys)
}

// seal makes the boxes of one event.
func (it *item) seal(w *work) error {
	if len(it.boxes) == 0 {
		return nil
	}
	place := sealed.Place{Context: sealed.InEvent, Store: w.store, ID: it.draft.ID, Type: it.draft.Type,
		Schema: it.draft.Schema}
	w.bench.cipher = w.bench.cipher[:0]
	boxes := slices.Grow(w.bench.boxes[:0], len(it.boxes))[:len(it.boxes)]
	w.bench.boxes = boxes
	it.out.Commitments = make([]ledger.BoxCommitment, len(it.boxes))
	for i := range it.boxes {
		b := &it.boxes[i]
		keys := w.keys[b.want:][:len(b.box.Owners)]
		for j := range keys {
			b.box.Owners[j].Generation = keys[j].Generation
		}
		if err := w.bench.seal(&b.box, &place, &b.content, w.bench.owners(keys), w.rand); err != nil {
			return err
		}
		boxes[i] = b.box
		it.out.Commitments[i] = ledger.BoxCommitment{Group: b.box.Group, Bucket: b.box.Bucket, Commitment: b.box.Commitment}
	}
	it.out.Boxes = sealed.Append(nil, boxes)
	return nil
}

// random fills b.
func (p *Privacy) random(b []byte) error {
	if _, err := io.ReadFull(p.rand, b); err != nil {
		return fmt.Errorf("seal: read randomness: %w", err)
	}
	return nil
}

// eventError says which event of a request is meant.
func (it *item) errorf(kind error, code, format string, args ...any) *event.Error {
	return &event.Error{Sentinel: kind, Code: code,
		Message: fmt.Sprintf("append %q to %s: ", it.draft.Type, it.write.Stream.Kind) + fmt.Sprintf(format, args...)}
}
