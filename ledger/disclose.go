package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// SlotProof shows one slot under a commitment without the others. Salt opens this slot alone. Index and Count only
// steer the walk from the slot to the root; they prove neither a place nor a number of slots.
type SlotProof struct {
	Index, Count int
	Salt         Hash
	Path         []Hash // RFC 6962 audit path, from the leaf up
}

// ProveSlot makes the proof of slots[i] under Root(seed, slots); ErrMalformed if there is no such slot.
func ProveSlot(seed Hash, slots []Slot, i int) (SlotProof, error) {
	if i < 0 || i >= len(slots) {
		return SlotProof{}, fmt.Errorf("prove slot %d of %d: %w", i, len(slots), ErrMalformed)
	}
	return SlotProof{
		Index: i,
		Count: len(slots),
		Salt:  Salt(seed, slots[i].Kind, slots[i].Path),
		Path:  auditPath(slotHashes(seed, slots), i),
	}, nil
}

// VerifySlot checks that the commitment covers exactly this slot: kind, path, state and value. ErrMismatch if not.
// That some other slot is missing from a commitment cannot be shown by it.
func VerifySlot(commitment Hash, s Slot, proof SlotProof) error {
	if proof.Index < 0 || proof.Index >= proof.Count || uint64(proof.Count) > MaxSize {
		return fmt.Errorf("verify slot %d of %d: %w", proof.Index, proof.Count, ErrMalformed)
	}
	leaf := SlotHash(proof.Salt, s)
	err := tlog.CheckRecord(toTlog(proof.Path), int64(proof.Count), commitment, int64(proof.Index), leaf)
	if err != nil {
		return fmt.Errorf("verify slot %d of %d: %w", proof.Index, proof.Count, ErrMismatch)
	}
	return nil
}
