package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
)

// Reindex drops the inverted index and builds it anew from the rows. Appends of all processes wait meanwhile, and fail
// with event.ErrUnavailable if that takes longer than their patience; reading goes on with the index as it was.
func (s *Store) Reindex(ctx context.Context) error {
	head, err := s.refresh(ctx)
	if err == nil {
		err = s.reindex(ctx, head.Indexed)
	}
	if err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	return nil
}

// reindex builds the index of these metadata keys in one transaction that holds the head.
func (s *Store) reindex(ctx context.Context, keys []string) error {
	keys = storage.IndexedKeys(keys)
	if err := storage.CheckIndexed(keys); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.pass()
	id, err := loadHead(ctx, s.pool)
	if err != nil {
		return err
	}
	id.Indexed = keys
	err = s.change(ctx, exclusive, func(ctx context.Context, tx pgx.Tx, _ changing) error {
		_, err := tx.Exec(ctx, `UPDATE head SET metadata = $1, indexed = (SELECT max(position) FROM batch),
			changes = changes + 1, lives = lives + 1`, append([]string{}, keys...))
		if err != nil {
			return err
		}
		for _, text := range []string{
			`DELETE FROM segment`, `DELETE FROM run`, `DELETE FROM batch WHERE position < (SELECT max(position) FROM batch)`,
		} {
			if _, err := tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return s.rebuild(ctx, tx, storage.NewTerms(id))
	})
	if err != nil {
		return err
	}
	s.index.become(id)
	_, err = s.refresh(ctx)
	return err
}

// rebuild writes the segments of all events.
func (s *Store) rebuild(ctx context.Context, tx pgx.Tx, terms *storage.Terms) error {
	var head int64
	if err := tx.QueryRow(ctx, `SELECT max(position) FROM batch`).Scan(&head); err != nil {
		return err
	}
	if err := s.names.load(ctx, tx); err != nil {
		return err
	}
	b := &pageBuilder{store: s, ctx: ctx, db: tx, reader: reader{store: s}}
	for first := int64(1); first <= head; {
		last := min(head, first+int64(s.flush)-1)
		var a postings.Added
		for from := first; from <= last; {
			records, err := b.query(upQuery, from, last, min(int64(1024), last-from+1))
			if err != nil {
				return err
			}
			if len(records) == 0 {
				return event.Errorf(event.ErrCorrupt, "read event at %d: its row is missing", from).Hint("restore a backup")
			}
			if err := s.postingsOf(&a, terms, records); err != nil {
				return err
			}
			from = int64(records[len(records)-1].Position) + 1
		}
		var n int64
		if err := tx.QueryRow(ctx, `SELECT nextval('segment_n')`).Scan(&n); err != nil {
			return err
		}
		var out pgx.Batch
		queueRows(&out, n, 0, make(postings.Tail).Rows(&a))
		out.Queue(`INSERT INTO segment VALUES ($1, 0, $2, $3)`, n, first, last)
		if err := tx.SendBatch(ctx, &out).Close(); err != nil {
			return err
		}
		first = last + 1
	}
	return nil
}

// postingsOf adds the postings of stored events, whose roles all have a number since their commit.
func (s *Store) postingsOf(a *postings.Added, terms *storage.Terms, records []storage.Record) error {
	var list []storage.Term
	for i := range records {
		e, err := records[i].Event()
		if err != nil {
			return err
		}
		list = terms.Append(list[:0], records[i].Stream, &e.Draft)
		for _, term := range list {
			role := int64(postings.AnyRole)
			if term.Role != "" {
				role = s.names.role(term.Role)
			}
			key := postings.Key{Space: postings.TermSpace, Term: int64(term.Hash)}
			a.Add(key, postings.Posting{Position: records[i].Position, Aux: role})
		}
	}
	return nil
}
