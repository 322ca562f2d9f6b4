package lethe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// Open opens events that the caller holds, as they were read without a purpose: with their Boxes, from a bus, a file or
// a cache. It is for a session of For; without a purpose it is event.ErrInvalid with code purpose_missing. What is not
// allowed is withheld, and the use is recorded, as where events are read.
//
// The log decides what is opened: it must have each event and say the same of it, white space and escapes in the data
// apart; otherwise it is event.ErrNotFound with code event_unknown, and nothing is opened. Boxes of another event are
// event.ErrInvalid with code box_foreign. Leaf may be left out; Withheld and Names are not looked at. Events come back
// in the order they were given; of one that was truncated only what the log has left, with Pruned set.
func (s *Session) Open(ctx context.Context, events []event.Event) ([]event.Event, error) {
	v := s.view()
	if v.Opening.IsZero() {
		return nil, event.Invalid("purpose_missing", "open events: nothing says what they are opened for").
			Hint("name a purpose, and a reason")
	}
	if len(events) == 0 {
		return nil, nil
	}
	for i := range events {
		err := events[i].Validate()
		if err == nil {
			err = events[i].Stream.ValidateForm()
		}
		if err != nil {
			return nil, fmt.Errorf("open events: %d of %d: %w", i+1, len(events), err)
		}
	}
	return s.store.backend.Open(ctx, events, v)
}

// Open takes of what it is given the boxes alone. Everything else is the log's own, once it is found to be the same:
// whose stream it is decides what a token may see, aliases whose references are shown, positions what the use says.
func (l *local) Open(ctx context.Context, events []event.Event, v View) ([]event.Event, error) {
	h := held{events: events}
	for len(h.records) < len(events) {
		if err := h.find(ctx, l); err != nil {
			return nil, fmt.Errorf("open events: %w", err)
		}
	}
	opened, err := l.privacy.Open(ctx, v.Opening, h.records)
	if h.copied && errors.Is(err, event.ErrCorrupt) { // not by the log's boxes: nothing of the store is damaged
		return nil, event.Invalid("box_damaged", "open events: the boxes of one were changed since they were sealed").
			Hint("read it again")
	}
	if err != nil {
		return nil, err
	}
	return l.raise(ctx, v, opened)
}

// held is events that somebody holds, and what the log has of them.
type held struct {
	events  []event.Event
	records []storage.Record // of the first of events, with the boxes that are held
	copied  bool             // some boxes are not byte for byte those of the log
}

// find looks up the next events that follow each other in the log.
func (h *held) find(ctx context.Context, l *local) error {
	rest := h.events[len(h.records):]
	first, n := uint64(rest[0].Position), 1
	for n < len(rest) && uint64(rest[n].Position) == first+uint64(n) {
		n++
	}
	page, err := l.log.Page(ctx, storage.Query{From: first, To: first + uint64(n-1), Limit: n})
	if err != nil {
		return err
	}
	if len(page.Records) == 0 {
		return unknown(&rest[0])
	}
	for i := range page.Records {
		if err := h.take(page.Records[i], &rest[i]); err != nil {
			return err
		}
	}
	return nil
}

// take adds a record if it is that of an event.
func (h *held) take(r storage.Record, e *event.Event) error {
	if !sameHeader(&r, e) || r.Body != nil && !sameBody(&r, e) {
		return unknown(e)
	}
	if r.Body != nil && !bytes.Equal(r.Boxes, e.Boxes) {
		if !sameBoxes(r.Boxes, e.Boxes) {
			return event.Invalid("box_foreign", "event %s does not have the boxes it was sealed with", e.ID).
				Hint("give each event as it was read, with its boxes")
		}
		r.Boxes, h.copied = e.Boxes, true
	}
	h.records = append(h.records, r)
	return nil
}

// unknown says the same of an event that is not there and of one that says something else: a token for some kinds of
// streams learns nothing of others.
func unknown(e *event.Event) error {
	return (&event.Error{Sentinel: event.ErrNotFound, Code: "event_unknown",
		Message: fmt.Sprintf("the log has no event %s that says the same", e.ID)}).
		Hint("give events as they were read, without a purpose")
}

func sameHeader(r *storage.Record, e *event.Event) bool {
	return r.Position == e.Position && r.ID == e.ID && r.Stream == e.Stream && r.Version == e.Version &&
		r.Type == e.Type && r.Recorded == event.Micros(e.RecordedAt) && (e.Leaf == [32]byte{} || e.Leaf == r.Leaf)
}

// sameBody compares what is open. On its way as JSON, data may have lost its white space and changed its escapes.
func sameBody(r *storage.Record, e *event.Event) bool {
	d := e.Draft
	d.Canonical()
	if bytes.Equal(event.AppendBody(nil, &d), r.Body) {
		return true
	}
	kept, err := r.Event()
	if err != nil || kept.Format != event.JSON || d.Format != event.JSON {
		return false
	}
	want, got := jsontext.Value(kept.Data).Clone(), jsontext.Value(d.Data).Clone()
	if want.Format() != nil || got.Format() != nil {
		return false
	}
	kept.Data, d.Data = json.RawMessage(want), json.RawMessage(got)
	return bytes.Equal(event.AppendBody(nil, &kept.Draft), event.AppendBody(nil, &d))
}

// sameBoxes tells whether boxes are those of an event, or copies from before they were sealed anew: what they commit to
// never changes.
func sameBoxes(log, held []byte) bool {
	want, err := sealed.Parse(log)
	if err != nil {
		return false
	}
	got, err := sealed.Parse(held)
	if err != nil || len(got) != len(want) {
		return false
	}
	for i := range want {
		w, g := &want[i], &got[i]
		same := w.Compare(g) == 0 && w.Class == g.Class && w.Joint == g.Joint && len(w.Owners) == len(g.Owners)
		for j := 0; same && j < len(w.Owners); j++ {
			same = w.Owners[j].KRID == g.Owners[j].KRID
		}
		if !same {
			return false
		}
	}
	return true
}
