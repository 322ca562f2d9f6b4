package keyring

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

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
	a, err := k.changes.ask(ctx, k, changes)
	if err != nil {
		return nil, err
	}
	return a.answers, nil
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
