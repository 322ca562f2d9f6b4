package privacy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// Governed is a policy and where it stands in the log.
type Governed struct {
	*policy.Policy
	Position event.Position // 0: none was set
	At       time.Time
}

// Policy is the policy as of the head of the log.
func (p *Privacy) Policy(ctx context.Context) (Governed, error) {
	st, err := p.follow(ctx)
	if err != nil {
		return Governed{}, err
	}
	g := Governed{Policy: st.policy}
	q := storage.Query{Stream: policy.SetStream(), Backward: true, Limit: 1}
	page, err := p.log.Page(ctx, q)
	if err == nil && len(page.Records) > 0 {
		g.Position, g.At = page.Records[0].Position, event.FromMicros(page.Records[0].Recorded)
	}
	return g, err
}

// SetPolicy makes a document the policy, from this moment on, and tells what that changes. Changes that cannot be made
// are refused: event.ErrInvalid with code policy_refused. The same document again changes nothing. With dry it only
// tells.
func (p *Privacy) SetPolicy(ctx context.Context, by event.Actor, text []byte, dry bool) ([]policy.Change, error) {
	document, err := policy.ParseDocument(text)
	if err != nil {
		return nil, err
	}
	next, err := policy.New(document)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		changes, err := p.setPolicy(ctx, by, next, dry)
		if !errors.Is(err, log.ErrFenced) || try == governTries { // what it was compared with holds no more
			return changes, err
		}
	}
}

// governTries bounds how often a policy or a schema is checked again because others came to hold meanwhile.
const governTries = 20

func (p *Privacy) setPolicy(ctx context.Context, by event.Actor, next *policy.Policy, dry bool,
) ([]policy.Change, error) {
	document := next.Document()
	st, err := p.follow(ctx)
	if err != nil {
		return nil, err
	}
	if next.Digest() == st.policy.Digest() {
		return nil, nil
	}
	used, err := p.used(st)
	if err != nil {
		return nil, err
	}
	changes := policy.Compare(st.policy.Document(), document, used)
	for _, c := range changes {
		if c.Effect == policy.Breaks && !dry {
			return changes, &event.Error{Sentinel: event.ErrInvalid, Code: "policy_refused",
				Message: fmt.Sprintf("set policy: %s: %s", c.Place, c.Text), Next: "check it first: lethe purpose check FILE"}
		}
	}
	after, err := p.unused(ctx, st.policy, next)
	if err != nil || dry {
		return changes, err
	}
	draft, err := document.Draft()
	if err != nil {
		return nil, err
	}
	request := &log.Request{Writes: []log.Write{{Stream: policy.SetStream(), Expected: event.Any,
		Events: []event.Draft{draft}}}, Sealing: &log.Sealing{Fence: st.fence}}
	if kinds := becoming(st.policy, next); len(kinds) > 0 {
		request.Condition = &event.Condition{Filter: event.Filter{{Kinds: kinds}}, After: after}
	}
	_, err = p.govern(ctx, by, request, everybody)
	if errors.Is(err, event.ErrConflict) && !errors.Is(err, log.ErrFenced) {
		return nil, event.Errorf(event.ErrConflict, "set policy: events of a kind that is to become personal came meanwhile").
			Hint("nothing was set; check it again")
	}
	return changes, err
}

// everybody is the fence of what may concern anyone.
var everybody = []storage.Fence{{}}

// used are the names of the policy that schemas, metadata and persons depend on, or did.
func (p *Privacy) used(st *state) ([]string, error) {
	seen := maps.Clone(st.marked)
	for _, typ := range p.schemas.Types() {
		for _, v := range p.schemas.Versions(typ) {
			plan, err := v.Plan()
			if err != nil {
				return nil, err
			}
			for _, place := range plan.Marks() {
				if place.Mark != nil {
					seen[place.Mark.Group], seen[place.Mark.Retention] = true, true
				}
				seen[place.Reference] = true
			}
		}
	}
	for name, kind := range st.policy.Document().Kinds {
		if kind.Person {
			seen[name] = true
		}
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen)), nil
}

// becoming lists the kinds that become persons.
func becoming(old, next *policy.Policy) (kinds []string) {
	for name := range next.Document().Kinds {
		if next.Person(name) && !old.Person(name) {
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// unused checks that no event speaks of entities of the kinds that become persons: their references would stay readable
// for ever. It returns up to where it looked.
func (p *Privacy) unused(ctx context.Context, old, next *policy.Policy) (event.Position, error) {
	kinds := becoming(old, next)
	head, err := p.log.Head(ctx)
	if err != nil || len(kinds) == 0 || head.Position == 0 {
		return head.Position, err
	}
	q := storage.Query{To: uint64(head.Position), Limit: 1024}
	for {
		page, err := p.log.Page(ctx, q)
		if err != nil {
			return 0, err
		}
		for i := range page.Records {
			e, err := page.Records[i].Event()
			if err != nil {
				return 0, err
			}
			related := func(r event.Relation) bool { return slices.Contains(kinds, r.Kind) }
			if slices.Contains(kinds, e.Stream.Kind) || slices.ContainsFunc(e.Relations, related) {
				return 0, &event.Error{Sentinel: event.ErrInvalid, Code: "kind_in_use",
					Message: fmt.Sprintf("set policy: the event at position %d speaks in clear of an entity of a kind that is to "+
						"become personal", e.Position), Next: "declare a new kind, and copy what is needed to it"}
			}
		}
		if page.Done {
			return head.Position, nil
		}
		q.From = page.Scanned + 1
	}
}

// govern appends a system event in the name of an actor, and makes it count here before it returns.
func (p *Privacy) govern(ctx context.Context, by event.Actor, request *log.Request, fences []storage.Fence,
) (log.Result, error) {
	by, err := p.alias(ctx, by)
	if err != nil {
		return log.Result{}, err
	}
	if !by.IsZero() {
		d := &request.Writes[0].Events[0]
		d.Relations = append(d.Relations, by.Issuer())
	}
	result, err := p.log.AppendSystem(ctx, request, fences)
	if err != nil {
		return result, err
	}
	if len(fences) > 0 {
		_, err = p.follow(ctx)
		return result, err
	}
	head, err := p.log.Head(ctx)
	if err == nil {
		_, err = p.advance(ctx, &head)
	}
	return result, err
}

// Record records what a person said, or what was decided for them. What narrows holds everywhere at the next opening
// after it returns; what widens holds here at once, and in other processes within a minute. With an id a retry is safe.
func (p *Privacy) Record(ctx context.Context, by event.Actor, id event.ID, r policy.Record) (log.Result, error) {
	st, err := p.refresh(ctx)
	if err != nil {
		return log.Result{}, err
	}
	draft, err := r.Draft()
	if err != nil {
		return log.Result{}, err
	}
	if draft.ID = id; id.IsZero() {
		if draft.ID, err = p.ids.Next(); err != nil {
			return log.Result{}, err
		}
	}
	stream := policy.Stream(r.Subject())
	standing, err := p.standing(ctx, r.Subject())
	if err != nil {
		return log.Result{}, err
	}
	if err := st.policy.Admit(r, standing); err != nil {
		return log.Result{}, err
	}
	e := &event.Event{Stream: stream, Draft: draft}
	if _, err := standing.Apply(e); err != nil {
		return log.Result{}, err
	}
	var fences []storage.Fence
	if r.Narrows() {
		fences = []storage.Fence{{KRID: r.Subject()}}
	}
	request := &log.Request{Writes: []log.Write{{Stream: stream, Expected: event.Any, Events: []event.Draft{draft}}}}
	result, err := p.govern(ctx, by, request, fences)
	if err != nil {
		return result, err
	}
	if _, err := p.refresh(ctx); err != nil {
		return result, err
	}
	p.keeper.Forget([]event.KRID{r.Subject()}) // another process may have applied it, and what is remembered be older
	if standing, err = p.standing(ctx, r.Subject()); err != nil {
		return result, err
	}
	pending, err := standing.Apply(e) // what is applied already changes nothing
	if err == nil && pending {
		err = event.Errorf(event.ErrUnavailable, "record %s: it is in the log, and not in the keyring of its person yet",
			draft.Type).Hint("record it again under the same id")
	}
	return result, err
}

// standing is a copy of what holds for a person, who must be somebody.
func (p *Privacy) standing(ctx context.Context, krid event.KRID) (*policy.Standing, error) {
	keeper, err := p.ring()
	if err != nil {
		return nil, err
	}
	if err := keeper.Check(ctx, []event.KRID{krid}); err != nil {
		return nil, err
	}
	person, err := keeper.Person(ctx, krid)
	if err != nil {
		return nil, err
	}
	if person.Standing == nil {
		return new(policy.Standing), nil
	}
	return person.Standing.Clone(), nil
}
