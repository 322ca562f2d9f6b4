// Package localkms keeps root keys in a folder of this machine: the key service for one machine, for trying things out,
// and for whoever has no Vault. It is a driver of package kms.
//
// The folder lies outside every store's data directory, because a copy of the data must not be a copy of the keys. It
// holds one file per root key, NAME.key, each sealed under the folder's secret; the file "folder" holds that secret, in
// the open or under a passphrase; NAME.destroyed is the tombstone of a key, for ever. docs/format/localkms.md has every
// byte, docs/keys.md says how to run it.
//
// # Destroying
//
// Destroy first writes the tombstone, durably: from then on nobody opens anything with the key. Then it overwrites the
// key's file in place, syncs, removes it, and notes in the tombstone that this is done. A crash leaves the whole key or
// the tombstone; with a tombstone, whoever asks next completes the rest before the key is called destroyed. A file that
// is missing without a tombstone is a missing key, never a destroyed one.
//
// Overwriting reaches the file's own blocks. File systems that copy on write, snapshots and drives that move blocks may
// keep older ones: a passphrase makes those worthless to whoever does not know it, and Options.Horizon says for how
// long backups of the folder live on.
//
// # Several processes
//
// Any number may use one folder. Who writes holds a lock (flock) on the file "lock". Who reads asks the disk, at every
// call, whether the tombstone is there and whether the key's file is still the one that was read, so what one process
// did counts in the others at their next call.
package localkms

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Options of Open; nil is as good as the zero value.
type Options struct {
	Clock      event.Clock // nil: the machine's
	Rand       io.Reader   // nil: the machine's
	Passphrase []byte      // of a protected folder; a new folder is protected by it. Empty: the folder is in the open
	// Horizon is how long backups of the key folder are kept: until then a destroyed key could be brought back.
	// 0: the operator has not stated it, and nothing is claimed.
	Horizon time.Duration
}

// KMS is an open key folder.
type KMS struct {
	dir     string
	disk    disk
	clock   event.Clock
	random  io.Reader
	horizon time.Duration
	id      [idSize]byte

	mu         sync.RWMutex // guards what follows; who changes files holds the lock of the folder first
	secret     []byte
	folderSize int
	protected  bool
	keys       map[string]*entry
	closed     bool
}

// entry is a root key in memory.
type entry struct {
	mark   mark
	secret []byte
}

var _ kms.KMS = (*KMS)(nil)

// Open opens the folder, and makes it when it is not there. A folder that belongs to a store, that others can read, or
// whose passphrase is another is refused.
func Open(ctx context.Context, dir string, o *Options) (*KMS, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	if err := apart(dir); err != nil {
		return nil, err
	}
	if err := prepare(dir); err != nil {
		return nil, err
	}
	return openOn(ctx, dir, osDisk{dir}, o)
}

func openOn(ctx context.Context, dir string, d disk, o *Options) (*KMS, error) {
	if o == nil {
		o = &Options{}
	}
	if o.Horizon < 0 {
		return nil, event.Invalid("kms_horizon", "open key folder %s: backups cannot be kept for less than no time", dir)
	}
	k := &KMS{dir: dir, disk: d, clock: o.Clock, random: o.Rand, horizon: o.Horizon, keys: map[string]*entry{}}
	if k.clock == nil {
		k.clock = event.SystemClock{}
	}
	if k.random == nil {
		k.random = rand.Reader
	}
	release, err := k.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	f, err := k.readFolder()
	if errors.Is(err, fs.ErrNotExist) {
		f, err = k.makeFolder(o.Passphrase)
	}
	if err != nil {
		return nil, err
	}
	// Who made the folder may have been cut off before the names in it were durable.
	if err := d.Sync(); err != nil {
		return nil, k.broken("open key folder", err)
	}
	k.id, k.folderSize, k.protected = f.id, len(f.encode()), f.protection == byPassphrase
	if k.secret == nil {
		k.secret, err = f.unprotect(dir, o.Passphrase)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (k *KMS) readFolder() (folderFile, error) {
	b, _, err := k.disk.Read(folderName)
	if err != nil {
		return folderFile{}, k.broken("open key folder", err)
	}
	return parseFolder(folderName, b)
}

// makeFolder gives a new folder its identity and its secret. A folder that lost them is no new one: its keys would be
// unreadable for ever, and the loss would go unnoticed.
func (k *KMS) makeFolder(passphrase []byte) (folderFile, error) {
	names, err := k.disk.Names()
	if err != nil {
		return folderFile{}, k.broken("open key folder", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, keySuffix) || strings.HasSuffix(name, tombstoneSuffix) {
			e := event.Errorf(event.ErrCorrupt, "open key folder %s: it holds keys, but its file %s is missing", k.dir,
				folderName).Hint("restore that file from a backup of the folder; nothing opens without it")
			e.Code = "kms_file_damaged"
			return folderFile{}, e
		}
	}
	var id [idSize]byte
	secret := make([]byte, secretSize)
	if err := fillRandom(k.random, id[:], secret); err != nil {
		return folderFile{}, err
	}
	f, err := protect(id, secret, passphrase, k.random)
	if err != nil {
		return folderFile{}, err
	}
	if err := write(k.disk, folderName, f.encode()); err != nil {
		return folderFile{}, k.broken("make key folder", err)
	}
	k.secret = bytes.Clone(secret)
	return f, nil
}

// Describe names the folder.
func (k *KMS) Describe() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.protected {
		return "local keys in " + k.dir + ", under a passphrase"
	}
	return "local keys in " + k.dir
}

// Close forgets every key. A KMS that is closed refuses everything.
func (k *KMS) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.keys {
		k.forget(name)
	}
	clear(k.secret)
	k.closed = true
	return nil
}

// forget overwrites a key in memory. What the runtime copied elsewhere, such as an expanded key, it cannot reach.
func (k *KMS) forget(name string) {
	if e := k.keys[name]; e != nil {
		clear(e.secret)
		delete(k.keys, name)
	}
}

// usable is asked first, with mu held.
func (k *KMS) usable(ctx context.Context, what string) error {
	switch {
	case ctx.Err() != nil:
		return ended(what, ctx)
	case k.closed:
		return kms.Unavailable(what, "the key folder was closed")
	}
	return nil
}

// broken turns an error of the disk into one of the seam; those that already speak stay as they are.
func (k *KMS) broken(what string, err error) error {
	var spoken *event.Error
	if errors.As(err, &spoken) {
		return err
	}
	return fmt.Errorf("%w: %w", kms.Unavailable(what, "the disk of "+k.dir+" refused"), err)
}

// sameFolder tells a key that is missing from a folder that is: an empty mount point has no keys either.
func (k *KMS) sameFolder() error {
	f, err := k.readFolder()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kms.MountMissing("find key folder", k.dir+" is not the folder it was: its file "+folderName+" is missing").
			Hint("mount it again")
	case err != nil:
		return err
	case f.id != k.id:
		return replaced(k.dir)
	}
	return nil
}

func replaced(dir string) error {
	return kms.MountMissing("find key folder", dir+" holds the keys of another folder").
		Hint("mount the right one, or open the store again")
}
