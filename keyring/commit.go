package keyring

import (
	"context"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// batchSize is how many changes are asked of the keystore at once, as far as one caller's are not more.
const batchSize = 1000

// queue collects changes of concurrent callers, so that many become durable at the price of one.
type queue struct {
	mu      sync.Mutex
	waiting []*submission
	running bool
}

type submission struct {
	changes  []storage.KeyChange
	outcomes []storage.KeyOutcome
	err      error
	done     chan struct{}
}

// change makes changes durable. A caller whose context ends does not learn the outcome.
func (k *Keeper) change(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	for i := range changes { // one that is malformed would take those of others with it
		if err := changes[i].Check(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &submission{changes: changes, done: make(chan struct{})}
	q := &k.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, s)
	if !q.running {
		if !k.background(k.drain) {
			q.waiting = nil
			q.mu.Unlock()
			return nil, closedKeeper()
		}
		q.running = true
	}
	q.mu.Unlock()
	select {
	case <-s.done:
		return s.outcomes, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// changeOne is change for one, and refuses the keystore of another store.
func (k *Keeper) changeOne(ctx context.Context, c storage.KeyChange) (storage.KeyOutcome, error) {
	outcomes, err := k.change(ctx, []storage.KeyChange{c})
	if err != nil {
		return storage.KeyOutcome{}, err
	}
	if s := outcomes[0].Store; s != (event.StoreID{}) {
		return outcomes[0], foreign(s)
	}
	return outcomes[0], nil
}

// drain commits until nothing waits.
func (k *Keeper) drain() {
	for {
		batch, changes := k.queue.next()
		if batch == nil {
			return
		}
		outcomes, err := k.keys.ChangeKeys(k.root, changes) // Close waits for it
		for _, s := range batch {
			if s.err = err; err == nil {
				s.outcomes, outcomes = outcomes[:len(s.changes)], outcomes[len(s.changes):]
			}
			close(s.done)
		}
	}
}

// next takes what is committed together; nothing: draining ends.
func (q *queue) next() (batch []*submission, changes []storage.KeyChange) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.waiting) && (n == 0 || len(changes)+len(q.waiting[n].changes) <= batchSize) {
		changes = append(changes, q.waiting[n].changes...)
		n++
	}
	if n == 0 {
		q.running = false
		return nil, nil
	}
	batch = append(batch, q.waiting[:n]...)
	q.waiting = append(q.waiting[:0:0], q.waiting[n:]...)
	return batch, changes
}
