package kmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

func testNamesChecked(t *testing.T, open func() kms.KMS) {
	service := open()
	for _, name := range []string{
		"", "A", "a_b", "a.b", "a/b", "..", "-a", "a-", "a b", "ä", "a\x00", strings.Repeat("a", kms.MaxName+1),
		"a.destroyed", "folder.", "a?b", "a%2fb",
	} {
		for method, err := range calls(t.Context(), service, name) {
			want(t, fmt.Sprintf("%s of name %q", method, name), err, event.ErrInvalid, kms.CodeName)
		}
	}
	for _, name := range []string{"a", "0", "lethe-0199a0d4e7c07abc8def0123456789ab-1", strings.Repeat("a", kms.MaxName)} {
		create(t, service, name)
		wrap(t, service, name, item("secret", ""))
	}
}

func testItemsChecked(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root")
	for what, items := range map[string][]kms.Item{
		"no item":        nil,
		"an empty item":  {item("secret", ""), item("", "place")},
		"too many items": make([]kms.Item, kms.MaxItems+1),
		"too many bytes": {{Bytes: make([]byte, kms.MaxUnwrap), AAD: []byte{1}}},
	} {
		_, err := service.Wrap(t.Context(), "root", items)
		want(t, "wrap "+what, err, event.ErrInvalid, kms.CodeItems)
		_, err = service.Unwrap(t.Context(), "root", items)
		want(t, "unwrap "+what, err, event.ErrInvalid, kms.CodeItems)
	}
	whole := kms.Item{Bytes: bytes.Repeat([]byte{0xa5}, kms.MaxWrap-5), AAD: []byte("place")}
	wrapped := wrap(t, service, "root", whole)
	opened := unwrap(t, service, "root", kms.Item{Bytes: wrapped[0], AAD: whole.AAD})
	if !bytes.Equal(opened[0], whole.Bytes) {
		t.Error("the largest item does not come back as it was")
	}
}

func testSeenByOthers(t *testing.T, open func() kms.KMS) {
	one, other := open(), open()
	create(t, one, "root")
	wrapped := wrap(t, other, "root", item("secret", "place"))
	opened := unwrap(t, one, "root", kms.Item{Bytes: wrapped[0], AAD: []byte("place")})
	if string(opened[0]) != "secret" {
		t.Error("what another process wrapped comes back as something else")
	}
	if _, err := one.Destroy(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	_, err := other.Unwrap(t.Context(), "root", []kms.Item{{Bytes: wrapped[0], AAD: []byte("place")}})
	want(t, "unwrap in another process after the key was destroyed", err, event.ErrConflict, kms.CodeDestroyed)
	_, err = other.Wrap(t.Context(), "root", []kms.Item{item("secret", "place")})
	want(t, "wrap in another process after the key was destroyed", err, event.ErrConflict, kms.CodeDestroyed)
	if state, err := other.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
		t.Errorf("state in another process: %d, %v", state, err)
	}
}

func testDurable(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "kept", "ended")
	wrapped := wrap(t, service, "kept", item("secret", "place"))
	first, err := service.Destroy(t.Context(), "ended")
	if err != nil {
		t.Fatal(err)
	}
	again := open()
	opened := unwrap(t, again, "kept", kms.Item{Bytes: wrapped[0], AAD: []byte("place")})
	if string(opened[0]) != "secret" {
		t.Error("a key is another after the service was opened again")
	}
	second, err := again.Destroy(t.Context(), "ended")
	if diff := cmp.Diff(first, second); diff != "" || err != nil {
		t.Errorf("destroyed again after a restart (-first +second): %v\n%s", err, diff)
	}
	want(t, "create after a restart", again.Create(t.Context(), "ended"), event.ErrConflict, kms.CodeDestroyed)
}

func testCreateRepeats(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root")
	wrapped := wrap(t, service, "root", item("secret", ""))
	create(t, service, "root", "root")
	if opened := unwrap(t, service, "root", kms.Item{Bytes: wrapped[0]}); string(opened[0]) != "secret" {
		t.Error("creating a key again made another one")
	}
}

func testCreateOneWinner(t *testing.T, open func() kms.KMS) {
	services := []kms.KMS{open(), open()}
	wrapped := make([][]byte, 16)
	var group sync.WaitGroup
	for i := range wrapped {
		group.Go(func() {
			service := services[i%len(services)]
			if err := service.Create(t.Context(), "root"); err != nil {
				t.Errorf("caller %d: %v", i, err)
				return
			}
			out, err := service.Wrap(t.Context(), "root", []kms.Item{item("secret", "")})
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
				return
			}
			wrapped[i] = out[0]
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	for i, b := range wrapped {
		if opened := unwrap(t, services[0], "root", kms.Item{Bytes: b}); string(opened[0]) != "secret" {
			t.Errorf("caller %d wrapped under another key", i)
		}
	}
}

func testDestroyedForGood(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root", "neighbour")
	wrapped := wrap(t, service, "root", item("secret", "place"))
	beside := wrap(t, service, "neighbour", item("secret", "place"))
	first, err := service.Destroy(t.Context(), "root")
	if err != nil {
		t.Fatal(err)
	}
	if first.Effective.IsZero() || (!first.RecoverableUntil.IsZero() && first.RecoverableUntil.Before(first.Effective)) {
		t.Errorf("destroyed at %v, recoverable until %v", first.Effective, first.RecoverableUntil)
	}
	for range 2 {
		if state, err := service.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
			t.Errorf("state of a destroyed key: %d, %v", state, err)
		}
		_, err = service.Unwrap(t.Context(), "root", []kms.Item{{Bytes: wrapped[0], AAD: []byte("place")}})
		want(t, "unwrap", err, event.ErrConflict, kms.CodeDestroyed)
		_, err = service.Wrap(t.Context(), "root", []kms.Item{item("secret", "place")})
		want(t, "wrap", err, event.ErrConflict, kms.CodeDestroyed)
		want(t, "create", service.Create(t.Context(), "root"), event.ErrConflict, kms.CodeDestroyed)
		again, err := service.Destroy(t.Context(), "root")
		if diff := cmp.Diff(first, again); diff != "" || err != nil {
			t.Errorf("destroyed again (-first +again): %v\n%s", err, diff)
		}
	}
	opened := unwrap(t, service, "neighbour", kms.Item{Bytes: beside[0], AAD: []byte("place")})
	if string(opened[0]) != "secret" {
		t.Error("another key was touched")
	}
}

func testWrapsBatches(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root")
	items := make([]kms.Item, kms.MaxItems)
	for i := range items {
		items[i] = item(fmt.Sprintf("secret %d", i), fmt.Sprintf("place %d", i%7))
	}
	wrapped := wrap(t, service, "root", items...)
	sealed := make([]kms.Item, len(items))
	for i := range items {
		sealed[i] = kms.Item{Bytes: wrapped[i], AAD: items[i].AAD}
	}
	for i, b := range unwrap(t, service, "root", sealed...) {
		if !bytes.Equal(b, items[i].Bytes) {
			t.Fatalf("item %d comes back as another", i)
		}
	}
	sealed[3].AAD = []byte("elsewhere")
	out, err := service.Unwrap(t.Context(), "root", sealed[:5])
	want(t, "unwrap a batch with one bad item", err, event.ErrCorrupt, kms.CodeNotOpened)
	if out != nil || !strings.Contains(fmt.Sprint(err), "item 3 ") {
		t.Errorf("a batch with bad item 3: %d items, error %v", len(out), err)
	}
}

func testWrapsAnew(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root")
	same := item("the secret that is wrapped", "place")
	seen := map[string]bool{}
	for range 3 {
		for _, b := range wrap(t, service, "root", same, same) {
			if seen[string(b)] || bytes.Contains(b, same.Bytes) {
				t.Error("an item is wrapped into the same bytes twice, or shows through")
			}
			seen[string(b)] = true
		}
	}
}

func testBoundToNameAndAAD(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "one", "two")
	wrapped := wrap(t, service, "one", item("secret", "place"), item("secret", ""))
	for what, try := range map[string]struct {
		name string
		item kms.Item
	}{
		"another name":     {"two", kms.Item{Bytes: wrapped[0], AAD: []byte("place")}},
		"another AAD":      {"one", kms.Item{Bytes: wrapped[0], AAD: []byte("palce")}},
		"a longer AAD":     {"one", kms.Item{Bytes: wrapped[0], AAD: []byte("place\x00")}},
		"no AAD":           {"one", kms.Item{Bytes: wrapped[0]}},
		"AAD out of blue":  {"one", kms.Item{Bytes: wrapped[1], AAD: []byte("place")}},
		"AAD of zero byte": {"one", kms.Item{Bytes: wrapped[1], AAD: []byte{0}}},
	} {
		out, err := service.Unwrap(t.Context(), try.name, []kms.Item{try.item})
		want(t, "unwrap with "+what, err, event.ErrCorrupt, kms.CodeNotOpened)
		if out != nil {
			t.Errorf("unwrap with %s gives %d items", what, len(out))
		}
	}
}

func testUnknownIsNotDestroyed(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "other")
	for range 2 { // again: asking must not have made it
		state, err := service.State(t.Context(), "unknown")
		want(t, "state", err, event.ErrNotFound, kms.CodeMissing)
		if state != 0 {
			t.Errorf("state of an unknown key is %d", state)
		}
		_, err = service.Wrap(t.Context(), "unknown", []kms.Item{item("secret", "")})
		want(t, "wrap", err, event.ErrNotFound, kms.CodeMissing)
		wrapped := wrap(t, service, "other", item("secret", ""))
		_, err = service.Unwrap(t.Context(), "unknown", []kms.Item{{Bytes: wrapped[0]}})
		want(t, "unwrap", err, event.ErrNotFound, kms.CodeMissing)
		destruction, err := service.Destroy(t.Context(), "unknown")
		want(t, "destroy", err, event.ErrNotFound, kms.CodeMissing)
		if destruction != (kms.Destruction{}) {
			t.Errorf("an unknown key was destroyed at %v", destruction.Effective)
		}
	}
	create(t, service, "unknown")
	if state, err := service.State(t.Context(), "unknown"); state != kms.Live || err != nil {
		t.Errorf("state of a new key: %d, %v", state, err)
	}
}

func testDescribes(t *testing.T, open func() kms.KMS) {
	text := open().Describe()
	if text == "" || strings.ContainsAny(text, "\r\n") || len(text) > 500 {
		t.Errorf("the service describes itself as %q, want one short line", text)
	}
}

func testContextEnds(t *testing.T, open func() kms.KMS) {
	service := open()
	create(t, service, "root")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for method, err := range calls(ctx, service, "root") {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s with a context that ended: %v", method, err)
		}
	}
	if state, err := service.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("after calls with a context that ended: state %d, %v", state, err)
	}
}
