// Package torture holds the adversary's tests: what a store promises is tried against concurrency, kills, failing
// system calls, a full disk and a second process. Every test prints the seed it ran with; set LETHE_SEED to run it
// again.
//
//   - linear_test.go: histories of concurrent appends and reads are linearizable (LETHE_HISTORIES scales).
//   - wire_test.go: the same over connections that are cut and a server that is killed (LETHE_WIRE_HISTORIES scales),
//     and one of everything with the connection cut before and after each message.
//   - postgres_test.go: the same over two stores on one PostgreSQL schema, whose networks are cut
//     (LETHE_SHARED_HISTORIES scales); wire_test.go has two servers on one (a quarter of LETHE_WIRE_HISTORIES).
//   - database_test.go: the database is killed under load (LETHE_DATABASE_KILLS scales), a synchronous replica takes
//     over (LETHE_FAILOVERS scales), and what the replica does not have is acknowledged by nobody.
//   - metamorphic_test.go: random programmes give the same on memory, SQLite, and a part of them on PostgreSQL
//     (LETHE_PROGRAMMES scales).
//   - kill_test.go: SIGKILL at any moment loses nothing (LETHE_KILLS scales).
//   - sweep_test.go: every write, sync, truncation, removal and opening of a file fails or kills once
//     (LETHE_SWEEP=full takes every point, otherwise a sample).
//   - full_test.go: a full disk is a clear error, and passes.
//   - held_test.go: a second process is refused.
//   - trouble_test.go: what is left when a disk fails in the middle of several steps.
//   - defect_test.go: the checkers find the defects they are for.
//
// storage/postgres cuts the connections of one store at every message (LETHE_CUTS=full takes all of them).
//
// The victim of kills and failing calls is this test binary, started again with LETHE_VICTIM set: victim_test.go. It
// tells every answer it gets on its standard output; account_test.go holds what was told against what is in the folder.
package torture
