package keyring

import (
	"encoding/binary"
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

func (d *decoder) ending(through uint32) ending {
	return ending{through: through, at: d.int64(), receipt: d.text()}
}

func (d *decoder) group(dir *directory, born uint32) (g group) {
	head := d.uvarint()
	g.number, g.name = uint32(head>>1), dir.at(d, head>>1)
	if head&1 == 0 {
		g.gens = []generation{{epoch: born}}
		copy(g.gens[0].key[:], d.take(32))
		return g
	}
	if g.erased.through = d.uint32(); g.erased.through > 0 {
		g.erased = d.ending(g.erased.through)
	}
	count := d.count(1)
	g.gens = make([]generation, count)
	for i := range g.gens {
		if g.gens[i].epoch = d.uint32(); g.gens[i].epoch > 0 {
			copy(g.gens[i].key[:], d.take(32))
		}
	}
	if g.erased.through == 0 && count == 0 || g.plain(born) || uint64(count)+uint64(g.erased.through) > math.MaxUint32 {
		d.fail(errForm)
	}
	return g
}

// decodeTombstone reads the plaintext of a tombstone.
func decodeTombstone(plain []byte) (*ending, error) {
	d := decoder{b: plain}
	e := d.ending(d.uint32())
	if len(d.b) > 0 {
		d.fail(errForm)
	}
	return &e, d.err
}
