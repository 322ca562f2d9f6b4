package keyring

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// Options of a Keeper. Store, Clock and Rand are required.
type Options struct {
	Store  event.StoreID
	Clock  event.Clock
	Rand   io.Reader     // of keys, KRIDs and nonces
	Lease  time.Duration // how long an epoch's keys are used after the key service unwrapped them; 0: 15 minutes
	TTL    time.Duration // how long a keyring is used after it was read; 0: 60 seconds
	Cached int           // most keyrings in memory; 0: 65,536
}

// Keeper keeps the keyrings of one store. It is for many callers at once, and many Keepers, in several processes, may
// share a keystore.
type Keeper struct {
	keys    storage.Keys
	service kms.KMS
	o       Options

	start, wall time.Time // ticks count from here
	randomness  sync.Mutex
	root        context.Context // of what is written, which Close waits for
	life        context.Context // of asking the key service; ends with Close
	end         context.CancelFunc
	work        sync.WaitGroup

	lease     atomic.Pointer[lease]
	newest    atomic.Uint32 // number of the epoch that wraps what is written
	dir       atomic.Pointer[wrapped.Directory]
	indexed   atomic.Bool // the lookup index was seen
	cache     *cache
	periods   periods
	signers   signers
	questions group[question, answer]
	changes   group[storage.KeyChange, storage.KeyOutcome]
	beginning chan struct{} // one makes the first epoch
	ending    chan struct{} // one ends a person: the next would be too early
	sizes     sizes

	mu      sync.Mutex
	closed  bool
	head    storage.KeyHead
	headAt  int64
	epochs  map[uint32]*epoch // those that are open
	attempt *attempt          // that goes on
	tried   int64             // when the last began
	asked   uint32            // the newest epoch it asked for
}

// Defaults of Options.
const (
	defaultLease  = 15 * time.Minute
	defaultTTL    = time.Minute
	defaultCached = 65536
)

// leaseTries is how often within a lease the key service is asked again after it failed.
const leaseTries = 30

// Open makes a Keeper. It reads the keystore's head, but asks the key service nothing. A keystore that belongs to
// another store is event.ErrConflict with code foreign_keystore.
func Open(ctx context.Context, keys storage.Keys, service kms.KMS, o Options) (*Keeper, error) {
	if o.Clock == nil || o.Rand == nil || o.Store == (event.StoreID{}) {
		return nil, event.Invalid("malformed_options", "open keyrings: want a store, a clock and randomness")
	}
	o.Lease, o.TTL = cmp.Or(o.Lease, defaultLease), cmp.Or(o.TTL, defaultTTL)
	o.Cached = cmp.Or(o.Cached, defaultCached)
	now := o.Clock.Now()
	k := &Keeper{
		keys: keys, service: service, o: o, start: now, wall: now.Round(0),
		root: context.WithoutCancel(ctx), epochs: map[uint32]*epoch{},
		cache:   newCache(o.Cached, int64(o.TTL)),
		periods: periods{ttl: int64(o.TTL), keys: map[storage.RetentionID]*period{}}, beginning: make(chan struct{}, 1),
		ending: make(chan struct{}, 1), sizes: usualSizes,
	}
	k.life, k.end = context.WithCancel(k.root)
	k.tried = -int64(o.Lease)
	k.questions.run, k.questions.direct = k.answer, true
	k.changes.run = func(_ context.Context, c []storage.KeyChange) ([]storage.KeyOutcome, error) {
		return k.keys.ChangeKeys(k.root, c) // Close waits for it
	}
	if err := k.refresh(ctx, true); err != nil {
		k.end()
		return nil, err
	}
	return k, nil
}

// Close overwrites every key in memory. Calls that go on end with event.ErrUnavailable, later ones do so at once.
// Closing twice is fine.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.end()
	k.work.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
}

// Forget drops keyrings from memory, so that the next use reads them again; nil drops all, and every retention key.
func (k *Keeper) Forget(krids []event.KRID) {
	if krids == nil {
		k.cache.clear()
		k.periods.clear()
		return
	}
	k.cache.forget(krids)
}

// tick is the time since Open. It goes on while the machine sleeps, and where the clock is turned back, so do
// differences of ticks: such an age is taken for too old.
func (k *Keeper) tick() int64 {
	now := k.o.Clock.Now()
	return int64(max(now.Sub(k.start), now.Round(0).Sub(k.wall)))
}

// random fills b.
func (k *Keeper) random(b []byte) error {
	k.randomness.Lock()
	defer k.randomness.Unlock()
	if _, err := io.ReadFull(k.o.Rand, b); err != nil {
		return fmt.Errorf("draw keys: %w", fault(event.ErrUnavailable, "no_randomness", "read randomness: %v", err))
	}
	return nil
}

// background runs f beside the callers, unless the Keeper was closed.
func (k *Keeper) background(f func()) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spawn(f)
}

// spawn is background for who holds mu.
func (k *Keeper) spawn(f func()) bool {
	if !k.closed {
		k.work.Go(f)
	}
	return !k.closed
}
