package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/lethe-es/lethe/event"
)

// idLabel separates these HMACs from every other use of the key; docs/format/import-id.md specifies the ids.
const idLabel = "lethe/import/1"

// The forms of an HMAC input.
const (
	formSource = iota // what all ids of a source begin with
	formNumber        // a record known by its number
	formKey           // a record known by its key columns
)

// naming makes the ids of imported events: the same source, record and event give the same id, in every run.
type naming struct {
	mac    hash.Hash
	source string
	prefix [2]byte
	in     []byte
	sum    []byte
}

func newNaming(key [32]byte, source string) *naming {
	n := &naming{mac: hmac.New(sha256.New, key[:]), source: source}
	n.begin(formSource)
	copy(n.prefix[:], n.digest())
	return n
}

// byNumber is the id of event number index of a record without key columns. Ids ascend with the records, so an
// import touches the store's index of ids at one place only.
func (n *naming) byNumber(record int64, index int) event.ID {
	n.begin(formNumber)
	n.in = binary.BigEndian.AppendUint64(n.in, uint64(record))
	n.in = binary.BigEndian.AppendUint32(n.in, uint32(index))
	var id event.ID
	copy(id[:2], n.prefix[:])
	binary.BigEndian.PutUint32(id[2:6], uint32(record))
	copy(id[6:], n.digest())
	return version8(id)
}

// byKey is the id of event number index of a record with key columns.
func (n *naming) byKey(columns [][]byte, index int) event.ID {
	n.begin(formKey)
	n.in = binary.BigEndian.AppendUint32(n.in, uint32(len(columns)))
	for _, c := range columns {
		n.in = appendPart(n.in, c)
	}
	n.in = binary.BigEndian.AppendUint32(n.in, uint32(index))
	var id event.ID
	copy(id[:2], n.prefix[:])
	copy(id[2:], n.digest())
	return version8(id)
}

func (n *naming) begin(form byte) {
	n.in = appendPart(appendPart(n.in[:0], idLabel), n.source)
	n.in = append(n.in, form)
}

func (n *naming) digest() []byte {
	n.mac.Reset()
	n.mac.Write(n.in)
	n.sum = n.mac.Sum(n.sum[:0])
	return n.sum
}

func appendPart[T string | []byte](b []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}

func version8(id event.ID) event.ID {
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
