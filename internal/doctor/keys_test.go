package doctor_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/doctor"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// bank is a store that speaks of two customers.
type bank struct {
	engine  storage.Store
	keys    storage.Keystore
	service kms.KMS
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{memory.Open(memory.Options{}), memory.NewKeys(), kmstest.New(t)}
	store, err := lethe.Open(t.Context(), b.engine, b.service, &lethe.Options{Keystore: b.keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	text := `{"version": 1, "kinds": {"customer": {"person": true}}}`
	if _, err := store.Privacy().SetPolicy(t.Context(), event.Actor{}, []byte(text), false); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2"} {
		_, err := store.As(event.Actor{}).Append(t.Context(), event.Stream("customer", id), event.Any,
			event.Draft{Type: "Joined", Data: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bank) examine(t *testing.T) *doctor.KeyReport {
	t.Helper()
	k := doctor.Keys{Store: b.keys, Service: b.service}
	k.Options = keyring.Options{Clock: event.SystemClock{}, Rand: rand.Reader}
	report, err := doctor.ExamineKeys(t.Context(), b.engine, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// lossy is a keystore that tells other things than it holds.
type lossy struct {
	storage.Keystore
	head func(*storage.KeyHead)
	ring func(*storage.Keyring)
}

func (l lossy) KeyHead(ctx context.Context) (storage.KeyHead, error) {
	h, err := l.Keystore.KeyHead(ctx)
	if l.head != nil {
		l.head(&h)
	}
	return h, err
}

// change leaves the record of the store itself alone.
func (l lossy) change(ctx context.Context, list []storage.Keyring) []storage.Keyring {
	head, failed := l.Keystore.KeyHead(ctx)
	for i := range list {
		if l.ring != nil && failed == nil && list[i].KRID != keyring.OfStore(head.Store) {
			l.ring(&list[i])
		}
	}
	return list
}

func (l lossy) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	list, err := l.Keystore.Keyrings(ctx, krids)
	return l.change(ctx, list), err
}

func (l lossy) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	list, err := l.Keystore.ScanKeyrings(ctx, q)
	return l.change(ctx, list), err
}

// TestKeys holds that each thing that can be wrong with a keystore is found, and what is whole is not accused.
func TestKeys(t *testing.T) {
	for name, test := range map[string]struct {
		change func(b *bank)
		want   []string // of the checks; ! is a wrong one
	}{
		"whole": {func(*bank) {}, []string{"keystore: of this store", "epochs: 1 live, all opened by",
			"keyrings: 2 live, 0 destroyed", "aliases: everybody"}},
		"no key service": {func(b *bank) { b.service = nil }, []string{"keystore:", "epochs: 1; not tried", "keyrings:",
			"aliases:"}},
		"no keystore": {func(b *bank) { b.keys = nil }, []string{"keystore: there is none yet",
			"!aliases: 2 of whom the log speaks have neither a keyring nor a tombstone: krid_"}},
		"a new keystore": {func(b *bank) { b.keys = memory.NewKeys() }, []string{"keystore: new",
			"!aliases: 2 of whom"}},
		"another store's": {func(b *bank) {
			b.keys = lossy{Keystore: b.keys, head: func(h *storage.KeyHead) { h.Store[0]++ }}
		}, []string{"!keystore: it belongs to store"}},
		"an epoch that is gone": {func(b *bank) {
			b.keys = lossy{Keystore: b.keys, ring: func(r *storage.Keyring) { r.Epoch = 9 }}
		}, []string{"keystore:", "epochs:", "!keyrings: 2 are under an epoch that is not live: krid_", "aliases:"}},
		"tombstones": {func(b *bank) {
			b.keys = lossy{Keystore: b.keys, ring: func(r *storage.Keyring) { r.State = storage.KeyDestroyed }}
		}, []string{"keystore:", "epochs:", "keyrings: 0 live, 2 destroyed", "aliases: everybody"}},
	} {
		b := newBank(t)
		test.change(b)
		report := b.examine(t)
		if len(report.Checks) != len(test.want) {
			t.Errorf("%s: %+v", name, report.Checks)
			continue
		}
		for i, c := range report.Checks {
			want, wrong := strings.CutPrefix(test.want[i], "!")
			if c.OK == wrong || !strings.HasPrefix(c.Name+": "+c.Detail, want) {
				t.Errorf("%s: %+v, want %s", name, c, test.want[i])
			}
		}
		if report.Unusable != nil || report.Damaged() != strings.Contains(strings.Join(test.want, ""), "!") {
			t.Errorf("%s: unusable %v, damaged %v", name, report.Unusable, report.Damaged())
		}
	}
}

// TestKeysAway tells a key service that is away from damage.
func TestKeysAway(t *testing.T) {
	for fault, code := range map[kmstest.Fault]string{
		kmstest.NoMount: "kms_mount_missing", kmstest.Down: "kms_unavailable", kmstest.Elsewhere: "kms_key_missing",
	} {
		b := newBank(t)
		away := kmstest.NewFaulty(b.service)
		away.Set(fault)
		b.service = away
		report := b.examine(t)
		if event.Code(report.Unusable) != code || report.Damaged() {
			t.Errorf("unusable: %v, damaged %v: %+v", report.Unusable, report.Damaged(), report.Checks)
		}
	}
}
