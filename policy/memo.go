package policy

import (
	"sync"

	"github.com/lethe-es/lethe/event"
)

// memo remembers what was decided, so that sessions that ask the same pay for the rules once. It is bounded: it holds
// one generation that fills, and the one before. Policies do not change, so what it holds stays true.
type memo struct {
	mu    sync.Mutex
	young map[question]answer
	old   map[question]answer
}

// memoSize is how many answers one generation holds.
const memoSize = 2048

// question is everything an answer depends on.
type question struct {
	actor        event.Actor
	purpose      string
	code, caseID string // the case only if some rule looks at it
}

type answer struct {
	verdict verdicts
	err     error
}

func (m *memo) find(q question) (answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.young[q]
	if !ok {
		if a, ok = m.old[q]; ok {
			m.put(q, a)
		}
	}
	return a, ok
}

func (m *memo) keep(q question, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(q, a)
}

func (m *memo) put(q question, a answer) {
	if len(m.young) >= memoSize {
		m.young, m.old = nil, m.young
	}
	if m.young == nil {
		m.young = make(map[question]answer)
	}
	m.young[q] = a
}
