package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
)

// fakeStore is a log in memory that holds what a store promises about ids: the append is the unit, the same request
// again is repeated, a mixture or another request conflicts.
type fakeStore struct {
	order    []event.StreamID
	streams  map[event.StreamID][]event.Draft
	requests map[event.ID]string // id → the request it came with
	closed   map[event.StreamID]bool
	batches  int
	largest  int // most events that came at once

	// fault may end a call: after that many requests with err, the last of them appended or not.
	fault func() (after int, appended bool, err error)
}

func newFakeStore() *fakeStore {
	return &fakeStore{streams: map[event.StreamID][]event.Draft{}, requests: map[event.ID]string{},
		closed: map[event.StreamID]bool{}}
}

func (s *fakeStore) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	s.batches++
	after, appended, err := len(requests), false, error(nil)
	if s.fault != nil {
		after, appended, err = s.fault()
	}
	outcomes := make([]log.Outcome, len(requests))
	events := 0
	for i, r := range requests {
		switch {
		case ctx.Err() != nil:
			outcomes[i].Err = ctx.Err()
		case err != nil && i >= after:
			if i == after && appended {
				s.append(r)
			}
			outcomes[i].Err = err
		default:
			outcomes[i] = s.append(r)
		}
		events += len(ids(r))
	}
	s.largest = max(s.largest, events)
	return outcomes
}

func ids(r log.Request) (ids []event.ID) {
	for _, w := range r.Writes {
		for _, d := range w.Events {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func (s *fakeStore) append(r log.Request) log.Outcome {
	for _, w := range r.Writes {
		if err := w.Stream.Validate(); err != nil {
			return log.Outcome{Err: err}
		}
		for i := range w.Events {
			if err := w.Events[i].Validate(); err != nil {
				return log.Outcome{Err: err}
			}
		}
	}
	text := render(r)
	known := 0
	for _, id := range ids(r) {
		if before, ok := s.requests[id]; ok && before != text {
			return log.Outcome{Err: event.Errorf(event.ErrDuplicate, "append event %s: id is used", id)}
		} else if ok {
			known++
		}
	}
	if known > 0 {
		return log.Outcome{Result: log.Result{Repeated: true}}
	}
	for _, w := range r.Writes {
		if s.closed[w.Stream] {
			return log.Outcome{Err: event.Errorf(event.ErrClosed, "append to %s: it is closed", w.Stream)}
		}
	}
	for _, w := range r.Writes {
		if s.streams[w.Stream] == nil {
			s.order = append(s.order, w.Stream)
		}
		s.streams[w.Stream] = append(s.streams[w.Stream], w.Events...)
	}
	for _, id := range ids(r) {
		s.requests[id] = text
	}
	return log.Outcome{}
}

// content is everything in the store, ids included.
func (s *fakeStore) content() string {
	var b strings.Builder
	for _, stream := range s.order {
		b.WriteString(render(log.Request{Writes: []log.Write{{Stream: stream, Events: s.streams[stream]}}}))
	}
	return b.String()
}

func (s *fakeStore) events() (n int) {
	for _, events := range s.streams {
		n += len(events)
	}
	return n
}

func render(r log.Request) string {
	var b strings.Builder
	for _, w := range r.Writes {
		for _, d := range w.Events {
			fmt.Fprintf(&b, "%s %s\n", d.ID, line(w.Stream, d))
		}
	}
	return b.String()
}

// line shows an event as docs/import.md does.
func line(stream event.StreamID, d event.Draft) string {
	shown := struct {
		Stream      string            `json:"stream"`
		Type        string            `json:"type"`
		OccurredAt  string            `json:"occurred_at,omitempty"`
		Relations   []string          `json:"relations,omitempty"`
		Correlation string            `json:"correlation,omitempty"`
		Causation   string            `json:"causation,omitempty"`
		Traceparent string            `json:"traceparent,omitempty"`
		Metadata    map[string]string `json:"metadata,omitempty"`
		Producer    *event.Producer   `json:"producer,omitempty"`
		Data        json.RawMessage   `json:"data,omitempty"`
	}{Stream: stream.String(), Type: d.Type, Correlation: d.Correlation, Traceparent: d.Traceparent,
		Metadata: d.Metadata, Data: d.Data}
	if !d.OccurredAt.IsZero() {
		shown.OccurredAt = d.OccurredAt.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	for _, r := range d.Relations {
		shown.Relations = append(shown.Relations, r.String())
	}
	if !d.Causation.IsZero() {
		shown.Causation = d.Causation.String()
	}
	if d.Producer != (event.Producer{}) {
		shown.Producer = &d.Producer
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(shown); err != nil {
		return "cannot show it: " + err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// lines shows every request of a run, in order, and refuses what a store would.
type lines struct{ shown []string }

func (l *lines) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	outcomes := make([]log.Outcome, len(requests))
	for i, r := range requests {
		outcomes[i] = newFakeStore().append(r)
		for _, w := range r.Writes {
			for _, d := range w.Events {
				l.shown = append(l.shown, line(w.Stream, d))
			}
		}
	}
	return outcomes
}

func text(name, content string) ingest.Input {
	return ingest.Input{Name: name, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

func parse(tb testing.TB, text string) *ingest.Map {
	tb.Helper()
	m, err := ingest.ParseMap([]byte(text))
	if err != nil {
		tb.Fatalf("%v in map\n%s", err, text)
	}
	return m
}

// outcome is what a run of a text came to.
type outcome struct {
	events  []string
	rejects string
	summary ingest.Summary
	err     error
}

func importText(tb testing.TB, m *ingest.Map, content string) outcome {
	tb.Helper()
	sink, rejects := &lines{}, &bytes.Buffer{}
	sum, err := ingest.Run(tb.Context(), sink, [32]byte{}, m, []ingest.Input{text("in", content)},
		ingest.Options{Rejects: rejects})
	sum.Seconds = 0
	return outcome{sink.shown, rejects.String(), sum, err}
}
