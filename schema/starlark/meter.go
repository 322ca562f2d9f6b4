package starlark

import (
	"math/bits"

	star "go.starlark.net/starlark"
)

const meterKey = "meter"

// What things cost, in bytes, about as much memory as they take.
const (
	wordCost  = 16  // a value in a list
	entryCost = 96  // a member of a dict
	dictCost  = 512 // an empty dict
)

// meter is what is left of the work of one run.
type meter struct{ left int64 }

func meterOf(thread *star.Thread) *meter { return thread.Local(meterKey).(*meter) }

// pay takes n bytes of work, before they are made.
func (m *meter) pay(n int) error { return m.payTimes(n, 1) }

// payTimes takes n bytes, times over.
func (m *meter) payTimes(n, times int) error {
	if n <= 0 || times <= 0 {
		return nil
	}
	high, low := bits.Mul64(uint64(n), uint64(times))
	if high != 0 || low > uint64(m.left) {
		m.left = 0
		return fault("it makes or reads too much data")
	}
	m.left -= int64(low)
	return nil
}

// read pays for all of a value, and refuses one that holds what must not be looked at.
func (m *meter) read(v star.Value, depth int) error {
	if depth > MaxDepth {
		return fault("the data is too deep")
	}
	if err := m.pay(wordCost); err != nil {
		return err
	}
	switch v := v.(type) {
	case personal:
		return fault(untouchable)
	case number:
		return fault("a number that is not whole can only be moved")
	case star.String:
		return m.pay(len(v))
	case star.Tuple:
		return m.readAll(v, depth)
	case *star.List:
		for i := range v.Len() {
			if err := m.read(v.Index(i), depth+1); err != nil {
				return err
			}
		}
	case *star.Dict:
		for key, value := range v.Entries() {
			if err := m.readAll([]star.Value{key, value}, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *meter) readAll(list []star.Value, depth int) error {
	for _, v := range list {
		if err := m.read(v, depth+1); err != nil {
			return err
		}
	}
	return nil
}
