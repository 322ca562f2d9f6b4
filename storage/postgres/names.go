package postgres

import (
	"context"

	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"sync"

	"github.com/lethe-es/lethe/storage/postings"
)

// names is the dictionary that turns event types and relation roles into integers. They are few, never change, and are
// read again when one is met that is not known, because another process may have added it.
type names struct {
	mu    sync.RWMutex
	ids   map[string]int64
	texts map[int64]string
	most  int64 // the highest number that is known; numbers have no gaps
}

func newNames() *names { return &names{ids: make(map[string]int64), texts: make(map[int64]string)} }

func (n *names) id(text string) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.ids[text]
	return id, ok
}

func (n *names) text(id int64) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	text, ok := n.texts[id]
	return text, ok
}

// last is the highest number that is known.
func (n *names) last() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.most
}

// add takes over names that are durable.
func (n *names) add(texts []string, ids []int64) {
	if len(ids) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, id := range ids {
		n.ids[texts[i]], n.texts[id], n.most = id, texts[i], max(n.most, id)
	}
}

// load reads all names.
func (n *names) load(ctx context.Context, q pglink.Querier) error {
	rows, err := q.Query(ctx, `SELECT id, name FROM name`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var texts []string
	var ids []int64
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		texts, ids = append(texts, text), append(ids, id)
	}
	n.add(texts, ids)
	return rows.Err()
}

// role is the number of a role in lists of the index, as of a head this process knows.
func (n *names) role(text string) int64 {
	if id, ok := n.id(text); ok {
		return id
	}
	return postings.NoRole
}
