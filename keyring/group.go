package keyring

import (
	"context"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// batchSize is how much is asked of the keystore at once, as far as one caller's is not more.
const batchSize = 1000

// group collects what many callers ask at the same time, so that all are answered at the price of one: who comes while
// a question is on its way joins the next.
type group[Q, A any] struct {
	run     func(context.Context, []Q) ([]A, error) // answers index by index
	direct  bool                                    // who is alone asks at once, and until its own context ends
	mu      sync.Mutex
	waiting []*asking[Q, A]
	running bool
}

// asking is what one caller waits for.
type asking[Q, A any] struct {
	questions []Q
	answers   []A
	err       error
	shared    bool // others' questions were asked together with these
	done      chan struct{}
}

// ask waits for answers, or for an error, which may be that of another's question if it was shared; nil: ctx ended. A
// caller whose context ends does not learn what became of it.
func (g *group[Q, A]) ask(ctx context.Context, k *Keeper, questions []Q) (*asking[Q, A], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := &asking[Q, A]{questions: questions}
	g.mu.Lock()
	first := !g.running
	g.running = true
	if first && g.direct {
		g.mu.Unlock()
		defer g.start(k)
		a.answers, a.err = g.run(ctx, questions)
		return a, a.err
	}
	a.done = make(chan struct{})
	g.waiting = append(g.waiting, a)
	g.mu.Unlock()
	if first {
		g.start(k)
	}
	select {
	case <-a.done:
		return a, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start has those answered who wait. It is for who found nobody running.
func (g *group[Q, A]) start(k *Keeper) {
	g.mu.Lock()
	none := len(g.waiting) == 0
	g.running = !none
	g.mu.Unlock()
	if none || k.background(func() { g.drain(k.life) }) {
		return
	}
	for batch, _ := g.next(); batch != nil; batch, _ = g.next() {
		for _, a := range batch {
			a.err = closedKeeper()
			close(a.done)
		}
	}
}

// drain asks until nobody waits.
func (g *group[Q, A]) drain(ctx context.Context) {
	for batch, questions := g.next(); batch != nil; batch, questions = g.next() {
		answers, err := g.run(ctx, questions)
		for _, a := range batch {
			if a.err, a.shared = err, len(batch) > 1; err == nil {
				n := len(a.questions)
				a.answers, answers = answers[:n:n], answers[n:]
			}
			close(a.done)
		}
	}
}

// next takes what is asked together, in the order in which it came; nothing: draining ends.
func (g *group[Q, A]) next() (batch []*asking[Q, A], questions []Q) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, size := 0, 0
	for n < len(g.waiting) && (n == 0 || size+len(g.waiting[n].questions) <= batchSize) {
		size += len(g.waiting[n].questions)
		n++
	}
	if n == 0 {
		g.running = false
		return nil, nil
	}
	batch = slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	questions = make([]Q, 0, size)
	for _, a := range batch {
		questions = append(questions, a.questions...)
	}
	return batch, questions
}

// question asks for a person's record, by KRID or, if that is zero, by the token of a reference.
type question struct {
	krid  event.KRID
	token storage.LookupToken
	older bool // the reference is that of the question before, under an older epoch
}

// answer is what a token stands for, and the record, unless the question before brought it.
type answer struct {
	lookup  storage.Lookup
	keyring storage.Keyring
}

// find asks for records, together with what others ask for.
func (k *Keeper) find(ctx context.Context, questions []question) ([]answer, error) {
	if len(questions) > batchSize/4 { // others shall not wait for so many
		return k.answer(ctx, questions)
	}
	a, err := k.questions.ask(ctx, k, questions)
	switch {
	case err == nil:
		return a.answers, nil
	case k.life.Err() != nil:
		return nil, closedKeeper()
	case a != nil && a.shared:
		return k.answer(ctx, questions)
	}
	return nil, err
}

// answer asks the keystore.
func (k *Keeper) answer(ctx context.Context, questions []question) ([]answer, error) {
	var tokens []storage.LookupToken
	for i := range questions {
		if questions[i].krid.IsZero() {
			tokens = append(tokens, questions[i].token)
		}
	}
	var found []storage.Lookup
	var err error
	if len(tokens) > 0 {
		if found, err = k.keys.Lookups(ctx, tokens); err != nil {
			return nil, err
		}
	}
	answers := make([]answer, len(questions))
	krids, of := make([]event.KRID, 0, len(questions)), make([]int, 0, len(questions))
	for i := range questions {
		krid := questions[i].krid
		if krid.IsZero() {
			answers[i].lookup, found = found[0], found[1:]
			krid = answers[i].lookup.KRID
		}
		if !krid.IsZero() && !(questions[i].older && krid == answers[i-1].lookup.KRID) {
			krids, of = append(krids, krid), append(of, i)
		}
	}
	if len(krids) == 0 {
		return answers, nil
	}
	records, err := k.keys.Keyrings(ctx, krids)
	if err != nil {
		return nil, err
	}
	for n := range records {
		answers[of[n]].keyring = records[n]
	}
	return answers, nil
}
