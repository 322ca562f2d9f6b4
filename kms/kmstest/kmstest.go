// Package kmstest holds every key service to the contract of kms, sentence by sentence, and has what tests of other
// packages need of a key service:
//
//	Run     the suite: whoever writes a driver calls it
//	New     a key service in memory that keeps the contract
//	Faulty  a key service that is down, slow, forgetful or somewhere else when a test says so
//	Vault   a server that answers like the transit engine of HashiCorp Vault and OpenBao
package kmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Place makes an empty place in which a service keeps its keys, and gives the function that opens the service there. It
// is called once in each test; what it returns, several times: for other processes, and after a restart.
type Place func(t *testing.T) (open func() kms.KMS)

// Run holds a service to every sentence of kms.KMS.
func Run(t *testing.T, place Place) {
	for name, test := range map[string]func(*testing.T, func() kms.KMS){
		"NamesChecked":          testNamesChecked,
		"ItemsChecked":          testItemsChecked,
		"SeenByOthers":          testSeenByOthers,
		"Durable":               testDurable,
		"CreateRepeats":         testCreateRepeats,
		"CreateOneWinner":       testCreateOneWinner,
		"DestroyedForGood":      testDestroyedForGood,
		"WrapsBatches":          testWrapsBatches,
		"WrapsAnew":             testWrapsAnew,
		"FailsClosed":           func(t *testing.T, open func() kms.KMS) { FailsClosed(t, open()) },
		"BoundToNameAndAAD":     testBoundToNameAndAAD,
		"UnknownIsNotDestroyed": testUnknownIsNotDestroyed,
		"Describes":             testDescribes,
		"ContextEnds":           testContextEnds,
	} {
		t.Run(name, func(t *testing.T) { test(t, place(t)) })
	}
}

// FailsClosed checks that a service which cannot open something says so, and gives out no bytes: neither what it was
// handed, nor anything else.
func FailsClosed(t *testing.T, service kms.KMS) {
	t.Helper()
	ctx, secret := t.Context(), kms.Item{Bytes: []byte("a key that must not come back"), AAD: []byte("place")}
	silent := func(what string, out [][]byte, err error) {
		t.Helper()
		if err == nil || out != nil || strings.Contains(fmt.Sprint(err), string(secret.Bytes)) {
			t.Errorf("%s: got %d items, error %v", what, len(out), err)
		}
	}
	out, err := service.Wrap(ctx, "no-such-root-key", []kms.Item{secret})
	silent("wrap under an unknown root key", out, err)
	out, err = service.Unwrap(ctx, "no-such-root-key", []kms.Item{secret})
	silent("unwrap under an unknown root key", out, err)
	if err := service.Create(ctx, "root"); errors.Is(err, event.ErrUnsupported) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	out, err = service.Unwrap(ctx, "root", []kms.Item{secret})
	silent("unwrap what was never wrapped", out, err)
	good := wrap(t, service, "root", secret)[0]
	forgeries := [][]byte{good[:len(good)-1], append(slices.Clone(good), 0), good[1:], append([]byte{' '}, good...)}
	for i := range good {
		forged := slices.Clone(good)
		forged[i] ^= 1 << (i % 8)
		forgeries = append(forgeries, forged)
	}
	for i, forged := range forgeries {
		out, err = service.Unwrap(ctx, "root", []kms.Item{{Bytes: forged, AAD: secret.AAD}})
		silent(fmt.Sprintf("unwrap forgery %d", i), out, err)
		if code := event.Code(err); code != kms.CodeNotOpened {
			t.Errorf("unwrap forgery %d: code %s, want %s", i, code, kms.CodeNotOpened)
		}
	}
	if got := unwrap(t, service, "root", kms.Item{Bytes: good, AAD: secret.AAD}); !bytes.Equal(got[0], secret.Bytes) {
		t.Error("what was wrapped does not open any more")
	}
}

func create(t *testing.T, service kms.KMS, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := service.Create(t.Context(), name); err != nil {
			t.Fatalf("create %s: %v", name, err)
		}
	}
}

func wrap(t *testing.T, service kms.KMS, name string, items ...kms.Item) [][]byte {
	t.Helper()
	wrapped, err := service.Wrap(t.Context(), name, items)
	if err != nil || len(wrapped) != len(items) {
		t.Fatalf("wrap under %s: got %d items of %d, error %v", name, len(wrapped), len(items), err)
	}
	return wrapped
}

func unwrap(t *testing.T, service kms.KMS, name string, items ...kms.Item) [][]byte {
	t.Helper()
	opened, err := service.Unwrap(t.Context(), name, items)
	if err != nil || len(opened) != len(items) {
		t.Fatalf("unwrap under %s: got %d items of %d, error %v", name, len(opened), len(items), err)
	}
	return opened
}

func item(text, aad string) kms.Item { return kms.Item{Bytes: []byte(text), AAD: []byte(aad)} }

// calls are all methods that name a key, as one call each.
func calls(ctx context.Context, service kms.KMS, name string) map[string]error {
	errs := map[string]error{"create": service.Create(ctx, name)}
	_, errs["wrap"] = service.Wrap(ctx, name, []kms.Item{item("secret", "")})
	_, errs["unwrap"] = service.Unwrap(ctx, name, []kms.Item{item("wrapped", "")})
	_, errs["state"] = service.State(ctx, name)
	_, errs["destroy"] = service.Destroy(ctx, name)
	return errs
}

// want checks the class and the code of an error.
func want(t *testing.T, what string, err, kind error, code string) {
	t.Helper()
	if !errors.Is(err, kind) || event.Code(err) != code {
		t.Errorf("%s: got %v (%s), want %v (%s)", what, err, event.Code(err), kind, code)
	}
}
