package privacy

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// SealBox seals content into box as the road does, and returns the commitment it got.
func SealBox(box *sealed.Box, place *sealed.Place, c *sealed.Content, keys [][32]byte, rand io.Reader) error {
	w := new(bench)
	box.Commitment = w.commit(c)
	return w.seal(box, place, c, keys, rand)
}

// OpenBox opens a box as the road does.
func OpenBox(box *sealed.Box, place *sealed.Place, owner int, key [32]byte) (*sealed.Content, error) {
	return new(bench).open(box, place, owner, &key)
}

// Paths opens every box of a record and lists what lies in it, as "group path state".
func (p *Privacy) Paths(ctx context.Context, record *storage.Record) (list []string, err error) {
	e, err := record.Event()
	if err != nil {
		return nil, err
	}
	boxes, err := sealed.Parse(record.Boxes)
	if err != nil {
		return nil, err
	}
	place := sealed.Place{Context: sealed.InEvent, Store: p.store, ID: e.ID, Type: e.Type, Schema: e.Schema}
	for i := range boxes {
		b := &boxes[i]
		var key [1]keyring.Opened
		want := keyring.OpenWant{Generation: b.Owners[0].Generation, Want: keyring.Want{KRID: b.Owners[0].KRID,
			Group: b.Group, Class: b.Class, Bucket: b.Bucket}}
		if err := p.keeper.ForOpening(ctx, []keyring.OpenWant{want}, key[:]); err != nil {
			return nil, err
		}
		c, err := new(bench).open(b, &place, 0, &key[0].PRK)
		if err != nil {
			return nil, err
		}
		for _, s := range c.Slots {
			list = append(list, fmt.Sprint(b.Group, " ", s.Path, " ", s.State))
		}
	}
	return list, nil
}

// LeftBehind seals a box of each content on one bench, with so many owners' keys as there are contents so far, and
// counts the bytes in memory it grew out of that are not zero.
func LeftBehind(box sealed.Box, place *sealed.Place, contents []sealed.Content, rand io.Reader) (n int, err error) {
	w := new(bench)
	keys := make([]keyring.Key, len(contents))
	for i := range keys {
		keys[i].PRK = prk{0: 1, 31: 1}
	}
	for i := range contents {
		plain, prks := w.plain[:cap(w.plain)], w.prks[:cap(w.prks)]
		if err := w.seal(&box, place, &contents[i], w.owners(keys[:i+1]), rand); err != nil {
			return 0, err
		}
		if len(plain) < cap(w.plain) {
			n += len(plain) - bytes.Count(plain, []byte{0})
		}
		if len(prks) < cap(w.prks) {
			for j := range prks {
				n += len(prks[j]) - bytes.Count(prks[j][:], []byte{0})
			}
		}
	}
	return n, nil
}
