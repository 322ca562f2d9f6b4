package starlark

import (
	"encoding/json"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
	star "go.starlark.net/starlark"
)

// names are all that a script sees beside None, True and False.
func names() star.StringDict {
	names := star.StringDict{}
	operators(names)
	for _, name := range []string{"all", "any", "enumerate", "list", "reversed", "tuple", "zip"} {
		native(names, name, (*meter).payElements)
	}
	for _, name := range []string{"max", "min", "sorted"} {
		native(names, name, (*meter).payOrder)
	}
	for _, name := range []string{"abs", "bool", "len", "range", "type"} {
		native(names, name, func(*meter, star.Tuple) error { return nil })
	}
	native(names, "int", (*meter).payDigits)
	values(names, "dict", 1, func(m *meter, v []star.Value) (star.Value, error) { return copyDict(m, v[0]) })
	values(names, "str", 1, func(m *meter, v []star.Value) (star.Value, error) { return text(m, v[0]) })
	values(names, "number", 1, func(m *meter, v []star.Value) (star.Value, error) { return literal(m, v[0]) })
	values(names, "fail", 1, func(*meter, []star.Value) (star.Value, error) { return nil, fault("the script fails") })
	values(names, attrName, 2, func(_ *meter, v []star.Value) (star.Value, error) { return method(v[0], v[1]) })
	return names
}

// native adds one of the interpreter's own functions, for which is paid first.
func native(names star.StringDict, name string, pay func(*meter, star.Tuple) error) {
	do := star.Universe[name]
	f := func(thread *star.Thread, _ *star.Builtin, args star.Tuple, kwargs []star.Tuple) (star.Value, error) {
		for _, named := range kwargs {
			if named[0] == star.String("key") {
				return nil, fault("there is no key; sort a list of what is to be compared")
			}
		}
		for _, v := range args {
			if _, ok := v.(personal); ok && name != "bool" && name != "type" {
				return nil, fault(untouchable)
			}
		}
		if err := pay(meterOf(thread), args); err != nil {
			return nil, err
		}
		return star.Call(thread, do, args, kwargs)
	}
	names[name] = star.NewBuiltin(name, f)
}

// payElements pays for a list of what the arguments give.
func (m *meter) payElements(args star.Tuple) error {
	for _, v := range args {
		if _, number := v.(star.Int); number {
			continue
		}
		n := star.Len(v)
		if n < 0 {
			return fault("it takes lists")
		}
		if err := m.payTimes(3*wordCost, n+1); err != nil {
			return err
		}
	}
	return nil
}

// payOrder pays for comparing the arguments, or what is in the only one, with each other.
func (m *meter) payOrder(args star.Tuple) error {
	if len(args) == 1 {
		list, ok := args[0].(star.Indexable)
		if !ok {
			return fault("it takes a list")
		}
		if err := m.payElements(args); err != nil {
			return err
		}
		args = make(star.Tuple, list.Len())
		for i := range args {
			args[i] = list.Index(i)
		}
	}
	times := 1 + bits.Len(uint(len(args)))
	for _, v := range args {
		switch v := v.(type) {
		case star.String:
			if err := m.payTimes(len(v)+wordCost, times); err != nil {
				return err
			}
		case star.Int:
			if err := m.payTimes(wordCost, times); err != nil {
				return err
			}
		default:
			return fault("it compares strings or whole numbers")
		}
	}
	return nil
}

func (m *meter) payDigits(args star.Tuple) error {
	for _, v := range args {
		switch v := v.(type) {
		case star.Int, star.Bool:
		case star.String:
			if len(v) > maxDigits {
				return fault(tooLong)
			}
		default:
			return fault("it is no whole number")
		}
	}
	return m.pay(maxDigits)
}

func copyDict(m *meter, v star.Value) (star.Value, error) {
	d, ok := v.(*star.Dict)
	if !ok {
		return nil, fault("it takes a dict")
	}
	out := star.NewDict(0)
	return out, update(m, out, d)
}

// text is str: of what has one way to be written.
func text(m *meter, v star.Value) (star.Value, error) {
	if err := m.read(v, 0); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case star.String:
		return v, nil
	case star.Int, star.Bool, star.NoneType:
		return star.String(v.String()), m.pay(maxDigits)
	}
	return nil, fault("str takes a string, a whole number, a bool or None")
}

// literal is number: what a number with a point is written as.
func literal(m *meter, v star.Value) (star.Value, error) {
	s, ok := v.(star.String)
	if !ok || len(s) > maxDigits {
		return nil, fault("number takes a short string")
	}
	if n := jsontext.Value(s); !n.IsValid() || n.Kind() != '0' || s[0] == ' ' {
		return nil, fault("this is no number")
	}
	return parseNumber(json.Number(s)), m.pay(maxDigits)
}
