//go:build !linux

package bench

import "os"

// datasync makes a file durable.
func datasync(f *os.File) error { return f.Sync() }
