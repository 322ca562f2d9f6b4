package starlark

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"

	star "go.starlark.net/starlark"

	"github.com/lethe-es/lethe/schema"
)

// personal is a value that a script may move or drop. It is always true, so that asking says nothing.
type personal struct{ token *schema.Token }

const untouchable = "a personal value can only be moved or dropped"

func (personal) String() string   { return "personal" }
func (personal) Type() string     { return "personal" }
func (personal) Freeze()          {}
func (personal) Truth() star.Bool { return true }
func (personal) Hash() (uint32, error) {
	return 0, fault(untouchable)
}

// number is a number that is not whole, as it is written.
type number struct{ literal json.Number }

func (number) String() string        { return "number" }
func (number) Type() string          { return "number" }
func (number) Freeze()               {}
func (number) Truth() star.Bool      { return true }
func (number) Hash() (uint32, error) { return 0, fault("a number that is not whole can only be moved") }

// maxDigits of a whole number that is computed with; longer ones are moved.
const maxDigits = 1_000

// parseNumber is an int where its literal can be made from it again.
func parseNumber(literal json.Number) star.Value {
	digits := strings.TrimPrefix(string(literal), "-")
	if len(digits) > maxDigits || literal == "-0" || strings.Trim(digits, "0123456789") != "" {
		return number{literal}
	}
	i, ok := new(big.Int).SetString(string(literal), 10)
	if !ok {
		return number{literal}
	}
	return star.MakeBigInt(i)
}

// fromGo is a document as a script sees it.
func (m *meter) fromGo(v any, depth int) (star.Value, error) {
	if err := m.pay(wordCost); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case bool:
		return star.Bool(v), nil
	case string:
		return star.String(v), m.pay(len(v))
	case json.Number:
		return parseNumber(v), m.pay(len(v))
	case *schema.Token:
		return personal{v}, nil
	case []any:
		list := make([]star.Value, len(v))
		for i := range v {
			var err error
			if list[i], err = m.fromGo(v[i], depth+1); err != nil {
				return nil, err
			}
		}
		return star.NewList(list), nil
	case map[string]any:
		return m.dictOf(v, depth)
	}
	return star.None, nil
}

func (m *meter) dictOf(object map[string]any, depth int) (star.Value, error) {
	if err := m.pay(dictCost + entryCost*len(object)); err != nil {
		return nil, err
	}
	d := star.NewDict(len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value, err := m.fromGo(object[name], depth+1)
		if err != nil {
			return nil, err
		}
		if err := m.pay(len(name)); err != nil {
			return nil, err
		}
		if err := d.SetKey(star.String(name), value); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// maxAnswerDepth is deeper than what package schema takes.
const maxAnswerDepth = 2_000

// toGo is what a script made, as a document. What is in it several times is paid for each time.
func (m *meter) toGo(v star.Value, depth int) (any, error) {
	if depth > maxAnswerDepth {
		return nil, fault("the data it returns is too deep")
	}
	if err := m.pay(wordCost); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case star.NoneType:
		return nil, nil
	case star.Bool:
		return bool(v), nil
	case star.String:
		return string(v), m.pay(len(v))
	case star.Int:
		return json.Number(v.String()), nil
	case number:
		return v.literal, nil
	case personal:
		return v.token, nil
	case star.Tuple:
		return m.listOf(v, depth)
	case *star.List:
		return m.listOf(v, depth)
	case *star.Dict:
		return m.objectOf(v, depth)
	}
	return nil, fault("it returns what is no data")
}

func (m *meter) listOf(v star.Indexable, depth int) (any, error) {
	list := make([]any, v.Len())
	for i := range list {
		var err error
		if list[i], err = m.toGo(v.Index(i), depth+1); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (m *meter) objectOf(d *star.Dict, depth int) (any, error) {
	if err := m.pay(entryCost * d.Len()); err != nil {
		return nil, err
	}
	object := make(map[string]any, d.Len())
	for key, value := range d.Entries() {
		name, ok := key.(star.String)
		if !ok {
			return nil, fault("a name in the data it returns is no string")
		}
		var err error
		if object[string(name)], err = m.toGo(value, depth+1); err != nil {
			return nil, err
		}
	}
	return object, nil
}
