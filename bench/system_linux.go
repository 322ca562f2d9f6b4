package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes the bytes of a file durable, and of its metadata only what is needed to find them.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
