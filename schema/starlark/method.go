package starlark

import (
	"strings"

	star "go.starlark.net/starlark"
)

// pay pays for a method before it is called.
type pay func(m *meter, self star.Value, args star.Tuple) error

// method is x.name. Methods that are not listed are not there.
func method(x, name star.Value) (star.Value, error) {
	called, _ := star.AsString(name)
	var cost pay
	switch x.(type) {
	case star.String:
		cost = stringMethod(called)
	case *star.List:
		cost = listMethod(called)
	case *star.Dict:
		cost = dictMethod(called)
	case personal:
		return nil, fault(untouchable)
	}
	if cost == nil {
		return nil, fault("there is no such method")
	}
	do, err := x.(star.HasAttrs).Attr(called)
	if err != nil || do == nil {
		return nil, fault("there is no such method")
	}
	f := func(thread *star.Thread, _ *star.Builtin, args star.Tuple, kwargs []star.Tuple) (star.Value, error) {
		if len(kwargs) > 0 {
			return nil, fault("name no arguments of a method")
		}
		if err := cost(meterOf(thread), x, args); err != nil {
			return nil, err
		}
		return star.Call(thread, do, args, nil)
	}
	return star.NewBuiltin("method", f), nil
}

func stringMethod(name string) pay {
	switch name {
	case "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace",
		"istitle", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex",
		"rpartition", "rstrip", "startswith", "strip", "title", "upper":
		return payScan
	case "split", "rsplit", "splitlines":
		return paySplit
	case "replace":
		return payReplace
	case "join":
		return payJoin
	}
	return nil
}

// payScan pays for a text of at most thrice the length, which upper and title can make.
func payScan(m *meter, self star.Value, args star.Tuple) error {
	if err := m.readAll(args, 0); err != nil {
		return err
	}
	return m.pay(wordCost + 3*len(self.(star.String)))
}

func paySplit(m *meter, self star.Value, args star.Tuple) error {
	if err := m.readAll(args, 0); err != nil {
		return err
	}
	return m.payTimes(3*wordCost, 1+len(self.(star.String)))
}

func payReplace(m *meter, self star.Value, args star.Tuple) error {
	if err := payScan(m, self, args); err != nil {
		return err
	}
	if len(args) < 2 {
		return nil
	}
	old, _ := star.AsString(args[0])
	with, _ := star.AsString(args[1])
	return m.payTimes(len(with), strings.Count(string(self.(star.String)), old))
}

func payJoin(m *meter, self star.Value, args star.Tuple) error {
	for _, v := range args {
		switch v.(type) {
		case *star.List, star.Tuple:
		default:
			return fault("join takes a list of strings")
		}
		if err := m.payTimes(len(self.(star.String)), star.Len(v)); err != nil {
			return err
		}
	}
	return m.readAll(args, 0)
}

func listMethod(name string) pay {
	switch name {
	case "append":
		return func(m *meter, _ star.Value, _ star.Tuple) error { return m.pay(2 * wordCost) }
	case "clear", "insert":
		return func(m *meter, self star.Value, _ star.Tuple) error { return m.pay(2*wordCost + weight(self)) }
	case "pop":
		return func(m *meter, self star.Value, args star.Tuple) error {
			return m.pay(wordCost + len(args)*weight(self))
		}
	case "extend":
		return func(m *meter, _ star.Value, args star.Tuple) error { return m.payElements(args) }
	case "index", "remove":
		return func(m *meter, self star.Value, args star.Tuple) error {
			if err := m.read(self, 0); err != nil {
				return err
			}
			return m.readAll(args, 0)
		}
	}
	return nil
}

func dictMethod(name string) pay {
	switch name {
	case "get", "pop", "setdefault":
		return func(m *meter, _ star.Value, args star.Tuple) error {
			if len(args) == 0 {
				return nil
			}
			if err := m.pay(entryCost); err != nil {
				return err
			}
			return m.read(args[0], 0)
		}
	case "clear", "items", "keys", "values":
		return func(m *meter, self star.Value, _ star.Tuple) error {
			return m.pay(wordCost + entryCost*self.(*star.Dict).Len())
		}
	case "update":
		return func(m *meter, _ star.Value, args star.Tuple) error {
			for _, v := range args {
				d, ok := v.(*star.Dict)
				if !ok {
					return fault("update takes a dict")
				}
				if err := m.payDict(d); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return nil
}
