// Program loans shows Lethe at work on a bank's loan applications, in one run that needs nothing but Go:
//
//	go run ./examples/loans                  a store in a temporary folder, removed at the end
//	go run ./examples/loans --store ./data   a store that stays; running it again adds nothing
//
// It makes applications from a seed and appends every step as an event from many desks at once (package demo), lets a
// report follow the log while that happens (report.go), opens what is sealed of an applicant and restricts it
// (people.go), asks the log questions (tour.go), proves the log against its own Merkle tree, searches the store's files
// for e-mail addresses, and opens the store again to find everything as it was. The bank is simulated, the store is
// not: each append is durable before the next step of its application begins.
//
// Root keys lie beside the store, for this is one machine and a demonstration: docs/keys.md says where they belong.
//
// import.yaml beside it maps a real log of the same kind: docs/import.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
)

// Options of a demonstration.
type Options struct {
	Store        string // folder; empty: a temporary one
	Seed         uint64
	Applications int
}

func main() {
	var o Options
	flag.StringVar(&o.Store, "store", "", "folder of a store that stays; empty: a temporary one")
	flag.Uint64Var(&o.Seed, "seed", 1, "another seed gives other applications")
	flag.IntVar(&o.Applications, "applications", 500, "how many applications")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintf(os.Stderr, "loans: %v\n", err)
		os.Exit(1)
	}
}

// Run gives the demonstration on w.
func Run(ctx context.Context, w io.Writer, o Options) (err error) {
	if o.Applications < 1 || o.Applications > 1_000_000 {
		return event.Invalid("malformed_number", "make applications: want 1 to 1,000,000, got %d", o.Applications)
	}
	dir := o.Store
	if dir == "" {
		folder, err := os.MkdirTemp("", "lethe-loans-")
		if err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		dir = filepath.Join(folder, "data")
	}
	keys := filepath.Clean(dir) + "-keys"
	t := &tour{w: w, dir: dir, keys: keys, options: o, clock: event.SystemClock{}}
	if err := t.run(ctx); err != nil {
		return err
	}
	if o.Store != "" {
		fmt.Fprintf(w, "\n  The store stays in %s: run this again (it adds nothing), or look around:\n"+
			"  go run ./cmd/lethe event query --store %s --kms local:%s --relation issuer=employee/112 --type %s --limit 5\n",
			dir, dir, keys, demo.Declined)
		return nil
	}
	fmt.Fprintf(w, "\n  The temporary store is removed; with --store ./data it stays.\n")
	return nil
}
