package lethe_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/starlark"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func counted(name, script string) *schema.Version {
	v := &schema.Version{Type: "Counted", Notation: jsonschema.Name, Text: []byte(
		`{"type": "object", "properties": {"` + name + `": {"type": "integer"}}, "additionalProperties": false}`)}
	if script != "" {
		v.Upcaster = schema.Script{Language: starlark.Name, Text: script}
	}
	return v
}

// TestPresent reads an event in the form of today, on every way there is to read.
func TestPresent(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	store, err := lethe.Open(ctx, memory.Open(memory.Options{}), kms.None, &lethe.Options{
		Notations: []schema.Notation{jsonschema.New()}, Languages: []schema.Language{starlark.New()}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	session, stream := store.As(event.Actor{}), event.Stream("counter", "1")
	push := func(v *schema.Version) {
		if _, err := store.Privacy().PushSchema(ctx, event.Actor{}, v, false); err != nil {
			t.Fatal(err)
		}
	}
	push(counted("n", ""))
	result, err := session.Append(ctx, stream, event.None, event.Draft{Type: "Counted", Data: []byte(`{ "n": 1 }`)})
	if err != nil {
		t.Fatal(err)
	}
	push(counted("count", "def upcast(d):\n    return {'count': d['n'] + 1}\n"))
	counts := event.Filter{{Types: []string{"Counted"}}}
	data := func(s *lethe.Session) (list []string) {
		take := func(e event.Event, err error) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, string(e.Data))
		}
		for _, events := range []iter.Seq2[event.Event, error]{s.Read(ctx, stream, lethe.Range{}),
			s.Query(ctx, lethe.Query{Filter: counts}), s.Subscribe(ctx, counts, store.Cursor(0))} {
			for e, err := range events {
				take(e, err)
				break
			}
		}
		take(s.Event(ctx, result.Events[0].ID))
		page, err := s.Page(ctx, lethe.PageQuery{Query: storage.Query{Stream: stream, Limit: 1}})
		take(page.Events[0], err)
		return list
	}
	for s, want := range map[*lethe.Session]string{session: `{ "n": 1 }`, session.Present(): `{"count":2}`} {
		if diff := cmp.Diff([]string{want, want, want, want, want}, data(s)); diff != "" {
			t.Error(diff)
		}
	}
	push(counted("sum", "def upcast(d):\n    return {'sum': d['n']}\n"))
	for e, err := range session.Present().Read(ctx, stream, lethe.Range{}) {
		if event.Code(err) != "upcast_failed" || e.Data != nil {
			t.Errorf("an upcaster that fails: %s, %v", e.Data, err)
		}
	}
	if e, err := session.Present().Event(ctx, result.Events[0].ID); !errors.Is(err, event.ErrInvalid) || e.Data != nil {
		t.Errorf("an upcaster that fails: %s, %v", e.Data, err)
	}
}
