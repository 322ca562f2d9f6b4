// Package ledger makes and checks the commitments of a log: what was said, in which order, and that nothing was
// changed since. It is pure: bytes in, bytes and hashes out; no clock, no randomness, no I/O.
//
// From the inside out (bytes and worked examples: docs/format/commitment.md, leaf.md and tree.md):
//
//   - A Slot is one value of an event: a property, a relation, the version. Each is hashed under a salt of its own,
//     so that it can be shown, or erased, without the others.
//   - A commitment is the RFC 6962 root over an event's slots. The open commitment covers the values that stand
//     in clear; each box of sealed values has one of its own.
//   - A Leaf is an event's header with its commitments. It outlives the event's content.
//   - The tree is the RFC 6962 tree over the leaves in order of position. A Frontier is enough to append and to know
//     the root; a Tiler cuts the tree into tiles for storage; a Reader makes proofs from them.
//   - A Checkpoint is a signed root: what others keep in order to hold the log to its word.
//
// An append hashes everything but the version in the caller's goroutine and the rest in the sequencer:
//
//	prepared := ledger.Prepare(seed, slots, &scratch) // caller: seed is 32 random bytes, kept in the row
//	leaf.Open = prepared.Seal(version)                // sequencer, once it knows the version
//	hash := ledger.LeafHash(leaf.AppendTo(nil))
//	frontier.Append(hash)                             // written to the head row
//	next, tiles := tiler.Append([]ledger.Hash{hash})  // full tiles are stored with the events
//
// Whoever holds a checkpoint checks an event with LeafHash and VerifyInclusion, a single value of it with
// VerifySlot, and a newer checkpoint with VerifyConsistency.
package ledger
