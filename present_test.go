package lethe_test

import (
	"errors"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/starlark"
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

// TestPresent reads an event in the form that a stored script gives it; lethetest.RunSealed does so on every way there
// is to read. A script that fails gives nothing out.
func TestPresent(t *testing.T) {
	ctx := t.Context()
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
	id := result.Events[0].ID
	for s, want := range map[*lethe.Session]string{session: `{ "n": 1 }`, session.Present(): `{"count":2}`} {
		if e, err := s.Event(ctx, id); err != nil || string(e.Data) != want {
			t.Errorf("got %s, %v; want %s", e.Data, err, want)
		}
	}
	push(counted("sum", "def upcast(d):\n    return {'sum': d['n']}\n"))
	failed := func(e event.Event, err error) {
		t.Helper()
		if !errors.Is(err, event.ErrInvalid) || event.Code(err) != "upcast_failed" || e.Data != nil {
			t.Errorf("an upcaster that fails: %s, %v", e.Data, err)
		}
	}
	for e, err := range session.Present().Read(ctx, stream, lethe.Range{}) {
		failed(e, err)
	}
	for e, err := range session.Present().Subscribe(ctx, nil, store.Cursor(0)) {
		failed(e, err)
	}
	failed(session.Present().Event(ctx, id))
}
