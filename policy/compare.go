package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Effect is what a change of a document does.
type Effect string

// The effects.
const (
	Narrows Effect = "narrows" // less may be held or opened
	Widens  Effect = "widens"  // more may be held or opened
	Alters  Effect = "alters"  // something else is different, or both
	Breaks  Effect = "breaks"  // it is refused: what is stored could not be read, or not be justified, any more
)

// Change is one difference between two documents.
type Change struct {
	Place  string
	Effect Effect
	Text   string
}

// Compare says what setting another document does, by place. Used are the names of kinds, groups and retention classes
// on which stored data may depend. A change that Breaks is not to be made. Nil documents are empty.
func Compare(old, next *Document, used []string) []Change {
	c := comparison{old: orEmpty(old), next: orEmpty(next), used: map[string]bool{}}
	for _, name := range used {
		c.used[name] = true
	}
	c.kinds()
	c.groups()
	c.classes()
	c.purposes()
	parties(c.add, "controllers", c.old.Controllers, c.next.Controllers)
	parties(c.add, "processors", c.old.Processors, c.next.Processors)
	parties(c.add, "collections", c.old.Collections, c.next.Collections)
	c.metadata()
	c.rules()
	slices.SortStableFunc(c.changes, func(a, b Change) int { return cmp.Compare(a.Place, b.Place) })
	return c.changes
}

func orEmpty(d *Document) *Document {
	if d == nil {
		return &Document{Version: DocumentVersion}
	}
	return d
}

type comparison struct {
	old, next *Document
	used      map[string]bool
	changes   []Change
}

func (c *comparison) add(place string, e Effect, format string, args ...any) {
	c.changes = append(c.changes, Change{place, e, fmt.Sprintf(format, args...)})
}

type add func(place string, e Effect, format string, args ...any)

// both are the names of two sections, sorted.
func both[T any](a, b map[string]T) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// parties compares entries that neither widen nor narrow.
func parties[T any](say add, place string, old, next map[string]T) {
	for _, name := range both(old, next) {
		a, was := old[name]
		b, is := next[name]
		switch here := within(place, name); {
		case !was:
			say(here, Alters, "it is new")
		case !is:
			say(here, Alters, "it is gone")
		case !reflect.DeepEqual(a, b):
			say(here, Alters, "it is changed")
		}
	}
}

func (c *comparison) kinds() {
	for _, name := range both(c.old.Kinds, c.next.Kinds) {
		place, a, b := within("kinds", name), c.old.Kinds[name], c.next.Kinds[name]
		_, was := c.old.Kinds[name]
		_, is := c.next.Kinds[name]
		switch {
		case a.Person && !b.Person && c.used[name]:
			c.add(place, Breaks, "persons of this kind are stored under aliases; it stays one of persons")
		case a.Person && !b.Person:
			c.add(place, Widens, "it is no kind of persons any more: references to it are stored in clear")
		case !a.Person && b.Person && c.used[name]:
			c.add(place, Breaks, "references of this kind are stored in clear; as one of persons they would not be found")
		case !a.Person && b.Person:
			c.add(place, Narrows, "it is a kind of persons: references to it are stored as aliases")
		case a.Person && normalise(a) != normalise(b) && c.used[name]:
			c.add(place+".normalise", Breaks, "stored references would not be found by another form of normalisation")
		case !is:
			c.add(place, Narrows, "it is gone: actors of this kind open nothing")
		case !was:
			c.add(place, Alters, "it is new")
		case a != b:
			c.add(place, Alters, "it is changed")
		}
	}
}

func normalise(k Kind) Normalise { return cmp.Or(k.Normalise, Exact) }

func (c *comparison) groups() {
	before, after := coverage(c.old), coverage(c.next)
	for _, name := range both(c.old.Groups, c.next.Groups) {
		place := within("groups", name)
		a, was := c.old.Groups[name]
		b, is := c.next.Groups[name]
		switch {
		case !is && c.used[name]:
			c.add(place, Breaks, "personal data is stored in the group; it stays declared")
		case !is:
			c.add(place, Narrows, "it is gone")
		case !after[name] && c.used[name] && (before[name] || !was):
			c.add(place, Breaks, "personal data is stored in the group, and no purpose would cover it; erase the data first")
		case !after[name] && (before[name] || !was):
			c.add(place, Narrows, "no purpose covers it: nothing can be stored in it")
		case !was:
			c.add(place, Widens, "it is new, and covered")
		case !before[name] && after[name]:
			c.add(place, Widens, "a purpose covers it now")
		case a.Undisclosed && !b.Undisclosed:
			c.add(place, Widens, "that it exists is disclosed")
		case !a.Undisclosed && b.Undisclosed:
			c.add(place, Narrows, "that it exists is not disclosed any more")
		case a != b:
			c.add(place, Alters, "it is changed")
		}
	}
}

// coverage says which groups some purpose covers.
func coverage(d *Document) map[string]bool {
	covered := map[string]bool{}
	for _, u := range d.Purposes {
		for _, g := range u.Groups {
			covered[g] = true
		}
	}
	return covered
}

// Uncovered lists the groups that no purpose covers, by name: nothing can be stored in them.
func (d *Document) Uncovered() []string {
	covered := coverage(d)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d.Groups)), func(g string) bool { return covered[g] })
}

func (c *comparison) classes() {
	for _, name := range both(c.old.Retention, c.next.Retention) {
		place := within("retention", name)
		a, was := c.old.Retention[name]
		b, is := c.next.Retention[name]
		switch {
		case !was:
			c.add(place, Alters, "it is new")
		case !is && c.used[name]:
			c.add(place, Breaks, "personal data is stored under the class; it stays declared")
		case !is:
			c.add(place, Alters, "it is gone")
		case (a.Triggered == "") != (b.Triggered == "") && c.used[name]:
			c.add(place, Breaks, "what is stored keeps its end; declare another class for another kind of end")
		case a != b:
			c.add(place, Alters, "it is changed; what is stored keeps the end it was given")
		}
	}
}

func (c *comparison) purposes() {
	for _, name := range both(c.old.Purposes, c.next.Purposes) {
		place := within("purposes", name)
		a, was := c.old.Purposes[name]
		b, is := c.next.Purposes[name]
		switch {
		case !was:
			c.add(place, Widens, "it is new")
		case !is:
			c.add(place, Narrows, "it is gone: nothing opens for it")
		default:
			c.purpose(place, a, b)
		}
	}
}

func (c *comparison) purpose(place string, a, b Purpose) {
	for _, g := range b.Groups {
		if !slices.Contains(a.Groups, g) {
			c.add(place+".groups", Widens, "it covers group %s now", g)
		}
	}
	for _, g := range a.Groups {
		if !slices.Contains(b.Groups, g) {
			c.add(place+".groups", Narrows, "it does not cover group %s any more", g)
		}
	}
	switch {
	case a.Basis == b.Basis:
	case a.Basis == Consent:
		c.add(place+".basis", Widens, "from consent to %s: consents and withdrawals do not count any more", b.Basis)
	case b.Basis == Consent:
		c.add(place+".basis", Narrows, "from %s to consent: persons are asked for it", a.Basis)
	default:
		c.add(place+".basis", Alters, "from %s to %s", a.Basis, b.Basis)
	}
	c.flag(place+".marketing", a.Marketing, b.Marketing, Narrows)
	c.flag(place+".exempt_from_restriction", a.Exempt, b.Exempt, Widens)
	c.flag(place+".children", a.Children, b.Children, Widens)
	c.flag(place+".renew", a.Renew, b.Renew, Narrows)
	c.flag(place+".undisclosed", a.Undisclosed, b.Undisclosed, Narrows)
	if b.Renew && a.Notice != b.Notice {
		c.add(place+".notice", Narrows, "consents to other versions of the notice do not count any more")
		b.Notice = a.Notice
	}
	if b.Special != a.Special {
		c.add(place+".special", Alters, "it stands on another condition of Article 9(2)")
	}
	b.Groups, b.Basis, b.Marketing, b.Exempt, b.Special = a.Groups, a.Basis, a.Marketing, a.Exempt, a.Special
	b.Children, b.Renew, b.Undisclosed = a.Children, a.Renew, a.Undisclosed
	if !reflect.DeepEqual(a, b) {
		c.add(place, Alters, "it is changed")
	}
}

// flag compares one flag, of which on has an effect and off the opposite.
func (c *comparison) flag(place string, a, b bool, on Effect) {
	off := Widens
	if on == Widens {
		off = Narrows
	}
	switch {
	case b && !a:
		c.add(place, on, "it is set")
	case a && !b:
		c.add(place, off, "it is not set any more")
	}
}

func (c *comparison) metadata() {
	for _, key := range both(c.old.Metadata, c.next.Metadata) {
		place := within("metadata", key)
		a, was := c.old.Metadata[key]
		b, is := c.next.Metadata[key]
		switch {
		case !was:
			c.add(place, Narrows, "its values are sealed from now on")
		case !is:
			c.add(place, Widens, "its values are stored in clear from now on")
		case a != b:
			c.add(place, Alters, "it is changed")
		}
	}
}

func (c *comparison) rules() {
	if !slices.Equal(c.old.Reasons, c.next.Reasons) {
		c.add("reasons", Alters, "the list is changed")
	}
	if !bytes.Equal(c.old.Entities, c.next.Entities) {
		c.add("entities", Alters, "they are changed: review who may open what")
	}
	if c.old.Rules != c.next.Rules {
		c.add("rules", Alters, "they are changed: review who may open what")
	}
}
