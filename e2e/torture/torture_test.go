// Package torture holds the adversary's tests: what a store promises is tried against concurrency, kills, failing
// system calls, a full disk and a second process. Every test prints the seed it ran with; set LETHE_SEED to run it
// again.
//
//   - linear_test.go: histories of concurrent appends and reads are linearizable (LETHE_HISTORIES scales).
//   - metamorphic_test.go: random programmes give the same on memory and SQLite (LETHE_PROGRAMMES scales).
//   - kill_test.go: SIGKILL at any moment loses nothing (LETHE_KILLS scales).
//   - sweep_test.go: every write, sync, truncation, removal and opening of a file fails or kills once
//     (LETHE_SWEEP=full takes every point, otherwise a sample).
//   - full_test.go: a full disk is a clear error, and passes.
//   - held_test.go: a second process is refused.
//   - trouble_test.go: what is left when a disk fails in the middle of several steps.
//   - defect_test.go: the checkers find the defects they are for.
//
// The victim of kills and failing calls is this test binary, started again with LETHE_VICTIM set: victim_test.go. It
// tells every answer it gets on its standard output; account_test.go holds what was told against what is in the folder.
package torture_test

import (
	"context"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("LETHE_VICTIM"); mode != "" {
		os.Exit(victim(context.Background(), mode))
	}
	os.Exit(m.Run())
}

// scale is the number a test runs with: otherwise, unless the variable gives another one.
func scale(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("read %s: want a number above 0", variable)
	}
	return n
}

// seed is where the chance of a test begins; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := new(maphash.Hash).Sum64()
	if text := os.Getenv("LETHE_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("read LETHE_SEED: want a number")
		}
	}
	t.Logf("seed: LETHE_SEED=%d", s)
	return s
}

func chance(seed uint64, n int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n))) }

// randomness is a source that gives the same bytes for the same seed, safe for concurrent use.
func randomness(seed uint64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return &lockedReader{r: rand.NewChaCha8(key)}
}

type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

// stepClock is a clock that moves when it is told to. A wait on it is over at once.
type stepClock struct {
	mu  sync.Mutex
	now time.Time
}

func newStepClock() *stepClock { return &stepClock{now: time.UnixMicro(1_700_000_000_000_000).UTC()} }

func (c *stepClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stepClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *stepClock) After(d time.Duration) <-chan time.Time {
	done := make(chan time.Time, 1)
	done <- c.Now().Add(d)
	return done
}

var _ event.Clock = (*stepClock)(nil)
