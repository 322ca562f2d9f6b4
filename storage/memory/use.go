package memory

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// RecordUses implements storage.Uses.
func (k *Keystore) RecordUses(ctx context.Context, uses []storage.Use) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx); err != nil {
		return err
	}
	for i := range uses {
		if err := uses[i].Check(); err != nil {
			return err
		}
	}
	for _, u := range uses {
		u = cloneUse(u)
		u.Canonical()
		k.used++
		u.Number = k.used
		k.uses = append(k.uses, u)
	}
	return nil
}

func cloneUse(u storage.Use) storage.Use {
	u.Words, u.Entries = kept(u.Words), slices.Clone(u.Entries)
	return u
}

// PageUses implements storage.Uses. It looks as far as it must.
func (k *Keystore) PageUses(ctx context.Context, q storage.UseQuery) (storage.UsePage, error) {
	if err := k.read(ctx); err != nil {
		return storage.UsePage{}, err
	}
	defer k.mu.RUnlock()
	if q.Limit < 1 {
		return storage.UsePage{}, event.Invalid("malformed_limit", "page uses: limit %d is below 1", q.Limit)
	}
	var page storage.UsePage
	for i := range slices.Backward(k.uses) {
		u := k.uses[i]
		if u.Entries = q.Entries(u.Entries); !q.Matches(&u) || len(u.Entries) == 0 {
			continue
		}
		if len(page.Uses) == q.Limit {
			return page, nil
		}
		page.Uses, page.Scanned = append(page.Uses, cloneUse(u)), u.Number
	}
	page.Scanned, page.Done = 0, true
	return page, nil
}

// PruneUses implements storage.Uses. What it removes is overwritten before it is let go.
func (k *Keystore) PruneUses(ctx context.Context, before int64) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx); err != nil {
		return 0, err
	}
	was := len(k.uses)
	k.uses = slices.DeleteFunc(k.uses, func(u storage.Use) bool {
		if u.At >= before {
			return false
		}
		clear(u.Words)
		clear(u.Entries)
		return true
	})
	return was - len(k.uses), nil
}
