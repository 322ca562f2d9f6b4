package privacy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/sealed"
)

// sign digests the personal values of requests, so that a repeated append is recognised without keeping anything from
// which the values could be guessed: the key of the digest ends with its epoch. Of a request whose ids were minted here
// nothing is digested: who repeats it does not know them.
func (w *work) sign(ctx context.Context, requests []log.Request) error {
	items := w.items
	for i := range requests {
		s := requests[i].Sealing
		own := items[:len(s.Events)]
		items = items[len(s.Events):]
		switch {
		case !boxed(own):
			s.Events = nil
		case s.Minted:
			s.Digests = make([]log.Digest, 1)
		default:
			if err := w.digest(ctx, s, own); err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
	}
	return nil
}

// boxed tells whether an event has boxes.
func boxed(items []item) bool {
	for i := range items {
		if len(items[i].boxes) > 0 {
			return true
		}
	}
	return false
}

// sign appends what is digested of one event: for each box its owners, its group, and its slots.
func (it *item) sign(b []byte) []byte {
	// Not in the order of the leaf: that of two persons' boxes of one group is chance, and differs in a repetition.
	var room [8]*pending
	ordered := room[:0]
	for i := range it.boxes {
		ordered = append(ordered, &it.boxes[i])
	}
	slices.SortFunc(ordered, (*pending).compare)
	for _, x := range ordered {
		b = append(b, it.draft.ID[:]...)
		b = append(b, byte(len(x.box.Owners)))
		for j := range x.box.Owners {
			b = append(b, x.box.Owners[j].KRID[:]...)
		}
		b = append(append(b, byte(len(x.box.Group))), x.box.Group...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(x.content.Slots)))
		for j := range x.content.Slots {
			s := &x.content.Slots[j]
			b = append(b, s.Kind, s.State)
			b = binary.BigEndian.AppendUint16(b, uint16(len(s.Path)))
			b = append(b, s.Path...)
			b = binary.BigEndian.AppendUint32(b, uint32(len(s.Value)))
			b = append(b, s.Value...)
		}
	}
	return b
}

// compare orders the boxes of one event by what is in them, and not by chance.
func (p *pending) compare(o *pending) int {
	owners := slices.CompareFunc(p.box.Owners, o.box.Owners,
		func(a, b sealed.Owner) int { return bytes.Compare(a.KRID[:], b.KRID[:]) })
	return cmp.Or(strings.Compare(p.box.Group, o.box.Group), strings.Compare(p.box.Class, o.box.Class), owners,
		compareSlots(p.content.Slots[0], o.content.Slots[0]))
}

// digest makes the digests of a request's personal values: under the present epoch's key, and for a repetition under
// those of earlier epochs too.
func (w *work) digest(ctx context.Context, s *log.Sealing, own []item) error {
	keeper, err := w.ring()
	if err != nil {
		return err
	}
	w.bench.plain = w.bench.plain[:0]
	for i := range own {
		w.bench.plain = own[i].sign(w.bench.plain)
	}
	var room [4]keyring.Digest
	digests, err := keeper.RequestDigests(ctx, room[:0], w.bench.plain)
	if err != nil {
		return err
	}
	s.Digests = make([]log.Digest, len(digests))
	for i := range digests {
		s.Digests[i].Epoch = digests[i].Epoch
		copy(s.Digests[i].Sum[:], digests[i].Sum[:])
	}
	return nil
}
