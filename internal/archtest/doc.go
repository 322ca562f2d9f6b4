// Package archtest keeps the house in order: it reads the source tree and reports where code disagrees with the
// architecture, so that the rules of docs/ARCHITECTURE.md hold by build and not by memory.
//
// # How it works
//
// Load reads a tree (the module root, or a small tree in memory) into a House: its packages as syntax trees and all
// of its files as bytes. Rules lists what must hold; Inspect runs every rule and returns findings. A finding names
// file and line, the rule, what is wrong and how to mend it:
//
//	log/seq.go:41: [call/clock] time.Now is called here; mend: take an event.Clock and ask it
//
// The package looks at syntax only. It needs no compiled code and no tools, ends in about a second, and works while
// a package does not compile yet. What syntax cannot see (a time.Now behind a variable of another package) it
// cannot report.
//
// # Floors
//
// The fenced block in docs/ARCHITECTURE.md whose first line starts with "0 " is the floor table. A row is a floor
// number (or nothing), a row name, and packages separated by "·". A package is its path inside the module, then
// optionally its sub-packages in braces, then remarks in parentheses, which are ignored:
//
//	1 seams       storage {sqlite, memory, storagetest} · kms {localkms, kmstest}
//	  wiring      cmd/lethe (main.go ≤ 30 lines) · internal/cli
//
// The module's last path element stands for the root package. Imports go to a lower floor, or to a package further
// left on the same floor, so that a sub-package may import its seam and the seam not its sub-package. The row
// wiring lies above the numbered floors, the row tests above wiring; inside these two any order goes. On the floor
// called seams a sub-package whose name ends in "test" is a suite, any other is a driver. A package whose files are
// all generated lives where its nearest listed parent lives.
//
// # Exceptions
//
// Where a rule is wrong for one place, exceptions in exception.go names rule, file and subject and gives a reason.
// An exception that excuses nothing is itself a finding, so the list can only shrink.
//
// # Adding a rule
//
// Write a check, add it to Rules with its mend, and add a tree that breaks it to testdata (rule_test.go says how a
// .tree file is written). The self-test fails for a rule that no tree breaks: a check that cannot fail is worthless.
package archtest
