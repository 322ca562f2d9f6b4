package starlark

import (
	star "go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

const (
	tooLong  = "a whole number is too long"
	noSuchOp = "the operator does not take these values"
)

// operators adds what expressions are rewritten to.
func operators(names star.StringDict) {
	for _, op := range []syntax.Token{syntax.EQL, syntax.NEQ, syntax.LT, syntax.GT, syntax.LE, syntax.GE} {
		values(names, "*"+op.String(), 2, func(m *meter, v []star.Value) (star.Value, error) {
			if err := m.readAll(v, 0); err != nil {
				return nil, err
			}
			yes, err := star.Compare(op, v[0], v[1])
			return star.Bool(yes), err
		})
	}
	for _, op := range []syntax.Token{syntax.IN, syntax.NOT_IN} {
		values(names, "*"+op.String(), 2, func(m *meter, v []star.Value) (star.Value, error) {
			return contains(m, op, v[0], v[1])
		})
	}
	for op := syntax.PLUS; op <= syntax.GTGT; op++ {
		values(names, "*"+op.String(), 2, func(m *meter, v []star.Value) (star.Value, error) {
			return operate(m, op, v[0], v[1])
		})
		values(names, "*"+op.String()+inPlace, 2, func(m *meter, v []star.Value) (star.Value, error) {
			if done, err := extend(m, op, v[0], v[1]); done || err != nil {
				return v[0], err
			}
			return operate(m, op, v[0], v[1])
		})
	}
	values(names, indexName, 2, func(m *meter, v []star.Value) (star.Value, error) { return index(m, v[0], v[1]) })
	values(names, putName, 3, func(m *meter, v []star.Value) (star.Value, error) {
		return star.None, put(m, v[0], v[1], v[2])
	})
	values(names, sliceName, 3, slice)
	values(names, keyName, 1, func(m *meter, v []star.Value) (star.Value, error) { return v[0], m.read(v[0], 0) })
	values(names, dictName, 1, func(m *meter, v []star.Value) (star.Value, error) {
		return v[0], m.pay(dictCost + entryCost*v[0].(*star.Dict).Len())
	})
}

// values adds a function of n values without names.
func values(names star.StringDict, name string, n int, do func(*meter, []star.Value) (star.Value, error)) {
	f := func(thread *star.Thread, _ *star.Builtin, args star.Tuple, kwargs []star.Tuple) (star.Value, error) {
		if len(args) != n || len(kwargs) > 0 {
			return nil, fault("it is called with too few or too many values")
		}
		return do(meterOf(thread), args)
	}
	names[name] = star.NewBuiltin(name, f)
}

// contains looks for x among the names of a dict, among the values of a list, or in a string.
func contains(m *meter, op syntax.Token, x, y star.Value) (star.Value, error) {
	if err := m.read(x, 0); err != nil {
		return nil, err
	}
	if _, dict := y.(*star.Dict); !dict {
		if err := m.read(y, 0); err != nil {
			return nil, err
		}
	}
	return star.Binary(op, x, y)
}

// operate computes with whole numbers, and joins strings, lists, tuples and dicts.
func operate(m *meter, op syntax.Token, x, y star.Value) (star.Value, error) {
	if a, ok := x.(star.Int); ok {
		if b, ok := y.(star.Int); ok {
			return compute(op, a, b)
		}
		x, y = y, x // a number before what it repeats
		if op != syntax.STAR {
			return nil, fault(noSuchOp)
		}
	}
	var err error
	switch a := x.(type) {
	case star.String, *star.List, star.Tuple:
		size := weight(a)
		if times, ok := y.(star.Int); ok && op == syntax.STAR {
			n, err := star.AsInt32(times)
			if err != nil {
				return nil, fault("it repeats too often")
			}
			if err := m.payTimes(size, n); err != nil {
				return nil, err
			}
			return star.Binary(op, a, y)
		}
		if op != syntax.PLUS || a.Type() != y.Type() {
			return nil, fault(noSuchOp)
		}
		err = m.pay(size + weight(y))
	case *star.Dict:
		b, ok := y.(*star.Dict)
		if op != syntax.PIPE || !ok {
			return nil, fault(noSuchOp)
		}
		err = m.payDict(a, b)
	default:
		return nil, fault(noSuchOp)
	}
	if err != nil {
		return nil, err
	}
	return star.Binary(op, x, y)
}

// weight is what a copy of a string or list costs.
func weight(v star.Value) int {
	if s, ok := v.(star.String); ok {
		return len(s)
	}
	return wordCost * max(star.Len(v), 0)
}

// payDict pays for a dict of what is in others, and for reading their names.
func (m *meter) payDict(dicts ...*star.Dict) error {
	err := m.pay(dictCost)
	for _, d := range dicts {
		for key := range d.Entries() {
			if err == nil {
				err = m.pay(entryCost)
			}
			if err == nil {
				err = m.read(key, 0)
			}
			if err != nil {
				return err
			}
		}
	}
	return err
}

func compute(op syntax.Token, x, y star.Int) (star.Value, error) {
	if (op == syntax.SLASHSLASH || op == syntax.PERCENT) && y.Sign() == 0 {
		return nil, fault("it divides by zero")
	}
	if op == syntax.STAR && x.BigInt().BitLen()+y.BigInt().BitLen() > MaxBits {
		return nil, fault(tooLong)
	}
	v, err := star.Binary(op, x, y) // a shift is by less than 512
	if i, ok := v.(star.Int); ok && i.BigInt().BitLen() > MaxBits {
		return nil, fault(tooLong)
	}
	return v, err
}

// extend does what x += y and x |= y do to a list and a dict: they are changed themselves.
func extend(m *meter, op syntax.Token, x, y star.Value) (done bool, err error) {
	switch x := x.(type) {
	case *star.List:
		y, ok := y.(*star.List)
		if op != syntax.PLUS || !ok {
			return false, nil
		}
		if err := m.pay(weight(y)); err != nil {
			return false, err
		}
		for i := range y.Len() { // as long as it was at first, if it is the same
			if err := x.Append(y.Index(i)); err != nil {
				return false, fault(frozen)
			}
		}
		return true, nil
	case *star.Dict:
		y, ok := y.(*star.Dict)
		if op != syntax.PIPE || !ok {
			return false, nil
		}
		return true, update(m, x, y)
	}
	return false, nil
}

// frozen says why a dict or list is not changed: Starlark freezes what the top of a script made, and what a loop walks.
const frozen = "it cannot be changed here, or the name is none"

func update(m *meter, x, y *star.Dict) error {
	if err := m.payDict(y); err != nil || x == y {
		return err
	}
	for key, value := range y.Entries() {
		if x.SetKey(key, value) != nil {
			return fault(frozen)
		}
	}
	return nil
}

func index(m *meter, x, key star.Value) (star.Value, error) {
	switch x := x.(type) {
	case *star.Dict:
		if err := m.read(key, 0); err != nil {
			return nil, err
		}
		v, found, err := x.Get(key)
		if err == nil && !found {
			err = fault("there is no member of this name")
		}
		return v, err
	case star.Indexable:
		i, err := position(x.Len(), key)
		if err != nil {
			return nil, err
		}
		return x.Index(i), nil
	case personal:
		return nil, m.read(x, 0)
	}
	return nil, fault("it has no members")
}

func position(n int, key star.Value) (int, error) {
	i, err := star.AsInt32(key)
	if err != nil {
		return 0, fault("the place in a list is no whole number")
	}
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return 0, fault("the list has no such place")
	}
	return i, nil
}

func put(m *meter, x, key, value star.Value) error {
	switch x := x.(type) {
	case *star.Dict:
		if err := m.pay(entryCost); err != nil {
			return err
		}
		if err := m.read(key, 0); err != nil {
			return err
		}
		if x.SetKey(key, value) != nil {
			return fault(frozen)
		}
		return nil
	case *star.List:
		i, err := position(x.Len(), key)
		if err != nil {
			return err
		}
		if x.SetIndex(i, value) != nil {
			return fault(frozen)
		}
		return nil
	}
	return fault("its members cannot be set")
}

// slice is x[lo:hi].
func slice(m *meter, v []star.Value) (star.Value, error) {
	x, ok := v[0].(star.Sliceable)
	if !ok {
		return nil, fault("it has no parts")
	}
	n := x.Len()
	bound := func(b star.Value, absent int) (int, error) {
		if b == star.None {
			return absent, nil
		}
		i, err := star.AsInt32(b)
		if err != nil {
			return 0, fault("the place in a list is no whole number")
		}
		if i < 0 {
			i += n
		}
		return min(max(i, 0), n), nil
	}
	lo, err := bound(v[1], 0)
	if err != nil {
		return nil, err
	}
	hi, err := bound(v[2], n)
	if err != nil {
		return nil, err
	}
	hi = max(lo, hi)
	if err := m.pay(wordCost * (hi - lo + 2)); err != nil {
		return nil, err
	}
	return x.Slice(lo, hi, 1), nil
}
