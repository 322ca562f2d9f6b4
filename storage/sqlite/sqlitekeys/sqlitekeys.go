// Package sqlitekeys keeps the keys of a store, and the record of every use of personal data, in a folder, on embedded
// SQLite (pure Go).
//
//	keys, err := sqlitekeys.Open(ctx, "./data", nil)
//	defer keys.Close()
//
// The folder may be the log's or another one. In it lie keys.db, uses.db and keys.lock; one process holds them at a
// time, and a second one is refused with the holder named. Never open, copy or close these files by other means while a
// process holds them.
//
// The files commit by themselves: recording a use waits neither for keys nor for appends. Callers who come while a
// commit is under way are committed together by the next one, with one sync for all of them. docs/format/sqlite.md
// specifies the tables.
package sqlitekeys

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Options of a keystore; nil means the defaults.
type Options struct {
	Flush   int    // entries of uses between two writes of their index; 0: 65,536
	Address string // where the server of this process listens, for the lock file
}

// Keystore is a keystore in a folder. Safe for concurrent use.
type Keystore struct {
	dir  string
	lock *sqlink.Lock
	keys *file[keyRequest]
	uses *useLog
}

var _ storage.Keystore = (*Keystore)(nil)

// Open opens the keystore in dir, which is created if it is not there. event.ErrHeld: another process has it.
func Open(ctx context.Context, dir string, o *Options) (*Keystore, error) {
	if o == nil {
		o = new(Options)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	if err := sqlink.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	l, err := sqlink.Acquire(dir, "keys.lock", o.Address)
	if err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	k, err := open(dir, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open keystore: %w", err), l.Release())
	}
	k.lock = l
	if err := sqlink.SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open keystore: %w", err), k.Close())
	}
	return k, nil
}

func open(dir string, o *Options) (*Keystore, error) {
	k := &Keystore{dir: dir}
	var err error
	if k.keys, err = openFile[keyRequest](filepath.Join(dir, "keys.db"), keysSchema); err != nil {
		return nil, err
	}
	if k.uses, err = openUses(filepath.Join(dir, "uses.db"), o.Flush); err != nil {
		return nil, errors.Join(err, k.keys.close())
	}
	return k, nil
}

// Close waits for commits in progress, then closes the files and gives them up.
func (k *Keystore) Close() error {
	if !k.keys.end() {
		return nil
	}
	k.uses.file.end()
	return errors.Join(k.keys.close(), k.uses.file.close(), k.lock.Release())
}

// ScrubKeys moves everything from the write-ahead logs to the files, where secure_delete has overwritten what was taken
// away, and empties them.
func (k *Keystore) ScrubKeys(ctx context.Context) (storage.Residue, error) {
	var left storage.Residue
	for _, name := range []string{"keys.db", "uses.db"} {
		scrub := k.keys.scrub
		if name == "uses.db" {
			scrub = k.uses.file.scrub
		}
		busy, err := scrub(ctx)
		if err != nil {
			return storage.Residue{}, fmt.Errorf("scrub %s: %w", name, err)
		}
		if busy {
			left.Remains = append(left.Remains, "write-ahead log of "+name+": a reader still uses it; scrub again")
		}
	}
	return left, nil
}

func limit(doing string, n int) error {
	if n < 1 {
		return event.Invalid("malformed_limit", "%s: the limit must be above 0", doing)
	}
	return nil
}
