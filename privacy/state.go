package privacy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/storage"
)

// state is what may be held of persons, and opened, as of a fence. It does not change; a later one takes its place.
type state struct {
	fence    uint64
	system   event.Position // policy and schemas up to here are in it
	standing event.Position // what persons said up to here is in their keyrings
	owed     error          // why standing is behind; nothing is opened by such a state
	policy   *policy.Policy
	marked   map[string]bool // groups and classes that some policy gave to metadata
	plain    bool            // nothing is declared personal or checked: events pass as they are
}

// refresh is the state as of the log's head, by which may be opened. Whoever was fenced since the last one is forgotten
// by the keeper, so that what is remembered of them is looked up again.
func (p *Privacy) refresh(ctx context.Context) (*state, error) {
	s, err := p.reach(ctx, false)
	if err == nil {
		err = s.owed
	}
	return s, err
}

// follow is the state as of the log's head for what opens nothing: it goes on where keys are away, and what persons
// said meanwhile waits.
func (p *Privacy) follow(ctx context.Context) (*state, error) {
	return p.reach(ctx, true)
}

// reach is the state as of the log's head; what is owed is tried again unless owing will do.
func (p *Privacy) reach(ctx context.Context, owing bool) (*state, error) {
	head, err := p.log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the head of the log: %w", err)
	}
	if s := p.now.Load(); s != nil && s.fence == head.Fence && (owing || s.owed == nil) {
		return s, nil
	}
	return p.advance(ctx, &head)
}

// advance brings the state to a head.
func (p *Privacy) advance(ctx context.Context, head *storage.Head) (*state, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now.Load()
	if old != nil && old.fence > head.Fence {
		return old, nil // somebody else brought it further
	}
	next, first, err := p.begin(old)
	if err != nil {
		return nil, err
	}
	krids, all := []event.KRID(nil), true
	if next.fence = head.Fence; !first {
		next.fence = old.fence
		if krids, all, err = p.fenced(ctx, next, head.Fence); err != nil {
			return nil, err
		}
	}
	if all {
		if err := p.foldPolicy(ctx, next, head.Position); err != nil {
			return nil, err
		}
	}
	if p.keeper != nil {
		next.owed = p.foldStanding(ctx, next, head.Position)
		if next.owed != nil && ctx.Err() != nil { // that the caller left is no reason for others
			return nil, next.owed
		}
		if all {
			p.keeper.Forget(nil)
		} else if len(krids) > 0 { // none would mean all
			p.keeper.Forget(krids)
		}
	}
	p.now.Store(next)
	return next, nil
}

// begin is a copy of a state, or the first one; whether everything is still to be read for it.
func (p *Privacy) begin(old *state) (next *state, first bool, err error) {
	if old != nil {
		next := *old
		return &next, false, nil
	}
	next = &state{plain: true, marked: map[string]bool{}}
	if p.keeper != nil {
		next.standing = p.keeper.Applied()
	}
	next.policy, err = policy.New(nil)
	return next, true, err
}

// fenced moves the state to a fence, and says who was fenced since: these persons, or all.
func (p *Privacy) fenced(ctx context.Context, s *state, upTo uint64) (krids []event.KRID, all bool, err error) {
	for s.fence < upTo {
		fences, err := p.log.Fences(ctx, s.fence)
		if err != nil {
			return nil, false, fmt.Errorf("ask the fences of the log: %w", err)
		}
		if len(fences) == 0 {
			return nil, false, event.Errorf(event.ErrCorrupt,
				"ask the fences of the log: those after %d are missing", s.fence)
		}
		for _, f := range fences {
			if f.Number > upTo { // of what came after the head that is asked for nothing else is known yet
				break
			}
			s.fence = f.Number
			all = all || f.KRID.IsZero()
			if !f.KRID.IsZero() {
				krids = append(krids, f.KRID)
			}
		}
	}
	return krids, all, nil
}

// foldPolicy applies the policies and schemas after those in s.
func (p *Privacy) foldPolicy(ctx context.Context, s *state, upTo event.Position) error {
	types := []string{policy.TypeSet, schema.TypePushed, schema.TypeDemanded}
	err := p.system(ctx, types, s.system, upTo, func(e *event.Event) error {
		if e.Type != policy.TypeSet {
			return p.schemas.Apply(e) // again changes nothing
		}
		document, err := policy.ParseSet(e.Data)
		if err != nil {
			return err
		}
		s.marked = maps.Clone(s.marked)
		for _, m := range document.Metadata {
			s.marked[m.Group], s.marked[m.Retention] = true, true
		}
		s.policy, err = policy.New(document)
		return err
	})
	if err != nil {
		return fmt.Errorf("read policy and schemas: %w", err)
	}
	s.system = upTo
	s.plain = len(p.schemas.Types()) == 0 && !p.schemas.Demand() && unmarked(s.policy.Document())
	return nil
}

// foldStanding puts into keyrings what persons said, and what was decided for them, since the last time: the log is
// first, and whoever reads it does what a crash left undone. Applying an event again changes nothing.
func (p *Privacy) foldStanding(ctx context.Context, s *state, upTo event.Position) error {
	applied := 0
	err := p.system(ctx, policy.StandingTypes(), s.standing, upTo, func(e *event.Event) error {
		krid, err := event.ParseKRID(e.Stream.ID)
		if err != nil {
			return event.Errorf(event.ErrCorrupt, "its stream names no person")
		}
		applied++
		var refused error
		err = p.keeper.Amend(ctx, krid, func(s *policy.Standing) (changed bool, _ error) {
			changed, refused = s.Apply(e)
			return changed, refused
		})
		// Nothing is left of the person to amend, or Record refused it before and after it was in the log. Whatever else
		// fails is not of the event: passed over, it would be lost.
		if event.Code(err) == "erased_subject" || refused != nil && errors.Is(refused, event.ErrInvalid) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read what persons said: %w", err)
	}
	s.standing = max(s.standing, upTo)
	if applied == 0 {
		return nil
	}
	return p.keeper.SetApplied(ctx, upTo)
}

// system gives the system events of some types after a position.
func (p *Privacy) system(ctx context.Context, types []string, after, upTo event.Position,
	do func(e *event.Event) error,
) error {
	q := storage.Query{
		Filter: event.Filter{{Kinds: []string{event.SystemKind}, Types: types}},
		From:   uint64(after) + 1, To: uint64(upTo), Limit: 256,
	}
	for upTo > after {
		page, err := p.log.Page(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			e, err := page.Records[i].Event()
			if err == nil {
				err = do(&e)
			}
			if err != nil {
				return fmt.Errorf("position %d: %w", page.Records[i].Position, err)
			}
		}
		if page.Done {
			return nil
		}
		q.From = page.Scanned + 1
	}
	return nil
}

// unmarked tells whether a document declares nothing personal.
func unmarked(d *policy.Document) bool {
	return len(d.Metadata) == 0 && !slices.ContainsFunc(slices.Collect(maps.Values(d.Kinds)),
		func(k policy.Kind) bool { return k.Person })
}
