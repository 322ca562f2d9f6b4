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
// slot, then path. docs/format/commitment.md says what each value is.
func openSlots(slots []ledger.Slot, s event.StreamID, d *event.Draft) ([]ledger.Slot, error) {
	add := func(kind ledger.SlotKind, path string, value []byte) {
		slots = append(slots, ledger.Slot{Kind: kind, Path: path, State: ledger.Value, Value: value})
	}
	add(ledger.KindStream, "", []byte(s.String()))
	first := len(slots)
	for i, r := range d.Relations {
		add(ledger.KindRelation, relationPath(d.Relations, i), []byte(r.Kind+"/"+r.ID))
	}
	sortByPath(slots[first:])
	for _, k := range d.MetadataKeys() {
		add(ledger.KindMetadata, k, []byte(d.Metadata[k]))
	}
	first = len(slots)
	err := event.Properties(d.Data, func(name string, value []byte) {
		if string(value) == "null" {
			slots = append(slots, ledger.Slot{Kind: ledger.KindProperty, Path: name, State: ledger.Null})
			return
		}
		add(ledger.KindProperty, name, value)
	})
	if err != nil {
		return nil, err
	}
	sortByPath(slots[first:])
	if !d.OccurredAt.IsZero() {
		add(ledger.KindOccurred, "", binary.BigEndian.AppendUint64(nil, uint64(event.Micros(d.OccurredAt))))
	}
	if d.Correlation != "" {
		add(ledger.KindCorrelation, "", []byte(d.Correlation))
	}
	if !d.Causation.IsZero() {
		add(ledger.KindCausation, "", d.Causation[:])
	}
	if d.Traceparent != "" {
		add(ledger.KindTraceparent, "", []byte(d.Traceparent))
	}
	if p := d.Producer; p != (event.Producer{}) {
		add(ledger.KindProducer, "", appendPart(appendPart(appendPart(nil, p.Name), p.Version), p.Commit))
	}
	return slots, nil
}

func sortByPath(slots []ledger.Slot) {
	slices.SortFunc(slots, func(a, b ledger.Slot) int { return strings.Compare(a.Path, b.Path) })
}

// relationPath is role/n, n counting the relations of one role in canonical order: a path of its own for each, so
// that no two share a salt and disclosing one says nothing about another.
func relationPath(relations []event.Relation, i int) string {
	n := 0
	for n < i && relations[i-n-1].Role == relations[i].Role {
		n++
	}
	return relations[i].Role + "/" + strconv.Itoa(n)
}
