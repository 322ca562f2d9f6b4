package storage

import "github.com/lethe-es/lethe/event"

// What follows is the same for every engine that reads places in order: which they are, and what matches there.

// Bounds are the first and the last place of the query that exist, in its direction, where the last one there is is
// end; some is false if there are none.
func (q *Query) Bounds(end uint64) (from, to uint64, some bool) {
	from, to = q.From, q.To
	if q.Backward {
		if from == 0 || from > end {
			from = end
		}
		to = max(to, 1)
		return from, to, from >= to
	}
	from = max(from, 1)
	if to == 0 || to > end {
		to = end
	}
	return from, to, from <= to
}

// Next is the place after n in the query's direction.
func (q *Query) Next(n uint64) uint64 {
	if q.Backward {
		return n - 1
	}
	return n + 1
}

// Matches rechecks on the record itself what an index found. The body is decoded only if the filter needs it.
func (r *Record) Matches(f event.Filter) (bool, error) {
	if len(f) == 0 {
		return true, nil
	}
	body := false
	for i := range f {
		if f[i].MatchesHeader(r.Type, r.Stream) {
			if !f[i].NeedsBody() {
				return true, nil
			}
			body = true
		}
	}
	if !body {
		return false, nil
	}
	e, err := r.Event()
	return err == nil && f.Matches(&e), err
}

// Clone protects what an engine keeps from its callers.
func (h Head) Clone() Head {
	h.Lineage = append([]Fork(nil), h.Lineage...)
	h.Indexed = append([]string(nil), h.Indexed...)
	h.Frontier = append([]byte(nil), h.Frontier...)
	return h
}
