package protoschema

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
)

// Fill puts values back into what Cut returned. What it returns is the canonical form of what was cut, with KRIDs for
// references; values that are not given stay away. A value that is not one of its field, or has no place, is
// event.ErrCorrupt.
func (p *Plan) Fill(data []byte, values []schema.Filling) ([]byte, error) {
	m, err := read(p.root, data)
	if err != nil {
		return nil, err
	}
	added := map[*message][]part{}
	for _, v := range values {
		if v.State != ledger.Value {
			continue
		}
		at, f := m.place(v.Path)
		if f == nil || f.role != sealed {
			return nil, event.Errorf(event.ErrCorrupt, "fill in %s: the data has no such place", clip(v.Path)).
				Hint("fill what Cut returned under the same schema")
		}
		var o opener
		found, ok := o.part(f, v.Bytes)
		if !ok || !found.there() {
			return nil, damaged(v.Path)
		}
		added[at] = append(added[at], found)
	}
	for at, parts := range added {
		at.parts = append(at.parts, parts...)
		slices.SortStableFunc(at.parts, func(x, y part) int { return int(x.f.num) - int(y.f.num) })
		if !at.single() {
			return nil, event.Errorf(event.ErrCorrupt, "fill in: a value of message %s is there already",
				at.node.desc.FullName())
		}
	}
	return m.canonical(), nil
}

// single says that no field, and no oneof, is there twice.
func (m *message) single() bool {
	for i := 1; i < len(m.parts); i++ {
		if m.parts[i].f == m.parts[i-1].f {
			return false
		}
	}
	var r reader
	return r.checkOneofs(m) == nil
}

// place follows a path to the message that holds, or would hold, its field; a nil field: it leads nowhere.
func (m *message) place(path string) (*message, *field) {
	for {
		num, rest, ok := step(path)
		if !ok {
			return nil, nil
		}
		f := m.node.field(protowire.Number(num))
		if f == nil || rest == "" {
			return m, f
		}
		found := m.find(f.num)
		if found == nil {
			return nil, nil
		}
		m = found.value.msg
		if found.list != nil {
			var index int
			if index, rest, ok = step(rest); !ok || index >= len(found.list.msgs) {
				return nil, nil
			}
			m = found.list.msgs[index]
		}
		if m == nil {
			return nil, nil
		}
		path = rest
	}
}

// step takes the first number off a path.
func step(path string) (n int, rest string, ok bool) {
	if path == "" || path[0] != '/' {
		return 0, "", false
	}
	text, rest, _ := strings.Cut(path[1:], "/")
	n, err := strconv.Atoi(text)
	if rest = path[1+len(text):]; err != nil || n < 0 || strconv.Itoa(n) != text {
		return 0, "", false
	}
	return n, rest, true
}
