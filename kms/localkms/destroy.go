package localkms

import (
	"context"
	"errors"
	"io/fs"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// State looks for the tombstone and the key. A destruction that was cut off is completed first: a key is not called
// destroyed while its bytes are on the disk.
func (k *KMS) State(ctx context.Context, name string) (kms.State, error) {
	if err := kms.CheckName(name); err != nil {
		return 0, err
	}
	state, err := k.state(ctx, name)
	if event.Code(err) != kms.CodeDestroyed {
		return state, err
	}
	if _, err := k.Destroy(ctx, name); err != nil {
		return 0, err
	}
	return kms.Destroyed, nil
}

func (k *KMS) state(ctx context.Context, name string) (kms.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, "find root key "+name); err != nil {
		return 0, err
	}
	if _, err := k.load(name); err != nil {
		return 0, err
	}
	return kms.Live, nil
}

// Destroy ends a root key in the order the package comment gives.
func (k *KMS) Destroy(ctx context.Context, name string) (kms.Destruction, error) {
	if err := kms.CheckName(name); err != nil {
		return kms.Destruction{}, err
	}
	what := "destroy root key " + name
	release, err := k.lock(ctx)
	if err != nil {
		return kms.Destruction{}, err
	}
	defer release()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, what); err != nil {
		return kms.Destruction{}, err
	}
	t, err := k.readTombstone(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t, err = k.condemn(name)
	case err == nil && t.phase == begun:
		err = k.disk.Sync() // who began may have been cut off before the tombstone's name was durable
	}
	if err != nil {
		return kms.Destruction{}, k.broken(what, err)
	}
	k.forget(name)
	if err := k.shred(name, t.phase == begun); err != nil {
		return kms.Destruction{}, k.broken(what, err)
	}
	if t.phase == begun {
		t.phase, t.time = done, event.Micros(k.clock.Now())
		if err := write(k.disk, name+tombstoneSuffix, t.encode()); err != nil {
			return kms.Destruction{}, k.broken(what, err)
		}
	}
	return k.destruction(t), nil
}

func (k *KMS) destruction(t tombstone) kms.Destruction {
	d := kms.Destruction{Effective: event.FromMicros(t.time)}
	if k.horizon > 0 {
		d.RecoverableUntil = d.Effective.Add(k.horizon)
	}
	return d
}

func (k *KMS) readTombstone(name string) (tombstone, error) {
	file := name + tombstoneSuffix
	b, _, err := k.disk.Read(file)
	if err != nil {
		return tombstone{}, err
	}
	t, err := parseTombstone(file, b)
	if err == nil && t.folder != k.id {
		err = replaced(k.dir)
	}
	return t, err
}

// condemn writes the tombstone of a key that is there. The key need not be readable, but it must be of this folder.
func (k *KMS) condemn(name string) (tombstone, error) {
	if _, err := k.there(name); err != nil {
		return tombstone{}, err
	}
	b, _, err := k.disk.Read(name + keySuffix)
	if err != nil {
		return tombstone{}, err
	}
	if f, err := parseKey(name+keySuffix, b); err == nil && f.folder != k.id {
		return tombstone{}, replaced(k.dir)
	}
	t := tombstone{folder: k.id, name: name, phase: begun, time: event.Micros(k.clock.Now())}
	return t, write(k.disk, name+tombstoneSuffix, t.encode())
}

// shred overwrites a key's file in place, with bytes of which no file system makes a hole, and removes it. It also ends
// a file that came back beside its tombstone, from a backup. No other file ever holds the key: a temporary one that was
// cut off holds one that was never used.
func (k *KMS) shred(name string, sync bool) error {
	file := name + keySuffix
	m, err := k.disk.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !sync:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return k.disk.Sync()
	case err != nil:
		return err
	}
	noise := make([]byte, min(max(m.Size, 1), maxFile))
	if err := fillRandom(k.random, noise); err != nil {
		return err
	}
	f, err := k.disk.Open(file, false)
	if err != nil {
		return err
	}
	if err := fill(f, noise); err != nil {
		return err
	}
	if err := k.disk.Remove(file); err != nil {
		return err
	}
	return k.disk.Sync()
}
