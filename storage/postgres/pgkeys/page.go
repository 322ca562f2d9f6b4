package pgkeys

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
)

// What one page looks at is bounded, so that a sparse query does not keep its caller from advancing.
const (
	mostLooked      = 4096    // uses
	mostLookedBytes = 8 << 20 // of their records
)

// Terms of uses are eight bytes of what they stand for. The KRID of a person is random; of the rest a hash does.
func personTerm(krid event.KRID) postings.Key { return term(int64(binary.BigEndian.Uint64(krid[:8]))) }

func actorTerm(a event.Actor) postings.Key {
	return textTerm("actor\x00" + a.Kind + "\x00" + string(a.ID))
}

func purposeTerm(purpose string) postings.Key { return textTerm("purpose\x00" + purpose) }

func textTerm(text string) postings.Key {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash never fails
	return term(int64(h.Sum64()))
}

func term(n int64) postings.Key { return postings.Key{Space: postings.TermSpace, Term: n} }

// termFor is the list that narrows a query most, if any does.
func termFor(q *storage.UseQuery) (key postings.Key, narrowed bool) {
	switch {
	case !q.KRID.IsZero():
		return personTerm(q.KRID), true
	case !q.Actor.IsZero():
		return actorTerm(q.Actor), true
	case q.Purpose != "":
		return purposeTerm(q.Purpose), true
	}
	return key, false
}

// PageUses implements storage.Uses. It answers as of one moment, in a transaction that sees nothing of what others do
// meanwhile, such as merging the segments it reads.
func (k *Keystore) PageUses(ctx context.Context, q storage.UseQuery) (page storage.UsePage, err error) {
	if q.Limit < 1 {
		return page, event.Invalid("malformed_limit", "page uses: the limit must be above 0")
	}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		return pgx.BeginTxFunc(ctx, k.pool, options, func(tx pgx.Tx) error {
			b := &pageBuilder{ctx: ctx, tx: tx, q: &q}
			err := b.build()
			page = b.page
			return err
		})
	})
	if err != nil {
		return storage.UsePage{}, fmt.Errorf("page uses: %w", err)
	}
	return page, nil
}

// pageBuilder gathers one page, from the newest use down.
type pageBuilder struct {
	ctx    context.Context // of the one call it serves
	tx     pgx.Tx
	q      *storage.UseQuery
	page   storage.UsePage
	looked int
	bytes  int
}

func (b *pageBuilder) build() error {
	v, err := readIndex(b.ctx, b.tx)
	if err != nil {
		return err
	}
	at := v.last
	if b.q.Before != 0 {
		at = min(at, int64(min(b.q.Before, math.MaxInt64))-1)
	}
	key, narrowed := termFor(b.q)
	lowest := int64(1)
	if narrowed {
		lowest = v.indexed + 1
	}
	if at, err = b.walk(at, lowest); err != nil || b.full() {
		return err
	}
	if narrowed && at > 0 {
		list := v.view(b.ctx, b.tx).List(key, postings.AnyRole)
		if err := b.follow(list.Finder(true), at); err != nil || b.full() {
			return err
		}
	}
	b.page.Scanned, b.page.Done = 0, true
	return nil
}

// full reports whether the page ends here, though more may follow.
func (b *pageBuilder) full() bool {
	return len(b.page.Uses) >= b.q.Limit || b.looked >= mostLooked || b.bytes >= mostLookedBytes
}

// chunk is how many uses to ask for: what the page still takes, as far as what they were so far tells. Where most of
// them match they are not many more than it lacks.
func (b *pageBuilder) chunk(match bool) int {
	n := mostLooked - b.looked
	if match {
		n = min(n, max(b.q.Limit-len(b.page.Uses), 16))
	}
	if b.looked == 0 {
		return min(n, 16)
	}
	return max(min(n, (mostLookedBytes-b.bytes)/max(b.bytes/b.looked, 1)), 1)
}

// walk looks at all uses from a number down to the lowest, and says where it came to.
func (b *pageBuilder) walk(at, lowest int64) (int64, error) {
	_, narrowed := termFor(b.q)
	for at >= lowest && !b.full() {
		asked := b.chunk(!narrowed)
		n, err := b.take(`SELECT number, record FROM key_use WHERE number <= $1 AND number >= $2
			ORDER BY number DESC LIMIT $3`, at, lowest, asked)
		if err != nil {
			return at, err
		}
		if n < asked && !b.full() {
			return lowest - 1, nil
		}
		at = int64(b.page.Scanned) - 1
	}
	return at, nil
}

// follow looks at the uses that the index finds, from a number down.
func (b *pageBuilder) follow(found postings.Finder, at int64) error {
	for at > 0 && !b.full() {
		var numbers []int64
		for most := b.chunk(true); len(numbers) < most; at = numbers[len(numbers)-1] - 1 {
			n, ok, err := found.Next(event.Position(max(at, 0)))
			if err != nil {
				return err
			}
			if !ok {
				at = 0
				break
			}
			numbers = append(numbers, int64(n))
		}
		if len(numbers) == 0 {
			return nil
		}
		n, err := b.take(`SELECT number, record FROM key_use WHERE number = ANY($1) ORDER BY number DESC`, numbers)
		if err != nil {
			return err
		}
		if !b.full() { // those that are not there were pruned
			b.looked += len(numbers) - n
			b.page.Scanned = uint64(numbers[len(numbers)-1])
		}
	}
	return nil
}

// take takes the uses that match, up to where the page is full, and says how many it looked at.
func (b *pageBuilder) take(query string, args ...any) (n int, err error) {
	rows, err := b.tx.Query(b.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for !b.full() && rows.Next() {
		var number int64
		var record []byte
		if err := rows.Scan(&number, &record); err != nil {
			return n, err
		}
		n, b.looked, b.bytes, b.page.Scanned = n+1, b.looked+1, b.bytes+len(record), uint64(number)
		u, err := storage.ParseUse(record, b.q.KRID)
		if err != nil {
			return n, fmt.Errorf("use %d: %w", number, err)
		}
		if u.Number = uint64(number); len(u.Entries) > 0 && b.q.Matches(&u) {
			b.page.Uses = append(b.page.Uses, u)
		}
	}
	rows.Close()
	return n, rows.Err()
}
