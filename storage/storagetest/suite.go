// Package storagetest is the contract of package storage as tests. Every sentence of the contract names the function
// here that holds it; an engine is one when Run passes.
//
//	func TestConformance(t *testing.T) {
//		storagetest.Run(t, func(t testing.TB) *storagetest.Engine {
//			dir := t.TempDir()
//			store := open(t, dir) // with Indexed: storagetest.Indexed()
//			return &storagetest.Engine{Store: store, Features: storagetest.Features{Durable: true}, …}
//		})
//	}
//
// The suite makes its records itself, without the log above: bodies by event.AppendBody, terms by storage.Terms, and
// any unique 32 bytes as leaf, since engines do not look into leaves. What an engine cannot do is declared in
// Features, and then the suite asserts what it does instead: nothing is skipped.
package storagetest

import (
	"testing"

	"github.com/lethe-es/lethe/storage"
)

// Engine is one store of the engine under test, and what a test needs beside the contract.
type Engine struct {
	// Store is new and empty; its indexed metadata keys are Indexed.
	Store storage.Store
	// Reopen closes Store, opens what it kept, and puts that in its place. An engine that is not Durable leaves
	// Store as it is.
	Reopen func(t testing.TB)
	// Dump is every byte the engine keeps for Store: all files, or all rows and their logs.
	Dump func(t testing.TB) [][]byte
	// Bytes is what the parts of Sizes must add up to, found by other means, such as the sizes of files.
	Bytes func(t testing.TB) int64
	// Features says what the engine can do.
	Features Features
	// Events is how long a log must grow until everything happens that happens only to long logs, such as writing
	// out a buffered index three times; 0: 600.
	Events int
}

func (e *Engine) events() int {
	if e.Events == 0 {
		return 600
	}
	return e.Events
}

// Features are what engines may differ in.
type Features struct {
	// Durable engines hold what was committed when they are opened again. Others keep nothing once closed, and two
	// stores they open have nothing in common.
	Durable bool
	// Remains engines keep old bytes out of their reach, such as the log of a server, and Scrub says so. In rows, which
	// Dump gives, there are none.
	Remains bool
	// Examines engines are a storage.Examiner. Others have nothing of their own to look at.
	Examines bool
}

// Open opens a new, empty store and arranges that it is closed when the test has ended.
type Open func(t testing.TB) *Engine

// Indexed are the metadata keys the suite's stores declare, in an order that is not sorted.
func Indexed() []string { return []string{"channel", "branch"} }

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
		{"HeadIdentity", HeadIdentity},
		{"HeadMovesWithCommit", HeadMovesWithCommit},
		{"CommitAtomic", CommitAtomic},
		{"CommitDurable", CommitDurable},
		{"CommitEmpty", CommitEmpty},
		{"CommitKeepsRecords", CommitKeepsRecords},
		{"CommitGapless", CommitGapless},
		{"CommitConcurrent", CommitConcurrent},
		{"CommitRefused", CommitRefused},
		{"CommitChecked", CommitChecked},
		{"ProbeAnswered", ProbeAnswered},
		{"ProbeLeaves", ProbeLeaves},
		{"ConditionExact", ConditionExact},
		{"IndexExact", IndexExact},
		{"NotIndexed", NotIndexed},
		{"PageOrder", PageOrder},
		{"PageComplete", PageComplete},
		{"PageStream", PageStream},
		{"PageByID", PageByID},
		{"PageBounds", PageBounds},
		{"PageBytes", PageBytes},
		{"PageSnapshot", PageSnapshot},
		{"WaitWakes", WaitWakes},
		{"WaitEnds", WaitEnds},
		{"TurnKept", TurnKept},
		{"RewriteExact", RewriteExact},
		{"RewriteRepeats", RewriteRepeats},
		{"RewriteKeepsHeader", RewriteKeepsHeader},
		{"TilesStored", TilesStored},
		{"ScrubRemoves", ScrubRemoves},
		{"StreamsListed", StreamsListed},
		{"StreamStateKept", StreamStateKept},
		{"CheckpointZero", CheckpointZero},
		{"CheckpointCAS", CheckpointCAS},
		{"CheckpointsListed", CheckpointsListed},
		{"TokenKept", TokenKept},
		{"TokensListed", TokensListed},
		{"TokenAdded", TokenAdded},
		{"TokenRevoked", TokenRevoked},
		{"TokenUsed", TokenUsed},
		{"LifeKept", LifeKept},
		{"MovedRefuses", MovedRefuses},
		{"MovedIsFinal", MovedIsFinal},
		{"AdoptTakesOver", AdoptTakesOver},
		{"AdoptIndexes", AdoptIndexes},
		{"AdoptRefused", AdoptRefused},
		{"InheritExact", InheritExact},
		{"InheritRefused", InheritRefused},
		{"FencesKept", FencesKept},
		{"FencesInherited", FencesInherited},
		{"SizesAddUp", SizesAddUp},
		{"ExaminedWhole", ExaminedWhole},
		{"ContextEnded", ContextEnded},
		{"CloseEnds", CloseEnds},
		{"CopyKept", CopyKept},
	}
}
