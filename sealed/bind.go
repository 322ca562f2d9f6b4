package sealed

import (
	"encoding/binary"

	"github.com/lethe-es/lethe/event"
)

// Context says what kind of thing a box lies in. The numbers are on disk, for ever.
type Context uint8

// The contexts of boxes.
const (
	InEvent Context = 1
	InUse   Context = 2 // words of a reason in the record of a use
)

// Place is what a box lies in, and cannot be moved from: not to another store, event, type or schema.
type Place struct {
	Context Context
	Store   event.StoreID
	ID      event.ID
	Type    string
	Schema  event.SchemaID
}

const (
	boxLabel   = "lethe/box/1"
	jointLabel = "lethe/joint/1"
)

// AppendInfo appends the info from which an owner's key of the box is expanded (RFC 5869): from the owner's
// pseudorandom key of group, class and bucket.
func (x *Box) AppendInfo(b []byte, p *Place, owner int) []byte {
	label := boxLabel
	if x.Joint {
		label = jointLabel
	}
	o := &x.Owners[owner]
	b = append(b, label...)
	b = append(b, suiteAESGCM, byte(p.Context))
	b = append(b, p.Store[:]...)
	b = append(b, o.KRID[:]...)
	b = appendName(b, x.Group)
	b = binary.BigEndian.AppendUint32(b, o.Generation)
	b = appendName(b, x.Class)
	b = binary.BigEndian.AppendUint64(b, uint64(x.Bucket))
	return append(b, p.ID[:]...)
}

// AppendAAD appends what the ciphertext of the box is authenticated with: whose it is, what it lies in, and what it
// commits to. The generations of joint owners are not in it: each is bound by its own wrapped key, and one may be
// rolled without the others.
func (x *Box) AppendAAD(b []byte, p *Place) []byte {
	if x.Joint {
		b = append(b, jointLabel...)
		b = append(b, suiteAESGCM, byte(p.Context))
		b = append(b, p.Store[:]...)
		b = append(b, byte(len(x.Owners)))
		for i := range x.Owners {
			b = append(b, x.Owners[i].KRID[:]...)
		}
		b = appendName(b, x.Group)
		b = appendName(b, x.Class)
		b = binary.BigEndian.AppendUint64(b, uint64(x.Bucket))
		b = append(b, p.ID[:]...)
	} else {
		b = x.AppendInfo(b, p, 0)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Type)))
	b = append(b, p.Type...)
	b = append(b, p.Schema[:]...)
	b = appendName(b, x.Collection)
	return append(b, x.Commitment[:]...)
}
