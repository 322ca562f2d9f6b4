package sqlink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lethe-es/lethe/event"
	"golang.org/x/sys/unix"
)

// Lock holds a folder for this process. The kernel gives it up when the process ends, however it ends.
type Lock struct{ file *os.File }

// holder is what the lock file says.
type holder struct {
	PID     int    `json:"pid"`
	Address string `json:"address,omitempty"`
}

// Acquire takes a folder, by the lock file of a name in it; address is where the server of this process listens, for
// whoever finds the folder taken. event.ErrHeld: another process has it.
func Acquire(dir, name, address string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock folder: %w", err)
		}
		return nil, held(f, dir)
	}
	l := &Lock{file: f}
	text, err := json.Marshal(holder{PID: os.Getpid(), Address: address})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock folder: %w", err), l.Release())
	}
	return l, nil
}

// held names who has the folder, and how to work with it all the same.
func held(f *os.File, dir string) error {
	var h holder
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil || h.PID == 0 {
		return event.Errorf(event.ErrHeld, "lock folder %s: another process holds it", dir).
			Hint("stop that process first")
	}
	if h.Address == "" {
		return event.Errorf(event.ErrHeld, "lock folder %s: process %d holds it", dir, h.PID).
			Hint("wait until it ends, or stop it")
	}
	return event.Errorf(event.ErrHeld, "lock folder %s: process %d holds it", dir, h.PID).
		Hint("use its server instead: --store %s", h.Address)
}

// MakeDir creates a folder, and makes its name durable.
func MakeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// SyncDir makes the names in a folder durable. SQLite syncs the folder too when it creates a file, but goes on when
// that fails; and without the name of a file, a power loss takes all that was acknowledged in it.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", event.Errorf(event.ErrFailed, "sync folder %s: the disk refused", dir), err)
	}
	return nil
}

// Release gives the folder up.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	// Unlocked by hand: a process that is being started meanwhile has the file open until it becomes another programme.
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}
