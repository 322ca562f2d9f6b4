package storagetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// ExaminedWhole holds that an engine that can examine itself finds nothing wrong with a store that is whole.
func ExaminedWhole(t *testing.T, open Open) {
	e := open(t)
	examiner, ok := e.Store.(storage.Examiner)
	if ok != e.Features.Examines {
		t.Fatalf("the engine examines itself: %v, it declares %v", ok, e.Features.Examines)
	}
	if !ok {
		return
	}
	examined(t, "empty", examiner)
	for range e.events() / 20 {
		Append(t, e.Store, items(20)...)
	}
	examined(t, "filled", examiner)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := examiner.Examine(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Examine with a context that has ended: %v", err)
	}
	if err := e.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := examiner.Examine(t.Context()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("Examine after Close: %v", err)
	}
}

func examined(t *testing.T, what string, e storage.Examiner) {
	t.Helper()
	checks, err := e.Examine(t.Context())
	if err != nil || len(checks) == 0 {
		t.Fatalf("examine the %s store: %d checks: %v", what, len(checks), err)
	}
	names := make(map[string]bool)
	for _, c := range checks {
		if !c.OK || c.Name == "" || names[c.Name] || c.Detail == "" || strings.ContainsAny(c.Name+c.Detail, "\r\n") {
			t.Errorf("the %s store: %+v", what, c)
		}
		names[c.Name] = true
	}
}
