package token

import (
	"maps"
	"slices"
	"sync"
)

// watches tells who is at work with a token that it was revoked. A token takes room here as long as somebody watches
// it, and for good once it was revoked through this keeper: the store keeps those tokens too.
type watches struct {
	mu    sync.Mutex
	open  map[string]*watch
	ended map[string]struct{}
	past  chan struct{} // closed: for who comes after the revocation
}

// watch is shared by all who watch one token.
type watch struct {
	done     chan struct{}
	watching int
}

func newWatches() *watches {
	w := &watches{open: make(map[string]*watch), ended: make(map[string]struct{}), past: make(chan struct{})}
	close(w.past)
	return w
}

func (w *watches) add(id string) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ended := w.ended[id]; ended {
		return w.past, func() {}
	}
	x := w.open[id]
	if x == nil {
		x = &watch{done: make(chan struct{})}
		w.open[id] = x
	}
	x.watching++
	return x.done, sync.OnceFunc(func() { w.release(id, x) })
}

func (w *watches) release(id string, x *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x.watching--
	if x.watching == 0 && w.open[id] == x {
		delete(w.open, id)
	}
}

// watched are the tokens somebody watches.
func (w *watches) watched() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.open))
}

func (w *watches) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[id] = struct{}{}
	if x := w.open[id]; x != nil {
		close(x.done)
		delete(w.open, id)
	}
}
