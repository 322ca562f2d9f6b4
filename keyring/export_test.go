package keyring

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// SecretsForTest are the places in memory where keys lie now: of epochs, persons and periods. They stay in view after
// the Keeper let go of them.
func SecretsForTest(k *Keeper) (secrets [][]byte) {
	k.mu.Lock()
	for _, e := range k.epochs {
		secrets = append(secrets, e.Raw)
	}
	k.mu.Unlock()
	for i := range k.cache.shards {
		s := &k.cache.shards[i]
		s.mu.Lock()
		for _, r := range s.rings {
			for g := range r.Groups {
				for n := range r.Groups[g].Generations {
					secrets = append(secrets, r.Groups[g].Generations[n].Key[:])
				}
			}
		}
		s.mu.Unlock()
	}
	k.periods.mu.Lock()
	defer k.periods.mu.Unlock()
	for _, p := range k.periods.keys {
		secrets = append(secrets, p.key[:])
	}
	return secrets
}

// QuietForTest says how many sealings pass until the next one of a person begins a new generation.
func QuietForTest(k *Keeper, krid event.KRID, sealings int64) {
	s := k.cache.shard(krid)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = sealings + 1
}

// CalmForTest has no sealing begin a new generation by chance.
func CalmForTest(k *Keeper) {
	for i := range k.cache.shards {
		s := &k.cache.shards[i]
		s.mu.Lock()
		s.quiet = 1 << 60
		s.mu.Unlock()
	}
}

// CachedForTest is how many keyrings and references are in memory.
func CachedForTest(k *Keeper) (rings, references int) {
	for i := range k.cache.names {
		k.cache.names[i].mu.RLock()
		references += len(k.cache.names[i].krids)
		k.cache.names[i].mu.RUnlock()
	}
	return k.cache.count(), references
}

// SpellForTest is spell.
func SpellForTest(draw uint64) int64 { return spell(draw) }

// StoredForTest is stored.
func StoredForTest(class string, bucket int64) storage.RetentionID { return stored(class, bucket) }

// SmallForTest has a Keeper do little at once where it goes through everybody.
func SmallForTest(k *Keeper) { k.sizes = sizes{page: 20, chunk: 80, tokens: 60, moved: 50} }

// WaitingForTest is how many callers wait for the next commit.
func WaitingForTest(k *Keeper) int {
	k.changes.mu.Lock()
	defer k.changes.mu.Unlock()
	return len(k.changes.waiting)
}

// RenewedForTest waits for an attempt to unwrap that goes on, if any.
func RenewedForTest(k *Keeper) {
	k.mu.Lock()
	a := k.attempt
	k.mu.Unlock()
	if a != nil {
		<-a.done
	}
}

// AskingForTest is how many callers wait for the next question to the keystore.
func AskingForTest(k *Keeper) int {
	k.questions.mu.Lock()
	defer k.questions.mu.Unlock()
	return len(k.questions.waiting)
}
