package torture_test

import (
	"encoding/binary"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/lethe-es/lethe/event"
)

// The model of one stream: a list of event numbers. An append adds to its end, unless what it expected or its
// condition does not hold; a read gives all of it.

// none is the number of no event; history numbers events from 1.
const none = 0

type action uint8

const (
	actRead action = iota
	actAppend
)

// call is what a client asks of one stream.
type call struct {
	do       action
	stream   event.StreamID
	add      []uint32
	with     uint32 // first event of the append, which may write to other streams too
	expected event.Expected
	guarded  bool   // fail if there is an event after the one numbered last
	last     uint32 // none: fail if there is any event
}

type outcome uint8

const (
	done     outcome = iota
	conflict         // the expected version was not met; actual tells the version
	hit              // the condition failed
	nothing          // a definite refusal for another reason: it had no effect
	unknown          // it may or may not have been done, then or later
)

// answer is what the client got.
type answer struct {
	outcome outcome
	version event.Version // after the append
	actual  event.Version // of a conflict
	list    string        // of a read, as pack makes it
}

// pack is a list of events as the state of the model holds it.
func pack(list string, numbers ...uint32) string {
	b := []byte(list)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return string(b)
}

func packed(list string) int { return len(list) / 4 }

func lastOf(list string) uint32 {
	if list == "" {
		return none
	}
	return binary.BigEndian.Uint32([]byte(list[len(list)-4:]))
}

func streamModel() porcupine.Model {
	return porcupine.Model{
		Partition: byStream,
		Init:      func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return step(state.(string), input.(*call), output.(*answer))
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v -> %+v", *input.(*call), *output.(*answer))
		},
	}
}

func step(list string, c *call, a *answer) (bool, string) {
	if c.do == actRead {
		return a.outcome == nothing || a.list == list, list
	}
	version := event.Version(packed(list))
	allowed := c.expected.Allows(version)
	free := !c.guarded || lastOf(list) == c.last
	added := list
	if allowed && free {
		added = pack(list, c.add...)
	}
	switch a.outcome {
	case done:
		return allowed && free && a.version == version+event.Version(len(c.add)), added
	case conflict:
		return !allowed && a.actual == version, list
	case hit:
		return allowed && !free, list
	case nothing:
		return true, list
	}
	return true, added // unknown: it returns at the end of time, so "not done" is "done after everything else"
}

func byStream(history []porcupine.Operation) [][]porcupine.Operation {
	index := make(map[event.StreamID]int)
	var parts [][]porcupine.Operation
	for _, op := range history {
		s := op.Input.(*call).stream
		i, ok := index[s]
		if !ok {
			i = len(parts)
			index[s] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}
