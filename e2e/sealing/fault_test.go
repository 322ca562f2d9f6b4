package sealing_test

import (
	"context"
	"errors"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
)

// way is how a call fails.
type way uint8

const (
	refused way = iota // nothing was done
	lost               // it was done, and the answer got lost
)

// faults lets one call fail, of all that are made of key service, keystore, use log and log; or that one and all that
// follow, as if the process were gone.
type faults struct {
	mu    sync.Mutex
	armed bool
	at    int // the call, from 1; 0: none
	way   way
	last  bool   // nothing after it is done
	first func() // happens before the call instead, which then is made
	calls []string
	hit   string // the call that failed
	err   error
}

// errGone is what the calls of a process that is gone end with: nobody hears it.
var errGone = &event.Error{Sentinel: event.ErrUnavailable, Code: "gone", Message: "call: it was not made"}

// errFault is the failure of one call.
var errFault = &event.Error{Sentinel: event.ErrUnavailable, Code: "fault", Message: "call: it failed"}

// meet counts a call, and does it or not.
func (f *faults) meet(name string, do func() error) error {
	f.mu.Lock()
	n := 0
	if f.armed {
		f.calls = append(f.calls, name)
		n = len(f.calls)
	}
	fails := f.armed && f.at > 0 && (n == f.at || f.last && n > f.at)
	if n == f.at && fails {
		f.hit = name
	}
	f.mu.Unlock()
	switch {
	case fails && f.first != nil:
		f.first()
		return do()
	case !fails:
		return do()
	case n > f.at:
		return errGone
	case f.way == lost:
		if err := do(); err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.err
	}
	if f.way == lost && writes(name) {
		return errors.Join(event.ErrUnknown, errFault)
	}
	return errFault
}

// writes tells of the calls whose lost answer leaves open whether they were done.
func writes(name string) bool {
	return name == "Commit" || name == "ChangeKeys" || name == "RecordUses"
}

// arm begins to count.
func (f *faults) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = true
}

// end lets every call reach its service again.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
}

func (f *faults) struck() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// answered is meet for calls with an answer.
func answered[T any](f *faults, name string, do func() (T, error)) (answer T, err error) {
	err = f.meet(name, func() (err error) {
		answer, err = do()
		return err
	})
	if err != nil {
		var nothing T
		return nothing, err
	}
	return answer, nil
}

type faultyLog struct {
	storage.Store
	f *faults
}

func (l faultyLog) Head(ctx context.Context) (storage.Head, error) {
	return answered(l.f, "Head", func() (storage.Head, error) { return l.Store.Head(ctx) })
}

func (l faultyLog) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	return answered(l.f, "Page", func() (storage.Page, error) { return l.Store.Page(ctx, q) })
}

func (l faultyLog) Fences(ctx context.Context, after uint64, limit int) ([]storage.Fence, error) {
	return answered(l.f, "Fences", func() ([]storage.Fence, error) { return l.Store.Fences(ctx, after, limit) })
}

func (l faultyLog) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error)) (storage.Head, error) {
	return answered(l.f, "Commit", func() (storage.Head, error) { return l.Store.Commit(ctx, p, decide) })
}

type faultyKeys struct {
	storage.Keystore
	f *faults
}

func (k faultyKeys) KeyHead(ctx context.Context) (storage.KeyHead, error) {
	return answered(k.f, "KeyHead", func() (storage.KeyHead, error) { return k.Keystore.KeyHead(ctx) })
}

func (k faultyKeys) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	return answered(k.f, "Keyrings", func() ([]storage.Keyring, error) { return k.Keystore.Keyrings(ctx, krids) })
}

func (k faultyKeys) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	return answered(k.f, "Lookups", func() ([]storage.Lookup, error) { return k.Keystore.Lookups(ctx, tokens) })
}

func (k faultyKeys) Retentions(ctx context.Context, ids []storage.RetentionID) ([]storage.RetentionKey, error) {
	return answered(k.f, "Retentions", func() ([]storage.RetentionKey, error) { return k.Keystore.Retentions(ctx, ids) })
}

func (k faultyKeys) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	return answered(k.f, "ChangeKeys", func() ([]storage.KeyOutcome, error) { return k.Keystore.ChangeKeys(ctx, changes) })
}

func (k faultyKeys) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	return answered(k.f, "ScanKeyrings", func() ([]storage.Keyring, error) { return k.Keystore.ScanKeyrings(ctx, q) })
}

func (k faultyKeys) RecordUses(ctx context.Context, uses []storage.Use) error {
	return k.f.meet("RecordUses", func() error { return k.Keystore.RecordUses(ctx, uses) })
}

func (k faultyKeys) PageUses(ctx context.Context, q storage.UseQuery) (storage.UsePage, error) {
	return answered(k.f, "PageUses", func() (storage.UsePage, error) { return k.Keystore.PageUses(ctx, q) })
}

type faultyKMS struct {
	kms.KMS
	f *faults
}

func (k faultyKMS) Create(ctx context.Context, name string) error {
	return k.f.meet("Create", func() error { return k.KMS.Create(ctx, name) })
}

func (k faultyKMS) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	return answered(k.f, "Wrap", func() ([][]byte, error) { return k.KMS.Wrap(ctx, name, items) })
}

func (k faultyKMS) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	return answered(k.f, "Unwrap", func() ([][]byte, error) { return k.KMS.Unwrap(ctx, name, items) })
}

func (k faultyKMS) State(ctx context.Context, name string) (kms.State, error) {
	return answered(k.f, "State", func() (kms.State, error) { return k.KMS.State(ctx, name) })
}
