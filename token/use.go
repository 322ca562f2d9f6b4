package token

import (
	"sync"
	"time"

	"github.com/lethe-es/lethe/storage"
)

// resolution is how exact the last use is: a token in steady use is written once in this time, whatever its calls.
const resolution = int64(time.Minute / time.Microsecond)

// uses gathers when tokens were used until they are written. Only tokens that were found good are in it.
type uses struct {
	mu sync.Mutex
	at map[string]int64
}

func newUses() *uses { return &uses{at: make(map[string]int64)} }

// note remembers a use if the last known one is long enough ago. That is mostly known from the token itself, so calls
// with one token do not meet at the lock.
func (u *uses) note(t *storage.Token, now int64) {
	if t.Used != 0 && now-t.Used < resolution {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.at[t.ID]; !ok || now-last >= resolution {
		u.at[t.ID] = now
	}
}

// show adds to tokens what is not written yet.
func (u *uses) show(list []storage.Token) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range list {
		list[i].Used = max(list[i].Used, u.at[list[i].ID])
	}
}

func (u *uses) take() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.at
	u.at = make(map[string]int64)
	return taken
}

func (u *uses) giveBack(taken map[string]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, at := range taken {
		u.at[id] = max(u.at[id], at)
	}
}
