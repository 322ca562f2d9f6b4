// Package sealing holds the adversary's tests of personal data: what is sealed is looked for in clear, its keys are
// taken away at every step, its processes are killed, and its fences are raced. Every test prints the seed it ran with;
// set LETHE_SEED to run it again.
//
//   - canary_test.go: markers in every personal place, then every byte that was kept or said is searched for them, in
//     clear and in other spellings (scan_test.go); what was planted in clear on purpose must be found.
//   - kill_test.go: SIGKILL at any moment; what was acknowledged opens (LETHE_SEAL_KILLS scales).
//   - sweep_test.go: every call of key service, keystore, use log and log fails once, or is the last one of its process
//     (LETHE_SWEEP=full takes every call, otherwise a sample).
//   - fence_test.go: restrictions, policies, schemas and epochs change while two processes append and open
//     (LETHE_FENCES scales).
//   - between_test.go: another process restricts, sets a policy, pushes a schema or rolls before each call of an append
//     or an opening.
//   - programme_test.go: random programmes give the same on memory, SQLite and PostgreSQL (LETHE_SEALED_PROGRAMMES
//     scales).
//
// The victim of kills is this test binary, started again with LETHE_SEALING_VICTIM set: victim_test.go.
package sealing
