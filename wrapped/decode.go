package wrapped

import (
	"encoding/binary"
	"errors"
	"math"
)

// decoder reads the plaintext of a record. After the first thing that is wrong everything reads as zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	if d.err != nil {
		d.b = nil
	}
}

// uvarint reads a number in its shortest form.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail(errForm)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.fail(errForm)
		return 0
	}
	return uint32(v)
}

// count reads how many things of at least size bytes follow.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail(errForm)
		return 0
	}
	return int(n)
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail(errForm)
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

func (d *decoder) int64() int64 {
	if b := d.take(8); len(b) == 8 {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) ending(through uint32) Ending {
	return Ending{Through: through, At: d.int64(), Receipt: d.text()}
}

func (d *decoder) group(dir *Directory, born uint32) (g Group) {
	head := d.uvarint()
	g.Number, g.Name = uint32(head>>1), dir.at(d, head>>1)
	if head&1 == 0 {
		g.Generations = []Generation{{Epoch: born}}
		copy(g.Generations[0].Key[:], d.take(32))
		return g
	}
	if g.Erased.Through = d.uint32(); g.Erased.Through > 0 {
		g.Erased = d.ending(g.Erased.Through)
	}
	count := d.count(1)
	g.Generations = make([]Generation, count)
	for i := range g.Generations {
		if g.Generations[i].Epoch = d.uint32(); g.Generations[i].Epoch > 0 {
			copy(g.Generations[i].Key[:], d.take(32))
		}
	}
	if g.Erased.Through == 0 && count == 0 || g.plain(born) || uint64(count)+uint64(g.Erased.Through) > math.MaxUint32 {
		d.fail(errForm)
	}
	return g
}

// DecodeTombstone reads the plaintext of a tombstone. what names it in errors.
func DecodeTombstone(plain []byte, what string) (*Ending, error) {
	d := decoder{b: plain}
	e := d.ending(d.uint32())
	if len(d.b) > 0 {
		d.fail(errForm)
	}
	if d.err != nil {
		return nil, d.fault(what)
	}
	return &e, nil
}

// fault is what was wrong, in the words of callers.
func (d *decoder) fault(what string) error {
	if errors.Is(d.err, errForm) || errors.Is(d.err, errName) {
		return Unreadable(what)
	}
	return d.err
}
