package policy

// Remembered is how many answers a policy keeps.
func (p *Policy) Remembered() int { return len(p.memo.young) + len(p.memo.old) }
