package localkms

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is what the folder is to this package, so that a test can let it fail, or lose what was not synced, anywhere.
type disk interface {
	// Stat gives the identity of a file, or fs.ErrNotExist.
	Stat(name string) (mark, error)
	Read(name string) ([]byte, mark, error)
	// Open opens a file for writing at its beginning; a fresh one is made or emptied.
	Open(name string, fresh bool) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// Sync makes the names in the folder durable.
	Sync() error
	Names() ([]string, error)
}

// file is written once and closed.
type file interface {
	io.WriteCloser
	Sync() error
}

// mark is the identity of a file and of its content: two that are equal are the same file, unchanged.
type mark struct {
	Device, Inode  uint64
	Size           int64
	Changed, Moved int64 // ns since 1970 UTC, of content and of inode
}

// osDisk is a real folder.
type osDisk struct{ dir string }

func (d osDisk) path(name string) string { return filepath.Join(d.dir, name) }

func (d osDisk) Stat(name string) (mark, error) {
	var s unix.Stat_t
	if err := unix.Lstat(d.path(name), &s); err != nil {
		return mark{}, &fs.PathError{Op: "stat", Path: d.path(name), Err: err}
	}
	return d.judge(name, &s)
}

// judge refuses what is no plain file of its owner alone.
func (d osDisk) judge(name string, s *unix.Stat_t) (mark, error) {
	if s.Mode&unix.S_IFMT != unix.S_IFREG || s.Mode&0o077 != 0 {
		return mark{}, exposed("file", d.path(name), uint32(s.Mode), "600")
	}
	return mark{
		Device: uint64(s.Dev), Inode: s.Ino, Size: s.Size, Changed: s.Mtim.Nano(), Moved: s.Ctim.Nano(),
	}, nil
}

func (d osDisk) Read(name string) ([]byte, mark, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, mark{}, err
	}
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return nil, mark{}, &fs.PathError{Op: "stat", Path: d.path(name), Err: err}
	}
	m, err := d.judge(name, &s)
	if err != nil {
		return nil, mark{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return b, m, err
}

func (d osDisk) Open(name string, fresh bool) (file, error) {
	flags := os.O_WRONLY | unix.O_NOFOLLOW
	if fresh {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	return os.OpenFile(d.path(name), flags, 0o600)
}

func (d osDisk) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDisk) Remove(name string) error { return os.Remove(d.path(name)) }

func (d osDisk) Sync() error { return syncFolder(d.dir) }

func (d osDisk) Names() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// write replaces a file as a whole: whoever reads it, also after a crash, finds the old one or the new one.
func write(d disk, name string, b []byte) error {
	f, err := d.Open(tempFile, true)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := fill(f, b); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.Rename(tempFile, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// fill writes, syncs and closes.
func fill(f file, b []byte) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
