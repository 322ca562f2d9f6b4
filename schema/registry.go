package schema

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lethe-es/lethe/event"
)

// StreamName is the id of the stream, of kind lethe, that holds schemas.
const StreamName = "schemas"

// The system events of that stream.
const (
	TypePushed   = event.SystemKind + ".SchemaPushed"
	TypeDemanded = event.SystemKind + ".SchemaDemanded"
)

// Registry is what the stream lethe/schemas says. Reading it takes no lock: who asks while an event is applied gets the
// answer from before or from after it.
type Registry struct {
	cache *cache
	mu    sync.Mutex // one Apply at a time
	now   atomic.Pointer[state]
}

// state is a registry at one moment; it is never changed.
type state struct {
	types  map[string][]*Version
	ids    map[event.SchemaID]*Version
	demand bool
}

// NewRegistry is an empty registry, for schemas in these notations.
func NewRegistry(notations ...Notation) *Registry {
	r := &Registry{cache: &cache{notations: map[string]Notation{}, languages: map[string]Language{}}}
	for _, n := range notations {
		r.cache.notations[n.Name()] = n
	}
	r.now.Store(&state{types: map[string][]*Version{}, ids: map[event.SchemaID]*Version{}})
	return r
}

// With gives an empty registry the languages of upcasters that it can run, and is the registry.
func (r *Registry) With(languages ...Language) *Registry {
	for _, l := range languages {
		r.cache.languages[l.Name()] = l
	}
	return r
}

// Apply learns an event. Events of other streams are none of its business; an event of its own stream that it does not
// understand is event.ErrFormat, and one that cannot be is event.ErrCorrupt. The same event may come again.
func (r *Registry) Apply(e *event.Event) error {
	if e.Stream != event.Stream(event.SystemKind, StreamName) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Type {
	case TypePushed:
		v, err := ParsePushed(e.Data)
		if err != nil {
			return err
		}
		return r.add(v)
	case TypeDemanded:
		demand, err := parseDemanded(e.Data)
		if err != nil {
			return err
		}
		next := *r.now.Load()
		next.demand = demand
		r.now.Store(&next)
		return nil
	}
	return unknown("apply event %d of stream %s: unknown type %q", e.Position, e.Stream, e.Type)
}

func unknown(format string, args ...any) error {
	e := event.Errorf(event.ErrFormat, format, args...)
	return e.Hint("use the version of the program that wrote it, or a newer one")
}

func (r *Registry) add(v *Version) error {
	if r.cache.notations[v.Notation] == nil {
		return unknown("apply schema %d of %q: this program does not know the notation %q", v.Number, v.Type, v.Notation)
	}
	old := r.now.Load()
	if known := old.ids[v.ID]; known != nil {
		if known.Type == v.Type && known.Number == v.Number {
			return nil
		}
		return event.Errorf(event.ErrCorrupt, "apply schema %d of %q: it is the same as number %d",
			v.Number, v.Type, known.Number)
	}
	if want := len(old.types[v.Type]) + 1; v.Number != want {
		return event.Errorf(event.ErrCorrupt, "apply schema %d of %q: want number %d", v.Number, v.Type, want)
	}
	v.cache = r.cache
	next := &state{types: maps.Clone(old.types), ids: maps.Clone(old.ids), demand: old.demand}
	next.types[v.Type] = append(slices.Clip(old.types[v.Type]), v)
	next.ids[v.ID] = v
	r.now.Store(next)
	return nil
}

// Current is the newest version of an event type's schema, or nil.
func (r *Registry) Current(typ string) *Version {
	list := r.now.Load().types[typ]
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1]
}

// Version is the version with a fingerprint, or nil.
func (r *Registry) Version(id event.SchemaID) *Version { return r.now.Load().ids[id] }

// Types are the event types that have a schema, sorted.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.now.Load().types)) }

// Versions are the versions of an event type's schema, the oldest first.
func (r *Registry) Versions(typ string) []*Version { return slices.Clone(r.now.Load().types[typ]) }

// Demand reports whether the store takes no event whose type has no schema.
func (r *Registry) Demand() bool { return r.now.Load().demand }

// Next is the version that pushing v makes: with number and fingerprint, and compiled. Type, Notation, Text, Options
// and Upcaster of v count. A schema that the type has already is event.ErrConflict with code schema_known. An upcaster
// that does not compile is event.ErrInvalid with code upcaster_invalid.
func (r *Registry) Next(v *Version) (*Version, error) {
	if r.cache.notations[v.Notation] == nil {
		return nil, event.Invalid("schema_invalid", "check schema of %q: unknown notation %q", v.Type, v.Notation).
			Hint("known are %q", slices.Sorted(maps.Keys(r.cache.notations)))
	}
	if strings.HasPrefix(v.Type, event.SystemKind+".") {
		return nil, event.Invalid("schema_invalid", "check schema of %q: types of Lethe's own events take none", v.Type)
	}
	next := &Version{
		Type: v.Type, Notation: v.Notation, Text: slices.Clone(v.Text), Options: v.Options, Upcaster: v.Upcaster,
		cache: r.cache,
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	next.ID = next.Fingerprint()
	now := r.now.Load()
	if known := now.ids[next.ID]; known != nil {
		return nil, &event.Error{Sentinel: event.ErrConflict, Code: "schema_known",
			Message: "push schema of " + v.Type + ": the store has it already", Next: "nothing is to be done"}
	}
	next.Number = len(now.types[v.Type]) + 1
	if _, err := next.Plan(); err != nil {
		return next, err
	}
	return next, next.checkUpcaster(r.Current(v.Type))
}
