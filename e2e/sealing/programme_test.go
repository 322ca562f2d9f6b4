package sealing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// TestProgrammes runs random programmes of appends, openings, what persons say, rolls and reopenings on memory, on a
// folder and on PostgreSQL: the same is opened, withheld for the same reasons, and recorded. Aliases, which are drawn,
// are read as the persons they stand for.
func TestProgrammes(t *testing.T) {
	t.Parallel()
	from := seed(t)
	programmes := scale(t, "LETHE_SEALED_PROGRAMMES", 4)
	steps := 0
	for n := range programmes {
		first, _ := memorySite(t)
		folder, err := siteAt(t.Context(), filepath.Join(t.TempDir(), "f"), "", newStepClock())
		if err != nil {
			t.Fatal(err)
		}
		sites := []*site{first, folder, postgresSite(pgtest.Place(t), kmstest.New(t), newStepClock())}
		var told [][]string
		for _, s := range sites {
			w := &world{site: s, random: chance(from, n), restricted: map[int][]event.ID{}}
			if err := w.run(t.Context()); err != nil {
				t.Fatalf("programme %d of LETHE_SEED=%d on %s: %v", n, from, s.name, err)
			}
			told = append(told, w.told)
		}
		for i, s := range sites {
			if diff := cmp.Diff(told[0], told[i]); diff != "" {
				t.Fatalf("programme %d of LETHE_SEED=%d on %s:\n%s", n, from, s.name, diff)
			}
		}
		steps += len(told[0])
	}
	t.Logf("%d programmes, %d answers: 0 differences", programmes, steps)
}

// world is one site in which a programme runs. All chance is drawn alike in each.
type world struct {
	*process
	site       *site
	random     *rand.Rand
	written    []card
	said       uint16 // numbers what persons say
	restricted map[int][]event.ID
	opened     int
	told       []string
}

const programmePeople = 6

func (w *world) run(ctx context.Context) (err error) {
	if err := w.reopen(ctx); err != nil {
		return err
	}
	defer func() {
		if closed := w.Close(); err == nil {
			err = closed
		}
	}()
	if err := declare(ctx, w.process); err != nil {
		return err
	}
	deeds := []func(context.Context) (string, error){
		w.append, w.append, w.append, w.repeat, w.open, w.open, w.open, w.restrict, w.restrict, w.release, w.consent,
		w.withdraw, w.object, w.roll, w.wait, w.again,
	}
	for range 30 {
		answer, err := deeds[w.random.IntN(len(deeds))](ctx)
		if err != nil {
			answer += "error " + event.Code(err)
		}
		if answer, err = w.readable(ctx, answer); err != nil {
			return err
		}
		w.told = append(w.told, answer)
	}
	return w.finish(ctx)
}

// readable puts persons into the place of aliases.
func (w *world) readable(ctx context.Context, text string) (string, error) {
	refs := map[string]string{}
	for n := range programmePeople {
		refs["customer "+who(n)] = fmt.Sprint("person-", n)
	}
	for n := range 2 {
		refs[fmt.Sprintf("clerk %s-clerk-%d", stem, n)] = fmt.Sprint("clerk-", n)
	}
	for ref, name := range refs {
		kind, id, _ := strings.Cut(ref, " ")
		krid, err := w.Privacy().Subject(ctx, kind, id)
		if event.Code(err) == "unknown_person" {
			continue
		}
		if err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, krid.String(), name)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines { // what is ordered by aliases is ordered by persons
		parts := strings.Split(line, " | ")
		slices.Sort(parts[1:])
		lines[i] = strings.Join(parts, " | ")
	}
	return strings.Join(lines, "\n"), nil
}

func (w *world) reopen(ctx context.Context) error {
	if w.process != nil {
		if err := w.Close(); err != nil {
			return err
		}
	}
	var err error
	w.process, err = w.site.open(ctx, nil)
	return err
}

func (w *world) person() int { return w.random.IntN(programmePeople) }

func (w *world) append(ctx context.Context) (string, error) {
	c := card{len(w.written) + 1, w.person(), w.person(), w.person()}
	w.written = append(w.written, c)
	return w.submit(ctx, c)
}

// repeat appends again what is there.
func (w *world) repeat(ctx context.Context) (string, error) {
	if len(w.written) == 0 {
		return "nothing", nil
	}
	return w.submit(ctx, w.written[w.random.IntN(len(w.written))])
}

func (w *world) submit(ctx context.Context, c card) (string, error) {
	result, err := w.As(event.Actor{}).AppendAll(ctx, one(c.stream(), c.draft()))
	return fmt.Sprintf("append %v %t", result.Events, result.Repeated), err
}

func (w *world) open(ctx context.Context) (string, error) {
	w.opened++
	o := all(fmt.Sprintf("case %d", w.opened))
	o.Purpose = []string{"all", "all", "support", "newsletter", "keep", "", "unknown"}[w.random.IntN(7)]
	if w.random.IntN(3) == 0 {
		o.Actor = event.Actor{Kind: "clerk", ID: stem + "-clerk-1"}
	}
	events, err := w.process.opened(ctx, o)
	return "open " + o.Purpose + shown(events), err
}

// shown is what events show, one a line. Where " | " stands, the order depends on aliases.
func shown(events []event.Event) string {
	var b strings.Builder
	for i := range events {
		e := &events[i]
		fmt.Fprintf(&b, "\n%d %s %s %d %s %v", e.Position, e.Stream, e.Type, e.Version, e.Data, e.Metadata)
		for _, r := range e.Relations {
			fmt.Fprintf(&b, " | relation %s %s/%s", r.Role, r.Kind, r.ID)
		}
		for _, n := range e.Names {
			fmt.Fprintf(&b, " | name %s %s/%s", n.KRID, n.Kind, n.Ref)
		}
		for _, x := range e.Withheld {
			fmt.Fprintf(&b, " | withheld %s %s %s %s", x.Path, x.Group, x.Reason, x.Receipt)
		}
	}
	return b.String()
}

// say records something about a person, who may be unknown.
func (w *world) say(ctx context.Context, n int, what func(event.KRID) policy.Record) (event.ID, error) {
	w.said++
	id := event.ID{byte(w.said >> 8), byte(w.said), 0xff, 8: 0x80}
	krid, err := w.Privacy().Subject(ctx, "customer", who(n))
	if err == nil {
		_, err = w.Privacy().Record(ctx, event.Actor{}, id, what(krid))
	}
	return id, err
}

func (w *world) restrict(ctx context.Context) (string, error) {
	n, groups := w.person(), [][]string{nil, {"identity"}, {"contact"}, {"finance", "reference"}}[w.random.IntN(4)]
	id, err := w.say(ctx, n, func(krid event.KRID) policy.Record {
		return policy.SubjectRestricted{Principal: krid, Groups: groups, Ground: policy.AccuracyContested}
	})
	if err == nil {
		w.restricted[n] = append(w.restricted[n], id)
	}
	return fmt.Sprintf("restrict %d %v ", n, groups), err
}

func (w *world) release(ctx context.Context) (string, error) {
	n := w.person()
	if len(w.restricted[n]) == 0 {
		return "nothing", nil
	}
	id := w.restricted[n][0]
	w.restricted[n] = w.restricted[n][1:]
	_, err := w.say(ctx, n, func(krid event.KRID) policy.Record {
		return policy.RestrictionReleased{Principal: krid, Restriction: id, Ground: "resolved"}
	})
	return fmt.Sprintf("release %d ", n), err
}

func (w *world) consent(ctx context.Context) (string, error) {
	n, state := w.person(), []policy.ConsentAnswer{policy.Given, policy.Given, policy.Refused}[w.random.IntN(3)]
	_, err := w.say(ctx, n, func(krid event.KRID) policy.Record {
		return policy.ConsentRecorded{Principal: krid, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent,
			Notice: policy.Notice{Version: "3", Language: "en"}, Method: "web-form", At: w.site.clock.Now(), State: state}
	})
	return fmt.Sprintf("consent %d %s ", n, state), err
}

func (w *world) withdraw(ctx context.Context) (string, error) {
	n := w.person()
	_, err := w.say(ctx, n, func(krid event.KRID) policy.Record {
		return policy.ConsentWithdrawn{Principal: krid, Purposes: []string{"newsletter"}, At: w.site.clock.Now()}
	})
	return fmt.Sprintf("withdraw %d ", n), err
}

func (w *world) object(ctx context.Context) (string, error) {
	n := w.person()
	_, err := w.say(ctx, n, func(krid event.KRID) policy.Record {
		return policy.ObjectionRecorded{Principal: krid, Marketing: true, At: w.site.clock.Now()}
	})
	return fmt.Sprintf("object %d ", n), err
}

func (w *world) roll(ctx context.Context) (string, error) {
	if _, err := w.Head(ctx); err != nil || len(w.written) == 0 {
		return "nothing", err
	}
	rolled, err := w.Keeper().Roll(ctx, nil)
	return fmt.Sprintf("roll %d ", rolled.Epoch), err
}

func (w *world) wait(context.Context) (string, error) {
	w.site.clock.(*stepClock).step(20 * 60e9)
	return "wait", nil
}

func (w *world) again(ctx context.Context) (string, error) { return "reopen ", w.reopen(ctx) }

// finish tells all that is in the log without a purpose, the map of every person, and all uses.
func (w *world) finish(ctx context.Context) error {
	events, err := w.process.opened(ctx, event.Opening{})
	if err != nil {
		return err
	}
	answer := "in the end" + shown(events)
	for n := range programmePeople {
		krid, err := w.Privacy().Subject(ctx, "customer", who(n))
		if err == nil {
			f, mapped := w.Privacy().Map(ctx, krid, nil)
			answer += fmt.Sprintf("\nmap %d %d %v %v", n, f.Events, f.Holdings, f.Roles)
			err = mapped
		}
		answer += event.Code(err)
	}
	uses, err := w.keys.PageUses(ctx, storage.UseQuery{Limit: 1000})
	if err != nil {
		return err
	}
	if !uses.Done {
		return fmt.Errorf("more uses than fit on a page")
	}
	for _, u := range uses.Uses {
		answer += fmt.Sprintf("\nuse %d %d %s %s %q %q", u.Number, u.At, u.Actor, u.Purpose, u.Reason, u.Code)
		for _, x := range u.Entries {
			answer += fmt.Sprintf(" | %s %s %d %d %d", x.KRID, x.Group, x.Count, x.First, x.Last)
		}
	}
	if answer, err = w.readable(ctx, answer); err == nil {
		w.told = append(w.told, answer)
	}
	return err
}
