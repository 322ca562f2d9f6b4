package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// program is who reads in this demonstration: a program of the bank that the policy lets open what a loan needs.
var program = event.Actor{Kind: "service", ID: "loans"}

// ticket is the reason that is given for support.
const ticket = "ticket 7"

// reveal shows one registration as the log keeps it, then what a purpose makes of it, and who is noted to have read it.
func (t *tour) reveal(ctx context.Context) error {
	start := t.clock.Now()
	life := t.interesting()
	raw, err := t.store.As(program).Event(ctx, life.Steps[0].Draft.ID)
	if err != nil {
		return err
	}
	opened, err := t.store.As(program).For("support", ticket).Event(ctx, raw.ID)
	if err != nil {
		return err
	}
	t.say("sealed", start, "%d values about who registered %s: %s", len(raw.Withheld), life.Stream, groups(&raw))
	fmt.Fprintln(t.w)
	t.print("in the log", raw.Data)
	t.print("for support", opened.Data)
	fmt.Fprintln(t.w)
	return t.uses(ctx, life)
}

// print shows the data of an event.
func (t *tour) print(who string, text []byte) { fmt.Fprintf(t.w, "  %-11s  %s\n", who, text) }

// groups lists the groups of the personal values that an event does not show.
func groups(e *event.Event) string {
	seen := make(map[string]bool)
	for _, w := range e.Withheld {
		seen[w.Group] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}

// customer is the alias of who made an application.
func (t *tour) customer(ctx context.Context, life *demo.Life) (event.KRID, error) {
	return t.store.Privacy().Subject(ctx, demo.Customer, demo.Applicant(life.Stream.ID).Reference)
}

// uses shows who read what of an applicant.
func (t *tour) uses(ctx context.Context, life *demo.Life) error {
	start := t.clock.Now()
	krid, err := t.customer(ctx, life)
	if err != nil {
		return err
	}
	page, err := t.store.Privacy().Uses(ctx, storage.UseQuery{KRID: krid, Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Uses) == 0 {
		return event.Errorf(event.ErrCorrupt, "read uses: what was opened is not recorded")
	}
	use := page.Uses[0]
	var opened []string
	for _, entry := range use.Entries {
		opened = append(opened, entry.Group)
	}
	t.say("uses", start, "noted before it was shown: %s/%s, %s, %s: %s", use.Actor.Kind, use.Actor.ID,
		use.Purpose, use.Reason, strings.Join(opened, ", "))
	return nil
}

// restrict restricts the processing of an applicant's data, which holds at once.
func (t *tour) restrict(ctx context.Context) error {
	start := t.clock.Now()
	life := &t.lives[len(t.lives)-1]
	id := life.Steps[0].Draft.ID
	before, err := t.email(ctx, id)
	if err != nil {
		return err
	}
	krid, err := t.customer(ctx, life)
	if err != nil {
		return err
	}
	id[len(id)-4] ^= 0xff // an id that stays the same, so that nothing is added when this runs again
	record := policy.SubjectRestricted{Principal: krid, Ground: policy.AccuracyContested, Case: "C-17"}
	if _, err := t.store.Privacy().Record(ctx, program, id, record); err != nil {
		return err
	}
	after, err := t.email(ctx, life.Steps[0].Draft.ID)
	if err != nil {
		return err
	}
	t.say("restrict", start, "e-mail address of who registered %s: %s, then %s", life.Stream, before, after)
	return nil
}

// email tells whether support sees the e-mail address in a registration, or why not.
func (t *tour) email(ctx context.Context, id event.ID) (string, error) {
	e, err := t.store.As(program).For("support", ticket).Event(ctx, id)
	if err != nil {
		return "", err
	}
	for _, w := range e.Withheld {
		if w.Path == "/email" {
			return string(w.Reason), nil
		}
	}
	return "opened", nil
}

// name replaces the aliases of employees by their numbers, as far as the policy lets the bank's program.
func (t *tour) name(ctx context.Context, s Summary) (Summary, error) {
	o := event.Opening{Actor: program, Purpose: "staffing"}
	s.Busiest = append([]Employee(nil), s.Busiest...)
	for i := range s.Busiest {
		krid, err := event.ParseKRID(s.Busiest[i].Number)
		if err != nil {
			return s, err
		}
		person, err := t.store.Privacy().Person(ctx, o, krid)
		if err != nil {
			return s, err
		}
		for _, n := range person.Names {
			s.Busiest[i].Number = n.Ref
		}
	}
	return s, nil
}

// system is the alias of the bank's own program.
func (t *tour) system(ctx context.Context) (string, error) {
	krid, err := t.store.Privacy().Subject(ctx, demo.Employee, string(demo.System))
	return krid.String(), err
}

// search looks for the e-mail addresses of applicants in every file of the closed store. What is known to be there in
// clear must be found, or it looked at nothing.
func (t *tour) search(context.Context) error {
	start := t.clock.Now()
	files, size, found, clear := 0, 0, 0, 0
	err := filepath.WalkDir(t.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files, size = files+1, size+len(content)
		found += t.addresses(content)
		clear += bytes.Count(content, []byte(demo.Registered))
		return err
	})
	if err != nil {
		return fmt.Errorf("search the files of the store: %w", err)
	}
	if found > 0 || clear == 0 {
		return event.Errorf(event.ErrCorrupt, "search the files of the store: %d e-mail addresses, %d event types in clear",
			found, clear)
	}
	t.say("search", start, "%s bytes in %d files of the store: no applicant's e-mail address",
		thousands(size), files)
	return nil
}

// addresses counts e-mail addresses of applicants.
func (t *tour) addresses(content []byte) (n int) {
	if !bytes.Contains(content, []byte(domain)) {
		return 0
	}
	for i := range t.lives {
		n += bytes.Count(content, []byte(demo.Applicant(t.lives[i].Stream.ID).Email))
	}
	return n
}

// domain ends every address of an applicant.
const domain = "@example.org"

// shown is the employee who issued an event, by number where the reader may know it.
func shown(e *event.Event) string {
	alias := issuerOf(e)
	for _, n := range e.Names {
		if n.KRID.String() == alias {
			return n.Ref
		}
	}
	return alias
}

// staffing is a session that sees who did what.
func (t *tour) staffing() *lethe.Session { return t.store.As(program).For("staffing", "") }
