// Package keystest is the contract of storage.Keystore as tests. Every sentence of the contract names the function here
// that holds it; an engine keeps keys and uses when Run passes.
//
//	func TestConformance(t *testing.T) {
//		keystest.Run(t, func(t testing.TB) *keystest.Engine {
//			keys := memory.NewKeys()
//			return &keystest.Engine{Keys: keys, Reopen: func(testing.TB) {}, …}
//		})
//	}
//
// Records are any bytes: engines do not look into them. What an engine cannot do is declared in Features, and then the
// suite asserts what it does instead: nothing is skipped.
package keystest

import (
	"testing"

	"github.com/lethe-es/lethe/storage"
)

// Engine is one keystore of the engine under test, and what a test needs beside the contract.
type Engine struct {
	// Keys is new and empty.
	Keys storage.Keystore
	// Reopen closes Keys, opens what it kept, and puts that in its place. An engine that is not Durable leaves Keys as
	// it is.
	Reopen func(t testing.TB)
	// Dump is every byte the engine keeps for Keys: all files, or all rows and their logs.
	Dump func(t testing.TB) [][]byte
	// Bytes is what the parts of KeySizes must add up to, found by other means, such as the sizes of files.
	Bytes func(t testing.TB) int64
	// Features says what the engine can do.
	Features Features
	// Uses is how many uses must be recorded until everything happens that happens only to long records, such as
	// writing out a buffered index three times; 0: 300.
	Uses int
}

func (e *Engine) uses() int {
	if e.Uses == 0 {
		return 300
	}
	return e.Uses
}

// Features are what engines may differ in.
type Features struct {
	// Durable engines hold what was stored when they are opened again. Others keep nothing once closed.
	Durable bool
	// Remains engines keep old bytes out of their reach, such as the log of a server, and ScrubKeys says so. In rows,
	// which Dump gives, there are none.
	Remains bool
}

// Open opens a new, empty keystore and arranges that it is closed when the test has ended.
type Open func(t testing.TB) *Engine

// Run holds an engine to the whole contract.
func Run(t *testing.T, open Open) {
	for _, c := range tests() {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

type test struct {
	name string
	run  func(t *testing.T, open Open)
}

func tests() []test {
	return []test{
		{"HeadKept", HeadKept},
		{"KeyringsAnswered", KeyringsAnswered},
		{"LookupsAnswered", LookupsAnswered},
		{"RetentionsAnswered", RetentionsAnswered},
		{"ChangeAtomic", ChangeAtomic},
		{"ChangeDurable", ChangeDurable},
		{"ChangeCompares", ChangeCompares},
		{"ChangeOneWinner", ChangeOneWinner},
		{"ChangeChecked", ChangeChecked},
		{"ScanComplete", ScanComplete},
		{"ScrubRemoves", ScrubRemoves},
		{"UsesDurable", UsesDurable},
		{"UsesFound", UsesFound},
		{"UsesPruned", UsesPruned},
		{"SizesAddUp", SizesAddUp},
		{"ContextEnded", ContextEnded},
		{"CloseEnds", CloseEnds},
		{"CopyKept", CopyKept},
	}
}
