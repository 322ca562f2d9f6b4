package keyring

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// cache holds the keyrings used most recently, and by which references they are known. Keys leave it only as copies
// made under the lock of their shard, so that what is evicted can be overwritten at once.
type cache struct {
	ttl     int64         // ticks
	forgets atomic.Uint64 // counts what may make a keyring stale that is being read
	shards  []shard
	seed    maphash.Seed
	names   []nameShard
}

// shard holds keyrings by KRID, and in a list from the newest, root.next, to the next to go.
type shard struct {
	mu    sync.Mutex
	rings map[event.KRID]*ring
	root  ring
	most  int
	quiet int64 // sealings until one begins a new generation
}

type nameShard struct {
	mu    sync.RWMutex
	krids map[Reference]event.KRID
}

const mostShards = 64 // a power of two

func newCache(most int, ttl int64) *cache {
	n := 1
	for n < mostShards && n*16 <= most {
		n *= 2
	}
	c := &cache{ttl: ttl, shards: make([]shard, n), names: make([]nameShard, n), seed: maphash.MakeSeed()}
	for i := range c.shards {
		s := &c.shards[i]
		s.rings, s.most = map[event.KRID]*ring{}, (most+n-1)/n
		s.root.prev, s.root.next = &s.root, &s.root
		c.names[i].krids = map[Reference]event.KRID{}
	}
	return c
}

// shard is where a person's keyring lies; KRIDs are random.
func (c *cache) shard(krid event.KRID) *shard { return &c.shards[int(krid[0])&(len(c.shards)-1)] }

func (c *cache) name(ref string) *nameShard {
	return &c.names[int(maphash.String(c.seed, ref))&(len(c.names)-1)]
}

// fresh tells whether what was loaded then may be used now.
func (c *cache) fresh(now, loaded int64) bool { return uint64(now-loaded) < uint64(c.ttl) }

// find returns a keyring that may be used now. It wants the lock of the shard, under which alone it may be used.
func (c *cache) find(s *shard, krid event.KRID, now int64) *ring {
	r := s.rings[krid]
	if r == nil || !c.fresh(now, r.loaded) {
		return nil
	}
	r.used = true // moving it to the front would touch its neighbours, too
	return r
}

func (s *shard) push(r *ring) {
	r.prev, r.next = &s.root, s.root.next
	r.prev.next, r.next.prev = r, r
}

// oldest is who has to go: of those at the end, the first that was not used since it was there last.
func (s *shard) oldest() *ring {
	for {
		r := s.root.prev
		if !r.used {
			return r
		}
		r.used = false
		r.prev.next, r.next.prev = r.next, r.prev
		s.push(r)
	}
}

// copied is a copy of a keyring that may be used now; nil: there is none.
func (c *cache) copied(krid event.KRID, now int64) *ring {
	s := c.shard(krid)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := c.find(s, krid, now); r != nil {
		return r.clone()
	}
	return nil
}

// put takes a keyring over, or overwrites it if it may be stale: if something was forgotten since as, or a newer one is
// there.
func (c *cache) put(r *ring, as uint64) {
	s := c.shard(r.KRID)
	s.mu.Lock()
	defer s.mu.Unlock()
	there := s.rings[r.KRID]
	if c.forgets.Load() != as || there != nil && there.Version > r.Version {
		r.Wipe()
		return
	}
	if there != nil {
		c.drop(s, there)
	}
	for len(s.rings) >= s.most {
		c.drop(s, s.oldest())
	}
	s.rings[r.KRID] = r
	s.push(r)
	for _, ref := range r.References {
		n := c.name(ref.Ref)
		n.mu.Lock()
		n.krids[ref] = r.KRID
		n.mu.Unlock()
	}
}

// drop overwrites a keyring and forgets by which references it is known. It wants the lock of the shard.
func (c *cache) drop(s *shard, r *ring) {
	delete(s.rings, r.KRID)
	r.prev.next, r.next.prev = r.next, r.prev
	for _, ref := range r.References {
		n := c.name(ref.Ref)
		n.mu.Lock()
		if n.krids[ref] == r.KRID {
			delete(n.krids, ref)
		}
		n.mu.Unlock()
	}
	r.Wipe()
}

// forget drops keyrings, and what is being read of them now will not be kept.
func (c *cache) forget(krids []event.KRID) {
	c.forgets.Add(1)
	for _, krid := range krids {
		s := c.shard(krid)
		s.mu.Lock()
		if r := s.rings[krid]; r != nil {
			c.drop(s, r)
		}
		s.mu.Unlock()
	}
}

// clear is forget for all.
func (c *cache) clear() {
	c.forgets.Add(1)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for s.root.next != &s.root {
			c.drop(s, s.root.next)
		}
		s.mu.Unlock()
	}
}

func (c *cache) count() (n int) {
	for i := range c.shards {
		c.shards[i].mu.Lock()
		n += len(c.shards[i].rings)
		c.shards[i].mu.Unlock()
	}
	return n
}

// who is the person with a reference, if the keyring is here and says so now.
func (c *cache) who(ref Reference, now int64) (event.KRID, bool) {
	n := c.name(ref.Ref)
	n.mu.RLock()
	krid, ok := n.krids[ref]
	n.mu.RUnlock()
	if !ok {
		return event.KRID{}, false
	}
	return krid, c.live(krid, now)
}

// periods holds retention keys, likewise.
type periods struct {
	mu     sync.Mutex
	ttl    int64
	keys   map[storage.RetentionID]*period
	serial uint64
}

// period is a retention key in clear, or what became of it.
type period struct {
	version uint64
	epoch   uint32
	key     [32]byte
	ended   *wrapped.Ending // destroyed
	loaded  int64
	serial  uint64 // of this key in memory, from 1; 0: it is not there
}

// mostPeriods bounds the retention keys in memory: periods of ten classes by day, for a year.
const mostPeriods = 4096

// copied copies the key of a period; serial 0: it is not known well enough.
func (p *periods) copied(id storage.RetentionID, now int64, key *[32]byte) (ended *wrapped.Ending, serial uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.keys[id]
	if r == nil || uint64(now-r.loaded) >= uint64(p.ttl) {
		return nil, 0
	}
	*key = r.key
	return r.ended, r.serial
}

// put keeps a copy, unless something was forgotten since as, or a newer one is there.
func (p *periods) put(id storage.RetentionID, r *period, c *cache, as uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := p.keys[id]
	if c.forgets.Load() != as || there != nil && there.version > r.version {
		return
	}
	if there == nil && len(p.keys) >= mostPeriods {
		for other, key := range p.keys { // any
			clear(key.key[:])
			delete(p.keys, other)
			break
		}
	}
	kept := *r
	if there != nil && there.key == r.key && (there.ended == nil) == (r.ended == nil) {
		kept.serial = there.serial
	} else {
		p.serial++
		kept.serial = p.serial
	}
	if there != nil {
		clear(there.key[:])
	}
	p.keys[id] = &kept
}

func (p *periods) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.keys {
		clear(r.key[:])
	}
	clear(p.keys)
}

// live tells whether a person's keyring is here, now, and no tombstone.
func (c *cache) live(krid event.KRID, now int64) bool {
	s := c.shard(krid)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := c.find(s, krid, now)
	return r != nil && r.ended == nil
}
