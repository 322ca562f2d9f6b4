package keyring

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// ring is a keyring in clear.
type ring struct {
	krid     event.KRID
	version  uint64 // of what is stored; 0: nothing is
	epoch    uint32 // whose keys wrap what is stored
	born     uint32 // epoch in which it was minted
	refs     []Reference
	told     int // how many of the references have their tokens
	groups   []group
	standing *policy.Standing // nil: empty
	own      *register        // only in the store's own keyring
	ended    *ending          // only in a tombstone, which has none of the above but KRID and version

	loaded     int64 // tick as of which this was stored
	used       bool  // since it was last about to leave the cache
	prev, next *ring // in the cache
}

// ending is what a tombstone says.
type ending struct {
	through uint32 // last generation that was erased
	at      int64  // µs since 1970 UTC
	receipt string
}

// group is the keys of one group of data.
type group struct {
	name   string
	number uint32 // of the name
	erased ending // through 0: never
	gens   []generation
}

// generation is one key of a group. Those of a group follow each other without a gap, from the first after what was
// erased, so their numbers need not be stored.
type generation struct {
	epoch  uint32 // in which it began; 0: it was rolled away, and has no key
	key    [32]byte
	prk    [32]byte // of the period it was asked for last
	salted uint64   // serial of that period; 0: none
}

// extract is the key for a period. Under the serial of the period it is remembered.
func (g *generation) extract(salt *[32]byte, serial uint64) [32]byte {
	if serial == 0 {
		return extract(salt, &g.key)
	}
	if g.salted != serial {
		g.prk, g.salted = extract(salt, &g.key), serial
	}
	return g.prk
}

// register is what the store's own keyring holds beside keys: names that records refer to by number, and which
// retention keys there may be.
type register struct {
	names      []string // by number, from 1
	retentions []storage.RetentionID
}

// Bounds of what a record holds.
const (
	maxKind       = 255
	maxReference  = 4096
	maxReferences = 1000
	maxReceipt    = 255
	maxName       = 255
)

// errName says that a record refers to a name which is not known here (yet); errForm that it is not one.
var (
	errName = errors.New("unknown name")
	errForm = errors.New("malformed record")
)

// wipe overwrites the keys.
func (r *ring) wipe() {
	for i := range r.groups {
		clear(r.groups[i].gens)
	}
	r.groups, r.refs, r.standing = nil, nil, nil
}

// clone is a copy that may be changed. The standing is shared: who changes it replaces it.
func (r *ring) clone() *ring {
	c := *r
	c.prev, c.next = nil, nil
	c.refs, c.groups = slices.Clone(r.refs), slices.Clone(r.groups)
	for i := range c.groups {
		c.groups[i].gens = slices.Clone(c.groups[i].gens)
	}
	if r.own != nil {
		c.own = &register{names: slices.Clone(r.own.names), retentions: slices.Clone(r.own.retentions)}
	}
	return &c
}

func (r *ring) group(name string) *group {
	for i := range r.groups {
		if r.groups[i].name == name {
			return &r.groups[i]
		}
	}
	return nil
}

// newest is the number of the newest generation; 0: there was none yet.
func (g *group) newest() uint32 { return g.erased.through + uint32(len(g.gens)) }

// last is the newest generation of those that are not erased, of which there must be one.
func (g *group) last() *generation { return &g.gens[len(g.gens)-1] }

// of returns a generation of those that are not erased; nil: there is none with this number.
func (g *group) of(number uint32) *generation {
	if number <= g.erased.through || number > g.newest() {
		return nil
	}
	return &g.gens[number-g.erased.through-1]
}

// plain tells whether a group has the short form.
func (g *group) plain(born uint32) bool {
	return g.erased.through == 0 && len(g.gens) == 1 && g.gens[0].epoch == born
}

// encode is the plaintext of a live record. It sorts the groups.
func (r *ring) encode(dir *directory) ([]byte, error) {
	standing, err := encodeStanding(r.standing)
	if err != nil {
		return nil, err
	}
	if !r.named(dir) {
		return nil, errName
	}
	slices.SortFunc(r.groups, func(a, b group) int { return cmp.Compare(a.number, b.number) })
	b := make([]byte, 0, r.room()+len(standing)) // never grown: that would leave keys behind
	if r.own != nil {
		b = r.own.appendTo(b, dir)
	}
	b = binary.AppendUvarint(b, uint64(r.born))
	b = binary.AppendUvarint(b, uint64(len(r.refs)))
	for _, ref := range r.refs {
		b = binary.AppendUvarint(b, uint64(dir.numbers[ref.Kind]))
		b = appendText(b, ref.Ref)
	}
	b = binary.AppendUvarint(b, uint64(len(r.groups)))
	for i := range r.groups {
		b = r.groups[i].appendTo(b, r.born)
	}
	return append(binary.AppendUvarint(b, uint64(len(standing))), standing...), nil
}

// named tells whether everything has its number; 0 would be read as damage.
func (r *ring) named(dir *directory) bool {
	for i := range r.refs {
		if dir.numbers[r.refs[i].Kind] == 0 {
			return false
		}
	}
	for i := range r.groups {
		if r.groups[i].number == 0 {
			return false
		}
	}
	return r.own == nil || !dir.lacks(nil, r.own.retentions)
}

// room is at least what encode writes, without the standing.
func (r *ring) room() int {
	n := 32
	for i := range r.refs {
		n += 16 + len(r.refs[i].Ref)
	}
	for i := range r.groups {
		n += 48 + len(r.groups[i].erased.receipt) + 40*len(r.groups[i].gens)
	}
	if r.own != nil {
		for _, name := range r.own.names {
			n += 8 + len(name)
		}
		n += 16 + 16*len(r.own.retentions)
	}
	return n
}

func encodeStanding(s *policy.Standing) ([]byte, error) {
	if s.Empty() {
		return nil, nil
	}
	return s.MarshalBinary()
}

func (g *group) appendTo(b []byte, born uint32) []byte {
	if g.plain(born) {
		b = binary.AppendUvarint(b, uint64(g.number)<<1)
		return append(b, g.gens[0].key[:]...)
	}
	b = binary.AppendUvarint(b, uint64(g.number)<<1|1)
	b = binary.AppendUvarint(b, uint64(g.erased.through))
	if g.erased.through > 0 {
		b = g.erased.appendTo(b)
	}
	b = binary.AppendUvarint(b, uint64(len(g.gens)))
	for i := range g.gens {
		b = binary.AppendUvarint(b, uint64(g.gens[i].epoch))
		if g.gens[i].epoch > 0 {
			b = append(b, g.gens[i].key[:]...)
		}
	}
	return b
}

// appendTo writes when and by which receipt.
func (e *ending) appendTo(b []byte) []byte {
	return appendText(binary.BigEndian.AppendUint64(b, uint64(e.at)), e.receipt)
}

func (g *register) appendTo(b []byte, dir *directory) []byte {
	b = binary.AppendUvarint(b, uint64(len(g.names)))
	for _, name := range g.names {
		b = appendText(b, name)
	}
	b = binary.AppendUvarint(b, uint64(len(g.retentions)))
	for _, id := range g.retentions {
		b = binary.AppendUvarint(b, uint64(dir.numbers[id.Class]))
		b = binary.BigEndian.AppendUint64(b, uint64(id.Bucket))
	}
	return b
}

// tombstone is the plaintext of a tombstone.
func (e *ending) tombstone() []byte {
	return e.appendTo(binary.AppendUvarint(nil, uint64(e.through)))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode reads the plaintext of a live record into r. own says that it is the store's, which brings its names along.
func (r *ring) decode(plain []byte, dir *directory, own bool) error {
	d := decoder{b: plain}
	if own {
		r.own = &register{}
		for n := d.count(1); n > 0; n-- {
			r.own.names = append(r.own.names, d.text())
		}
		dir = newDirectory(0, r.own)
		for n := d.count(9); n > 0; n-- {
			class := dir.name(&d)
			r.own.retentions = append(r.own.retentions, storage.RetentionID{Class: class, Bucket: d.int64()})
		}
	}
	r.born = d.uint32()
	for n := d.count(2); n > 0; n-- {
		kind := dir.name(&d)
		r.refs = append(r.refs, Reference{Kind: kind, Ref: d.text()})
	}
	r.told = len(r.refs)
	last := uint32(0)
	for n := d.count(3); n > 0 && d.err == nil; n-- {
		g := d.group(dir, r.born)
		if g.number <= last {
			d.fail(errForm)
		}
		last = g.number
		r.groups = append(r.groups, g)
	}
	if b := d.take(d.uvarint()); len(b) > 0 && d.err == nil {
		r.standing = new(policy.Standing)
		d.fail(r.standing.UnmarshalBinary(b))
	}
	if len(d.b) > 0 {
		d.fail(errForm)
	}
	return d.err
}
