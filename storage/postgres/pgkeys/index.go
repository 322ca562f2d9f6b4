package pgkeys

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// usesIndex is the state of the index of uses, as of one moment.
type usesIndex struct {
	last, pruned, indexed int64 // the last number given; the last one given before some were pruned; segments end here
	segments              []postings.Segment
}

func readIndex(ctx context.Context, q pglink.Querier) (x usesIndex, err error) {
	var flat []int64
	err = q.QueryRow(ctx, `SELECT h.pruned, h.indexed, greatest(h.pruned, (SELECT max(number) FROM key_use)),
		(SELECT array_agg(x ORDER BY s.first, i) FROM key_segment s,
			unnest(ARRAY[s.n, s.level, s.first, s.last]) WITH ORDINALITY u(x, i))
		FROM key_uses h`).Scan(&x.pruned, &x.indexed, &x.last, &flat)
	for ; len(flat) >= 4; flat = flat[4:] {
		x.segments = append(x.segments, postings.Segment{
			N: flat[0], Level: int(flat[1]), First: event.Position(flat[2]), Last: event.Position(flat[3]),
		})
	}
	return x, err
}

// same tells whether segments are as they were.
func (x *usesIndex) same(o *usesIndex) bool {
	return x.indexed == o.indexed && slices.Equal(x.segments, o.segments)
}

// view is the index up to where segments cover it. Where segments were dropped, because all their uses were pruned,
// one without rows stands for them.
func (x *usesIndex) view(ctx context.Context, q pglink.Querier) *postings.View {
	segments, first := x.segments, event.Position(x.indexed)+1
	if len(segments) > 0 {
		first = segments[0].First
	}
	if first > 1 {
		segments = append([]postings.Segment{{N: nowhere, First: 1, Last: first - 1}}, segments...)
	}
	end := event.Position(x.indexed)
	return &postings.View{Rows: &runs{ctx: ctx, q: q}, Head: end, Indexed: end, Segments: segments}
}

// nowhere is the number of a segment without rows.
const nowhere = 0

// runs reads rows of the index.
type runs struct {
	ctx   context.Context // of the one call it serves
	q     pglink.Querier
	ahead map[int64][]postings.Row // by segment: what After is likely to be asked for next
}

// At implements postings.Rows.
func (r *runs) At(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	if segment == nowhere {
		return postings.Row{}, false, nil
	}
	found, err := r.rows(`SELECT term, first, postings FROM key_run WHERE segment = $1 AND (term, first) <= ($2, $3)
		ORDER BY term DESC, first DESC LIMIT 1`, segment, key.Term, int64(p))
	if err != nil || len(found) == 0 {
		return postings.Row{}, false, err
	}
	return found[0], true, nil
}

// After implements postings.Rows.
func (r *runs) After(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	text := `SELECT term, first, postings FROM key_run WHERE segment = $1 AND (term, first) > ($2, $3)
		ORDER BY term, first LIMIT 16`
	args := []any{segment, key.Term, int64(p)}
	if key.Space < postings.TermSpace { // before all of them
		text = `SELECT term, first, postings FROM key_run WHERE segment = $1 ORDER BY term, first LIMIT 16`
		args = args[:1]
		delete(r.ahead, segment)
	}
	next := r.ahead[segment]
	if len(next) == 0 || next[0].Key.Compare(key) < 0 || next[0].Key == key && next[0].First <= p {
		var err error
		if next, err = r.rows(text, args...); err != nil || len(next) == 0 {
			return postings.Row{}, false, err
		}
	}
	if r.ahead == nil {
		r.ahead = make(map[int64][]postings.Row)
	}
	r.ahead[segment] = next[1:]
	return next[0], true, nil
}

func (r *runs) rows(text string, args ...any) ([]postings.Row, error) {
	rows, err := r.q.Query(r.ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (x postings.Row, err error) {
		var key, first int64
		err = row.Scan(&key, &first, &x.Bytes)
		x.Key, x.First = term(key), event.Position(first)
		return x, err
	})
}
