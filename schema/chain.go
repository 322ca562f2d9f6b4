package schema

import (
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
)

// Chain leads from one version of a type's schema to the present one.
type Chain struct{ versions []*Version }

// Chain is the way from a version to the present one of its type, as of now. A fingerprint that no event has told of is
// event.ErrCorrupt.
func (r *Registry) Chain(from event.SchemaID) (*Chain, error) {
	now := r.now.Load()
	first := now.ids[from]
	if first == nil {
		return nil, event.Errorf(event.ErrCorrupt, "upcast: schema %s is not in the log", from)
	}
	return &Chain{now.types[first.Type][first.Number-1:]}, nil
}

// Present is the version that a chain leads to.
func (c *Chain) Present() *Version { return c.versions[len(c.versions)-1] }

// Done reports whether a chain begins where it ends.
func (c *Chain) Done() bool { return len(c.versions) == 1 }

// Upcast brings data to the present version. It is data as a reader sees it: personal values are there or null stands
// for them; paths are those of values that are withheld, and null. What no upcaster stands before passes as it is. The
// answer has new paths in the order of the old, empty where a value was dropped.
//
// No upcaster sees a personal value, whether it is withheld or not, and each that is kept has to come where the
// version after declares something personal: event.ErrInvalid with code upcast_failed otherwise.
func (c *Chain) Upcast(data []byte, paths []string) ([]byte, []string, error) {
	paths = slices.Clone(paths)
	for i, next := range c.versions[1:] {
		u, err := next.upcaster()
		if err != nil {
			return nil, nil, err
		}
		if u == nil {
			continue
		}
		if data, err = step(u, c.versions[i], next, data, paths); err != nil {
			return nil, nil, err
		}
	}
	return data, paths, nil
}

// step brings data from one version to the one after; paths are changed in place.
func step(u *Upcaster, before, next *Version, data []byte, paths []string) ([]byte, error) {
	from, err := before.Plan()
	if err != nil {
		return nil, err
	}
	to, err := next.Plan()
	if err != nil {
		return nil, err
	}
	if from.Format() != event.JSON || to.Format() != event.JSON {
		return nil, event.Errorf(event.ErrUnsupported, "upcast by %s: only data in JSON is upcast", u.Name)
	}
	var f Findings
	if len(data) > 0 {
		if err := from.Locate(data, &f); err != nil {
			return nil, err
		}
		f.References = nil // aliases: they stay
		if data, _, err = from.Cut(data, &f, nil, nil); err != nil {
			return nil, err
		}
	}
	values := len(f.Values)
	f.Values = append(f.Values, lost(&f, paths)...)
	after, moved, err := u.Upcast(data, &f)
	if err != nil {
		return nil, err
	}
	went := make(map[string]Moved, len(moved))
	declared := to.Marks()
	for _, m := range moved {
		went[m.From] = m
		if m.Hole != NoHole && !declares(declared, m.To) {
			return nil, event.Invalid("upcast_failed", "upcast by %s: a personal value comes where nothing is personal", u.Name)
		}
	}
	var back []Filling
	for i := range f.Values[:values] {
		v := &f.Values[i]
		if m, there := went[v.Path]; there && m.Hole != NoHole {
			back = append(back, Filling{Path: m.To, Hole: m.Hole, State: v.State, Bytes: v.Bytes})
		}
	}
	follow(paths, went)
	return to.Fill(after, back)
}

// lost are values that are withheld and that the version does not know as values: it declares what is in them.
func lost(f *Findings, paths []string) (list []Value) {
	for _, path := range paths {
		within := func(v Value) bool { return v.State != ledger.Absent && (v.Path == path || below(path, v.Path)) }
		if path != "" && !slices.ContainsFunc(f.Values, within) {
			list = append(list, Value{Path: path, State: ledger.Null})
		}
	}
	return list
}

// follow changes paths as the values went that they are of, or are part of.
func follow(paths []string, went map[string]Moved) {
	for i, path := range paths {
		at := path
		for at != "" {
			if m, ok := went[at]; ok {
				paths[i] = ""
				if m.Hole != NoHole {
					paths[i] = m.To + path[len(at):]
				}
				break
			}
			at = at[:strings.LastIndexByte(at, '/')]
		}
	}
}

// declares reports whether a place, something in it, or what it is in is personal.
func declares(places []Place, path string) bool {
	steps := strings.Split(path, "/")
	return slices.ContainsFunc(places, func(p Place) bool {
		if p.Mark == nil {
			return false
		}
		declared := strings.Split(p.Path, "/")
		for i := range min(len(steps), len(declared)) {
			if declared[i] != "*" && declared[i] != steps[i] {
				return false
			}
		}
		return true
	})
}
