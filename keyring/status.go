package keyring

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Status is the state of a Keeper and its keystore.
type Status struct {
	Store   event.StoreID // zero: nothing was ever minted
	Service string        // in the key service's words
	Epochs  []EpochStatus // by number
	Current uint32        // the newest live epoch; 0: there is none yet
	Behind  bool          // something is under an older epoch than that: a roll is not complete
	Lease   time.Time     // until when keys in memory may be used; zero: none are
	Cached  int           // keyrings in memory
	Applied event.Position
}

// EpochStatus is the state of an epoch.
type EpochStatus struct {
	Number  uint32
	State   State // Live or Erased
	Created time.Time
	Name    string // of its root key
	Open    bool   // its keys are in memory
}

// Status looks at everything once. It asks the key service nothing, unless the keystore holds keys and none of them are
// in memory. With an error comes what is known all the same, but Behind.
func (k *Keeper) Status(ctx context.Context) (Status, error) {
	s := Status{Service: k.service.Describe(), Cached: k.cache.count()}
	err := k.refresh(ctx, true)
	if err != nil {
		k.show(&s)
		return s, err
	}
	h, err := k.hold(ctx, false)
	k.show(&s)
	if err != nil {
		return s, err
	}
	defer h.release()
	if h.current != nil {
		s.Behind, err = k.left(ctx, h, s.Current)
	}
	return s, err
}

// show fills in what is known without asking.
func (k *Keeper) show(s *Status) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Store, s.Applied = k.head.Store, k.head.Applied
	for _, e := range k.head.Epochs {
		state := Erased
		if e.State == storage.KeyLive {
			state = Live
			s.Current = max(s.Current, e.Number)
		}
		s.Epochs = append(s.Epochs, EpochStatus{
			Number: e.Number, State: state, Created: event.FromMicros(e.Created), Name: e.Name, Open: k.epochs[e.Number] != nil,
		})
	}
	if l := k.lease.Load(); l != nil {
		s.Lease = k.o.Clock.Now().Add(time.Duration(l.until - k.tick())).UTC()
	}
}

// Count counts the keyrings of persons, by reading all of them.
func (k *Keeper) Count(ctx context.Context) (live, destroyed int, err error) {
	q := storage.KeyringQuery{Limit: batchSize}
	for {
		found, err := k.keys.ScanKeyrings(ctx, q)
		if err != nil || len(found) == 0 {
			return live, destroyed, err
		}
		for i := range found {
			switch {
			case found[i].KRID == OfStore(k.o.Store):
			case found[i].State == storage.KeyLive:
				live++
			default:
				destroyed++
			}
		}
		q.After = found[len(found)-1].KRID
	}
}

// Applied is up to where system events are in the keyrings, as far as this Keeper knows.
func (k *Keeper) Applied() event.Position {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.head.Applied
}

// SetApplied notes durably that system events up to a position are in the keyrings. It never goes back.
func (k *Keeper) SetApplied(ctx context.Context, position event.Position) error {
	if position <= k.Applied() {
		return nil
	}
	if _, err := k.changeOne(ctx, storage.KeyChange{Applied: position, Store: k.o.Store}); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.head.Applied = max(k.head.Applied, position)
	return nil
}
