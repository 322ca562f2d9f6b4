package tape

import (
	"encoding/binary"
	"slices"
)

// AppendCanonical writes a value so that what JSON Schema takes for equal, and only that, is written alike: numbers by
// what they are, texts without escapes, members by name. It is no JSON: parts have their length in front.
func (t *Tape) AppendCanonical(to []byte, i uint32) []byte {
	e := &t.Entries[i]
	to = append(to, e.Kind)
	switch e.Kind {
	case '"':
		return appendPart(to, t.Text(i))
	case '0':
		at := len(to)
		to = Number(t.Raw(i)).AppendCanonical(append(to, 0, 0, 0, 0))
		binary.BigEndian.PutUint32(to[at:], uint32(len(to)-at-4))
	case '[':
		for j := i + 1; j < e.Next; j = t.Entries[j].Next {
			to = t.AppendCanonical(to, j)
		}
		to = append(to, ']')
	case '{':
		return append(t.appendMembers(to, i), '}')
	}
	return to
}

func (t *Tape) appendMembers(to []byte, object uint32) []byte {
	type named struct {
		name  string
		value uint32
	}
	var members []named
	for j, end := object+1, t.Entries[object].Next; j < end; j = t.Entries[j].Next {
		members = append(members, named{string(t.Text(j)), j + 1})
	}
	slices.SortFunc(members, func(a, b named) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	for _, m := range members {
		to = t.AppendCanonical(appendPart(to, []byte(m.name)), m.value)
	}
	return to
}

func appendPart(to, part []byte) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(part))), part...)
}
