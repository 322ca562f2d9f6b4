package event_test

import (
	"testing"

	"github.com/lethe-es/lethe/event"
)

func TestText(t *testing.T) {
	data := []byte(`{"a":{"b/c":["x",{"d":"2026-01-02"}]},"n":7,"t":"\u00e9","name":"name"}`)
	for pointer, want := range map[string]string{
		"/a/b~1c/0": "x", "/a/b~1c/1/d": "2026-01-02", "/t": "é", "/name": "name",
	} {
		if got, ok := event.Text(data, pointer); !ok || got != want {
			t.Errorf("%s: got %q, %v", pointer, got, ok)
		}
	}
	for _, pointer := range []string{"", "/a", "/n", "/a/b~1c/2", "/missing", "a"} {
		if got, ok := event.Text(data, pointer); ok {
			t.Errorf("%s: got %q", pointer, got)
		}
	}
}
