package token

// WatchedForTest is how many tokens take room for who watches them.
func WatchedForTest(k *Keeper) int {
	k.watches.mu.Lock()
	defer k.watches.mu.Unlock()
	return len(k.watches.open)
}
