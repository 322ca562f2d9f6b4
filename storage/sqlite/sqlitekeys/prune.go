package sqlitekeys

import (
	"context"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// How much one transaction of PruneUses does; others record between two of them.
const (
	pruneUses = 128
	pruneRows = 256
)

// PruneUses implements storage.Uses. Rows go first; the segments of the index that named them are then written anew
// without them. If it is cut off between the two, the next call goes on there.
func (k *Keystore) PruneUses(ctx context.Context, before int64) (int, error) {
	u := k.uses
	u.pruning.Lock()
	defer u.pruning.Unlock()
	removed, err := u.prune(ctx, before)
	if err != nil {
		return removed, fmt.Errorf("prune uses: %w", err)
	}
	return removed, nil
}

func (u *useLog) prune(ctx context.Context, before int64) (removed int, err error) {
	upTo, err := u.pause(ctx)
	if err != nil {
		return 0, err
	}
	for {
		n, err := u.deleteUses(ctx, before, upTo)
		removed += n
		if err != nil {
			return removed, u.resume(err)
		}
		if n == 0 {
			return removed, u.resume(u.cleanIndex(ctx))
		}
	}
}

// step is one transaction of PruneUses.
func (u *useLog) step(ctx context.Context, do func(t *useCommit) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.file.write.Lock()
	defer u.file.write.Unlock()
	if err := u.file.usable(); err != nil {
		return err
	}
	t := &useCommit{log: u, last: u.last}
	err := u.file.transaction(func() (int, error) {
		err := do(t)
		return t.written, err
	})
	if err != nil {
		return err
	}
	return t.publish()
}

// pause writes out the tail, so that every use up to the number it returns is in a segment, and keeps everybody else
// from changing segments.
func (u *useLog) pause(ctx context.Context) (upTo event.Position, err error) {
	err = u.step(ctx, func(t *useCommit) error {
		u.paused = true
		u.abandonMerge()
		if upTo = event.Position(t.last); upTo == u.indexed {
			return nil
		}
		return t.writeTail()
	})
	if err != nil {
		return 0, u.resume(err)
	}
	return upTo, nil
}

// resume lets others change segments again. The error is that of what was done meanwhile.
func (u *useLog) resume(err error) error {
	u.file.write.Lock()
	defer u.file.write.Unlock()
	u.paused = false
	if u.file.closed {
		return err
	}
	if plan := u.planMerge(); err == nil {
		err = plan
	}
	return err
}

// deleteUses deletes some uses that were recorded before a time, and marks the segments that name them.
func (u *useLog) deleteUses(ctx context.Context, before int64, upTo event.Position) (deleted int, err error) {
	err = u.step(ctx, func(t *useCommit) error {
		c := u.file.c
		var numbers []int64
		err := c.Query(`SELECT n, length(body) FROM use INDEXED BY use_at WHERE at < ? AND n <= ? ORDER BY at, n LIMIT ?`,
			func(r sqlink.Row) error {
				numbers = append(numbers, r.Int64(0))
				t.written += int(r.Int64(1))
				return nil
			}, before, int64(upTo), pruneUses)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			if err := c.Exec("DELETE FROM use WHERE n = ?", n); err != nil {
				return err
			}
			err := c.Exec("INSERT OR IGNORE INTO stale SELECT n FROM segment WHERE first <= ?1 AND last >= ?1", n)
			if err != nil {
				return err
			}
		}
		deleted = len(numbers)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

func staleSegments(c *sqlink.Conn) (found []int64, err error) {
	err = c.Query("SELECT segment FROM stale ORDER BY segment", func(r sqlink.Row) error {
		found = append(found, r.Int64(0))
		return nil
	})
	return found, err
}

// cleanIndex writes every stale segment anew without the uses that are gone, and deletes the rows of the old ones.
func (u *useLog) cleanIndex(ctx context.Context) error {
	var stale []int64
	err := u.file.read(ctx, func(c *sqlink.Conn) (err error) {
		stale, err = staleSegments(c)
		return err
	})
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		there, err := u.numbers(ctx)
		if err != nil {
			return err
		}
		for _, n := range stale {
			if err := u.cleanSegment(ctx, n, there); err != nil {
				return err
			}
		}
	}
	for more := true; more; {
		err := u.step(ctx, func(t *useCommit) error {
			if more = len(u.garbage) > 0; !more {
				return nil
			}
			return t.drop(pruneRows)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// numberSet is a set of numbers of uses, a bit for each.
type numberSet []uint64

func (s numberSet) has(n event.Position) bool {
	return n/64 < event.Position(len(s)) && s[n/64]>>(n%64)&1 == 1
}

// numbers are those of the uses that are there.
func (u *useLog) numbers(ctx context.Context) (numberSet, error) {
	u.mu.RLock()
	there := make(numberSet, u.last/64+1)
	u.mu.RUnlock()
	err := u.file.read(ctx, func(c *sqlink.Conn) error {
		return c.Query("SELECT n FROM use INDEXED BY use_at WHERE at IS NOT NULL", func(r sqlink.Row) error {
			if n := uint64(r.Int64(0)); n/64 < uint64(len(there)) {
				there[n/64] |= 1 << (n % 64)
			}
			return nil
		})
	})
	return there, err
}

// cleanSegment writes a segment anew, a few rows at a time.
func (u *useLog) cleanSegment(ctx context.Context, n int64, there numberSet) error {
	u.mu.RLock()
	segments := u.segments
	u.mu.RUnlock()
	i := slices.IndexFunc(segments, func(s postings.Segment) bool { return s.N == n })
	if i < 0 {
		return event.Errorf(event.ErrCorrupt, "clean index of uses: segment %d is missing", n)
	}
	m := &postings.Merge{
		Sources: []postings.Segment{segments[i]}, Leave: func(p event.Position) bool { return !there.has(p) },
	}
	for done := false; !done; {
		err := u.step(ctx, func(t *useCommit) error {
			err := t.step(m, pruneRows)
			if done = t.merged != nil; done && err == nil {
				err = u.file.c.Exec("DELETE FROM stale WHERE segment = ?", n)
			}
			return err
		})
		if err != nil {
			u.file.write.Lock()
			defer u.file.write.Unlock()
			if m.Into != 0 {
				u.garbage = append(u.garbage, m.Into)
			}
			return err
		}
	}
	return nil
}
