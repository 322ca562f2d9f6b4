package kmstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Memory is a key service in memory: real keys, real encryption, nothing on disk. Set its fields before it is used.
type Memory struct {
	Clock   event.Clock   // the machine's, unless a test sets another
	Horizon time.Duration // how long it claims that backups are kept; 0: not known

	mu   sync.Mutex
	keys map[string]*memoryKey
}

type memoryKey struct {
	secret [32]byte
	ended  time.Time // zero: live
}

// New makes a key service without keys. Its keys are overwritten when the test ends.
func New(tb testing.TB) *Memory {
	m := newMemory()
	tb.Cleanup(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, key := range m.keys {
			clear(key.secret[:])
		}
	})
	return m
}

func newMemory() *Memory { return &Memory{Clock: event.SystemClock{}, keys: map[string]*memoryKey{}} }

// Create makes a key.
func (m *Memory) Create(ctx context.Context, name string) error {
	if err := kms.CheckName(name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.key(ctx, name)
	if event.Code(err) != kms.CodeMissing {
		return err
	}
	key := &memoryKey{}
	_, _ = rand.Read(key.secret[:]) // never fails, as documented
	m.keys[name] = key
	return nil
}

// key finds a live key.
func (m *Memory) key(ctx context.Context, name string) (*memoryKey, error) {
	key := m.keys[name]
	switch {
	case ctx.Err() != nil:
		return nil, ended("use root key "+name, ctx)
	case key == nil:
		return nil, kms.Missing(name)
	case !key.ended.IsZero():
		return nil, kms.Gone(name)
	}
	return key, nil
}

func ended(what string, ctx context.Context) error {
	return fmt.Errorf("%w: %w", kms.Unavailable(what, "the caller waits no longer"), context.Cause(ctx))
}

func gcm(secret []byte) cipher.AEAD {
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic("a key of 32 bytes was refused")
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("AES was refused")
	}
	return box
}

// Wrap seals items.
func (m *Memory) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckWrap(name, items); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, err := m.key(ctx, name)
	if err != nil {
		return nil, err
	}
	wrapped := make([][]byte, len(items))
	for i, item := range items {
		wrapped[i] = gcm(key.secret[:]).Seal(nil, nil, item.Bytes, item.AAD)
	}
	return wrapped, nil
}

// Unwrap opens items.
func (m *Memory) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckUnwrap(name, items); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, err := m.key(ctx, name)
	if err != nil {
		return nil, err
	}
	opened := make([][]byte, len(items))
	for i, item := range items {
		if opened[i], err = gcm(key.secret[:]).Open(nil, nil, item.Bytes, item.AAD); err != nil {
			return nil, kms.NotOpened(name, i)
		}
	}
	return opened, nil
}

// State tells what became of a key.
func (m *Memory) State(ctx context.Context, name string) (kms.State, error) {
	if err := kms.CheckName(name); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.key(ctx, name)
	switch {
	case event.Code(err) == kms.CodeDestroyed:
		return kms.Destroyed, nil
	case err != nil:
		return 0, err
	}
	return kms.Live, nil
}

// Destroy overwrites a key.
func (m *Memory) Destroy(ctx context.Context, name string) (kms.Destruction, error) {
	if err := kms.CheckName(name); err != nil {
		return kms.Destruction{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key, err := m.key(ctx, name)
	switch {
	case err == nil:
		clear(key.secret[:])
		key.ended = m.Clock.Now().UTC().Truncate(time.Microsecond)
	case event.Code(err) != kms.CodeDestroyed:
		return kms.Destruction{}, err
	}
	d := kms.Destruction{Effective: m.keys[name].ended}
	if m.Horizon > 0 {
		d.RecoverableUntil = d.Effective.Add(m.Horizon)
	}
	return d, nil
}

// Describe names the service.
func (m *Memory) Describe() string { return "keys in memory, for tests" }
