package sqlite

import (
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// names are the dictionaries that turn event types, relation roles and streams into integers. Types and roles are
// few and all in memory; of streams the recently used are. The maps hold only what is durable: what a commit adds
// is in its additions until then.
type names struct {
	mu    sync.RWMutex // readers look up while the writer adds
	ids   map[string]int64
	texts map[int64]string

	lastStream int64 // highest number of a stream; changed by publish

	streams *simplelru.LRU[event.StreamID, *streamEntry] // the writer's; guarded by Store.write
	named   *simplelru.LRU[int64, event.StreamID]        // the readers'; guarded by streamMu
	namedMu sync.Mutex
}

// streamEntry is a stream the writer knows: its state and its number in the file.
type streamEntry struct {
	id    int64 // 0: not in the file
	state storage.StreamState
}

// How many streams are remembered: about 30 MB each at the longest usual names.
const (
	writerStreams = 200_000
	readerStreams = 100_000
)

func loadNames(c *sqlink.Conn) (*names, error) {
	n := &names{ids: make(map[string]int64), texts: make(map[int64]string)}
	n.streams, _ = simplelru.NewLRU[event.StreamID, *streamEntry](writerStreams, nil) // fails for sizes below 1 only
	n.named, _ = simplelru.NewLRU[int64, event.StreamID](readerStreams, nil)
	err := c.Query("SELECT id, name FROM name", func(r sqlink.Row) error {
		n.ids[r.Text(1)], n.texts[r.Int64(0)] = r.Int64(0), r.Text(1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return n, c.Query("SELECT coalesce(max(id), 0) FROM stream", func(r sqlink.Row) error {
		n.lastStream = r.Int64(0)
		return nil
	})
}

func (n *names) id(text string) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, ok := n.ids[text]
	return id, ok
}

func (n *names) text(id int64) (string, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	text, ok := n.texts[id]
	if !ok {
		return "", event.Errorf(event.ErrCorrupt, "read event: name %d is missing", id)
	}
	return text, nil
}

// add takes over what a commit made durable.
func (n *names) add(added map[string]int64) {
	if len(added) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for text, id := range added {
		n.ids[text], n.texts[id] = id, text
	}
}

// stream is the name of a stream's number.
func (n *names) stream(c *sqlink.Conn, id int64) (event.StreamID, error) {
	n.namedMu.Lock()
	s, ok := n.named.Get(id)
	n.namedMu.Unlock()
	if ok {
		return s, nil
	}
	err := c.Query("SELECT kind, name FROM stream WHERE id = ?", func(r sqlink.Row) error {
		s = event.StreamID{Kind: r.Text(0), ID: r.Text(1)}
		return nil
	}, id)
	if err != nil {
		return s, err
	}
	if s.IsZero() {
		return s, event.Errorf(event.ErrCorrupt, "read event: stream %d is missing", id)
	}
	n.namedMu.Lock()
	defer n.namedMu.Unlock()
	n.named.Add(id, s)
	return s, nil
}

// streamRow reads a stream's row; id 0: there is none.
func streamRow(c *sqlink.Conn, s event.StreamID) (streamEntry, error) {
	entry := streamEntry{state: storage.StreamState{Stream: s}}
	const text = "SELECT id, closed, truncated, pruned FROM stream WHERE kind = ? AND name = ?"
	err := c.Query(text, func(r sqlink.Row) error {
		entry.id = r.Int64(0)
		entry.state.Closed = r.Int64(1) != 0
		entry.state.Truncated, entry.state.Pruned = event.Version(r.Int64(2)), event.Version(r.Int64(3))
		return nil
	}, s.Kind, s.ID)
	if err != nil {
		return entry, fmt.Errorf("find stream %s: %w", s, err)
	}
	return entry, nil
}
