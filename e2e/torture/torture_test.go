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
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("LETHE_VICTIM"); mode != "" {
		os.Exit(victim(context.Background(), mode))
	}
	pgtest.Run(m)
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
