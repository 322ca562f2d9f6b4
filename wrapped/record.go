package wrapped

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// Reference is by what callers know a person: the kind of entity and its name there, normalised by the policy.
type Reference struct{ Kind, Ref string }

// Keyring is a person's keyring in clear. Names in it have numbers in a Directory.
type Keyring struct {
	KRID       event.KRID
	Version    uint64 // of what is stored; 0: nothing is
	Epoch      uint32 // whose keys wrap what is stored
	Born       uint32 // epoch in which it was minted
	References []Reference
	Groups     []Group
	Standing   *policy.Standing // nil: empty
	Register   *Register        // only in the store's own keyring
}

// Ending is what a tombstone says.
type Ending struct {
	Through uint32 // last generation that was erased
	At      int64  // µs since 1970 UTC
	Receipt string
}

// Group is the keys of one group of data.
type Group struct {
	Name        string
	Number      uint32 // of the name
	Erased      Ending // through 0: never
	Generations []Generation
}

// Generation is one key of a group. Those of a group follow each other without a gap, from the first after what was
// erased, so their numbers need not be stored.
type Generation struct {
	Epoch  uint32 // in which it began; 0: it was rolled away, and has no key
	Key    [32]byte
	prk    [32]byte // of the period it was asked for last
	salted uint64   // serial of that period; 0: none
}

// Extract is the key for a period. Under the serial of the period it is remembered.
func (g *Generation) Extract(salt *[32]byte, serial uint64) [32]byte {
	if serial == 0 {
		return Extract(salt, &g.Key)
	}
	if g.salted != serial {
		g.prk, g.salted = Extract(salt, &g.Key), serial
	}
	return g.prk
}

// Register is what the store's own keyring holds beside keys: names that records refer to by number, and which
// retention keys there may be.
type Register struct {
	Names      []string // by number, from 1
	Retentions []storage.RetentionID
}

// errName says that a record refers to a name which is not known here (yet); errForm that it is not one.
var (
	errName = errors.New("unknown name")
	errForm = errors.New("malformed record")
)

// Wipe overwrites the keys.
func (r *Keyring) Wipe() {
	for i := range r.Groups {
		clear(r.Groups[i].Generations)
	}
	r.Groups, r.References, r.Standing = nil, nil, nil
}

// Clone is a copy that may be changed. The standing is shared: who changes it replaces it.
func (r *Keyring) Clone() Keyring {
	c := *r
	c.References, c.Groups = slices.Clone(r.References), slices.Clone(r.Groups)
	for i := range c.Groups {
		c.Groups[i].Generations = slices.Clone(c.Groups[i].Generations)
	}
	if r.Register != nil {
		c.Register = &Register{Names: slices.Clone(r.Register.Names), Retentions: slices.Clone(r.Register.Retentions)}
	}
	return c
}

// Group is the group with a name; nil: there is none.
func (r *Keyring) Group(name string) *Group {
	for i := range r.Groups {
		if r.Groups[i].Name == name {
			return &r.Groups[i]
		}
	}
	return nil
}

// Newest is the number of the newest generation; 0: there was none yet.
func (g *Group) Newest() uint32 { return g.Erased.Through + uint32(len(g.Generations)) }

// Last is the newest generation of those that are not erased, of which there must be one.
func (g *Group) Last() *Generation { return &g.Generations[len(g.Generations)-1] }

// Of returns a generation of those that are not erased; nil: there is none with this number.
func (g *Group) Of(number uint32) *Generation {
	if number <= g.Erased.Through || number > g.Newest() {
		return nil
	}
	return &g.Generations[number-g.Erased.Through-1]
}

// plain tells whether a group has the short form.
func (g *Group) plain(born uint32) bool {
	return g.Erased.Through == 0 && len(g.Generations) == 1 && g.Generations[0].Epoch == born
}

// Encode is the plaintext of a live record. It sorts the groups.
func (r *Keyring) Encode(dir *Directory) ([]byte, error) {
	standing, err := encodeStanding(r.Standing)
	if err != nil {
		return nil, err
	}
	if !r.named(dir) {
		return nil, errName
	}
	slices.SortFunc(r.Groups, func(a, b Group) int { return cmp.Compare(a.Number, b.Number) })
	b := make([]byte, 0, r.room()+len(standing)) // never grown: that would leave keys behind
	if r.Register != nil {
		b = r.Register.appendTo(b, dir)
	}
	b = binary.AppendUvarint(b, uint64(r.Born))
	b = binary.AppendUvarint(b, uint64(len(r.References)))
	for _, ref := range r.References {
		b = binary.AppendUvarint(b, uint64(dir.Numbers[ref.Kind]))
		b = appendText(b, ref.Ref)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Groups)))
	for i := range r.Groups {
		b = r.Groups[i].appendTo(b, r.Born)
	}
	return append(binary.AppendUvarint(b, uint64(len(standing))), standing...), nil
}

// named tells whether everything has its number; 0 would be read as damage.
func (r *Keyring) named(dir *Directory) bool {
	for i := range r.References {
		if dir.Numbers[r.References[i].Kind] == 0 {
			return false
		}
	}
	for i := range r.Groups {
		if r.Groups[i].Number == 0 {
			return false
		}
	}
	return r.Register == nil || !dir.Lacks(nil, r.Register.Retentions)
}

// room is at least what encode writes, without the standing.
func (r *Keyring) room() int {
	n := 32
	for i := range r.References {
		n += 16 + len(r.References[i].Ref)
	}
	for i := range r.Groups {
		n += 48 + len(r.Groups[i].Erased.Receipt) + 40*len(r.Groups[i].Generations)
	}
	if r.Register != nil {
		for _, name := range r.Register.Names {
			n += 8 + len(name)
		}
		n += 16 + 16*len(r.Register.Retentions)
	}
	return n
}

func encodeStanding(s *policy.Standing) ([]byte, error) {
	if s.Empty() {
		return nil, nil
	}
	return s.MarshalBinary()
}

func (g *Group) appendTo(b []byte, born uint32) []byte {
	if g.plain(born) {
		b = binary.AppendUvarint(b, uint64(g.Number)<<1)
		return append(b, g.Generations[0].Key[:]...)
	}
	b = binary.AppendUvarint(b, uint64(g.Number)<<1|1)
	b = binary.AppendUvarint(b, uint64(g.Erased.Through))
	if g.Erased.Through > 0 {
		b = g.Erased.appendTo(b)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Generations)))
	for i := range g.Generations {
		b = binary.AppendUvarint(b, uint64(g.Generations[i].Epoch))
		if g.Generations[i].Epoch > 0 {
			b = append(b, g.Generations[i].Key[:]...)
		}
	}
	return b
}

// appendTo writes when and by which receipt.
func (e *Ending) appendTo(b []byte) []byte {
	return appendText(binary.BigEndian.AppendUint64(b, uint64(e.At)), e.Receipt)
}

func (g *Register) appendTo(b []byte, dir *Directory) []byte {
	b = binary.AppendUvarint(b, uint64(len(g.Names)))
	for _, name := range g.Names {
		b = appendText(b, name)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Retentions)))
	for _, id := range g.Retentions {
		b = binary.AppendUvarint(b, uint64(dir.Numbers[id.Class]))
		b = binary.BigEndian.AppendUint64(b, uint64(id.Bucket))
	}
	return b
}

// Encode is the plaintext of a tombstone.
func (e *Ending) Encode() []byte {
	return e.appendTo(binary.AppendUvarint(nil, uint64(e.Through)))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Decode reads the plaintext of a live record into r, which holds no more than KRID, version and epoch. own says that
// it is the store's, which brings its names along. With known false it failed for a name that dir does not have.
func (r *Keyring) Decode(plain []byte, dir *Directory, own bool) (known bool, err error) {
	d := decoder{b: plain}
	if own {
		r.Register = &Register{}
		for n := d.count(1); n > 0; n-- {
			r.Register.Names = append(r.Register.Names, d.text())
		}
		dir = NewDirectory(0, r.Register)
		for n := d.count(9); n > 0; n-- {
			class := dir.name(&d)
			r.Register.Retentions = append(r.Register.Retentions, storage.RetentionID{Class: class, Bucket: d.int64()})
		}
	}
	r.Born = d.uint32()
	for n := d.count(2); n > 0; n-- {
		kind := dir.name(&d)
		r.References = append(r.References, Reference{Kind: kind, Ref: d.text()})
	}
	last := uint32(0)
	for n := d.count(3); n > 0 && d.err == nil; n-- {
		g := d.group(dir, r.Born)
		if g.Number <= last {
			d.fail(errForm)
		}
		last = g.Number
		r.Groups = append(r.Groups, g)
	}
	if b := d.take(d.uvarint()); len(b) > 0 && d.err == nil {
		r.Standing = new(policy.Standing)
		d.fail(r.Standing.UnmarshalBinary(b))
	}
	if len(d.b) > 0 {
		d.fail(errForm)
	}
	return d.err != errName, d.fault("keyring " + r.KRID.String())
}
