package localkms

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"golang.org/x/sys/unix"
)

// Names of files in the folder. A key's name has no dot, so none of them can be mistaken for another.
const (
	folderName      = "folder"
	lockName        = "lock"
	tempFile        = "new.tmp"
	keySuffix       = ".key"
	tombstoneSuffix = ".destroyed"
)

// storeFiles tell a folder that holds a store.
func storeFiles() []string { return []string{"events.db", "keys.db"} }

func exposed(what, path string, mode uint32, want string) error {
	e := event.Errorf(event.ErrInvalid, "open key folder: %s %s has mode %o: others than its owner could read keys",
		what, path, mode&0o7777).Hint("chmod %s %s, and think about who read it", want, path)
	e.Code = "kms_folder_exposed"
	return e
}

// resolve gives the folder's true place, also of one that is still to be made: links must not lead into a store.
func resolve(dir string) (string, error) {
	if dir == "" {
		return "", event.Invalid("kms_folder", "open key folder: it has no name")
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("open key folder %s: %w", dir, err)
	}
	var missing []string
	for {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(append([]string{real}, missing...)...), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return "", kms.Unavailable("open key folder "+dir, "the disk refused: "+err.Error())
		}
		missing = append([]string{filepath.Base(path)}, missing...)
		path = parent
	}
}

// apart refuses a folder in which a copy of the data would also be a copy of the keys.
func apart(dir string) error {
	for d := dir; ; d = filepath.Dir(d) {
		for _, name := range storeFiles() {
			_, err := os.Lstat(filepath.Join(d, name))
			if err == nil {
				e := event.Errorf(event.ErrInvalid, "open key folder %s: %s is a store's data directory, and a copy or "+
					"backup of the data would then hold the keys, so that nothing could ever be erased from it", dir, d).
					Hint("choose a folder outside, such as /etc/lethe/keys, that backups of the data leave out")
				e.Code = "kms_folder_in_store"
				return e
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				return kms.Unavailable("open key folder "+dir, "the disk refused: "+err.Error())
			}
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// prepare makes the folder, or checks the one that is there.
func prepare(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return kms.Unavailable("make key folder "+dir, "the disk refused: "+err.Error())
		}
		if err := syncFolder(filepath.Dir(dir)); err != nil {
			return kms.Unavailable("make key folder "+dir, "the disk refused: "+err.Error())
		}
		return nil
	case err != nil:
		return kms.Unavailable("open key folder "+dir, "the disk refused: "+err.Error())
	case !info.IsDir():
		return event.Invalid("kms_folder", "open key folder %s: it is no folder", dir)
	case info.Mode().Perm()&0o077 != 0:
		return exposed("folder", dir, uint32(info.Mode().Perm()), "700")
	}
	return nil
}

// lockPause is how long a writer waits before it looks again whether the folder is free.
const lockPause = 5 * time.Millisecond

// lock keeps other writers out, in this process and in others, until the returned function is called. The kernel gives
// it up when the process ends, however it ends.
func (k *KMS) lock(ctx context.Context) (func(), error) {
	path := filepath.Join(k.dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, kms.Unavailable("lock key folder "+k.dir, "the disk refused: "+err.Error())
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() {
				// Unlocked by hand: a child that is being started has the file open until it becomes another program.
				_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
				_ = f.Close()
			}, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = f.Close()
			return nil, kms.Unavailable("lock key folder "+k.dir, "the disk refused: "+err.Error())
		}
		select {
		case <-k.clock.After(lockPause):
		case <-ctx.Done():
			_ = f.Close()
			return nil, ended("lock key folder "+k.dir, ctx)
		}
	}
}

// ended is the error of a caller that waits no longer.
func ended(what string, ctx context.Context) error {
	return fmt.Errorf("%w: %w", kms.Unavailable(what, "the caller waits no longer"), context.Cause(ctx))
}
