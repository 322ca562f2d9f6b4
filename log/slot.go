package log

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
)

// openSlots lists what the open commitment of an event holds, but for its version, in canonical order: by kind of
// slot, then path. docs/format/commitment.md says what each value is. The slots are good until the next call.
func (s *scratch) openSlots(stream event.StreamID, d *event.Draft) ([]ledger.Slot, error) {
	s.slots, s.values = s.slots[:0], s.values[:0]
	s.add(ledger.KindStream, "", stream.Kind, "/", stream.ID)
	first := len(s.slots)
	for i, r := range d.Relations {
		s.add(ledger.KindRelation, relationPath(d.Relations, i), r.Kind, "/", r.ID)
	}
	sortByPath(s.slots[first:])
	for _, k := range d.MetadataKeys() {
		s.add(ledger.KindMetadata, k, d.Metadata[k])
	}
	if d.Format != event.JSON {
		s.addRest(d)
		s.slots = append(s.slots, ledger.Slot{Kind: ledger.KindData, State: ledger.Value, Value: d.Data})
		return s.slots, nil
	}
	first = len(s.slots)
	err := event.Properties(d.Data, func(name string, value []byte) {
		slot := ledger.Slot{Kind: ledger.KindProperty, Path: name, State: ledger.Value, Value: value}
		if string(value) == "null" {
			slot.State, slot.Value = ledger.Null, nil
		}
		s.slots = append(s.slots, slot)
	})
	if err != nil {
		return nil, err
	}
	sortByPath(s.slots[first:])
	s.addRest(d)
	return s.slots, nil
}

// addRest adds the slots of which an event has at most one, where it has them.
func (s *scratch) addRest(d *event.Draft) {
	if !d.OccurredAt.IsZero() {
		var micros [8]byte
		binary.BigEndian.PutUint64(micros[:], uint64(event.Micros(d.OccurredAt)))
		s.add(ledger.KindOccurred, "", string(micros[:]))
	}
	if d.Correlation != "" {
		s.add(ledger.KindCorrelation, "", d.Correlation)
	}
	if !d.Causation.IsZero() {
		s.add(ledger.KindCausation, "", string(d.Causation[:]))
	}
	if d.Traceparent != "" {
		s.add(ledger.KindTraceparent, "", d.Traceparent)
	}
	if p := d.Producer; p != (event.Producer{}) {
		parts := appendPart(appendPart(appendPart(nil, p.Name), p.Version), p.Commit)
		s.add(ledger.KindProducer, "", string(parts))
	}
}

// add adds a slot whose value is the parts joined.
func (s *scratch) add(kind ledger.SlotKind, path string, parts ...string) {
	start := len(s.values)
	for _, part := range parts {
		s.values = append(s.values, part...)
	}
	s.slots = append(s.slots,
		ledger.Slot{Kind: kind, Path: path, State: ledger.Value, Value: s.values[start:len(s.values):len(s.values)]})
}

func sortByPath(slots []ledger.Slot) {
	for i := 1; i < len(slots); i++ {
		if slots[i-1].Path > slots[i].Path {
			slices.SortFunc(slots, func(a, b ledger.Slot) int { return strings.Compare(a.Path, b.Path) })
			return
		}
	}
}

// relationPath is role/n, n counting the relations of one role in canonical order: a path of its own for each, so
// that no two share a salt and disclosing one says nothing about another.
func relationPath(relations []event.Relation, i int) string {
	n := 0
	for n < i && relations[i-n-1].Role == relations[i].Role {
		n++
	}
	if n == 0 {
		return relations[i].Role + "/0"
	}
	return relations[i].Role + "/" + strconv.Itoa(n)
}
