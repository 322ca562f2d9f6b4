package token_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/token"
	"pgregory.net/rapid"
)

func TestScopeValidate(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	for name, c := range map[string]struct {
		scope token.Scope
		sound bool
	}{
		"read":                  {token.Scope{Read: true}, true},
		"append":                {token.Scope{Append: true}, true},
		"admin":                 {token.Scope{Admin: true}, true},
		"open":                  {token.Scope{Open: true}, true},
		"open of kinds":         {token.Scope{Read: true, Open: true, Kinds: []string{"application"}}, true},
		"everything":            {token.Scope{Read: true, Append: true, Admin: true, Open: true}, true},
		"kinds":                 {token.Scope{Read: true, Kinds: []string{"application", "a.b:c"}}, true},
		"the most kinds":        {token.Scope{Read: true, Kinds: many[1:]}, true},
		"no kinds, not nil":     {token.Scope{Admin: true, Kinds: []string{}}, true},
		"nothing":               {token.Scope{}, false},
		"kinds alone":           {token.Scope{Kinds: []string{"application"}}, false},
		"admin of kinds":        {token.Scope{Admin: true, Kinds: []string{"application"}}, false},
		"admin too of kinds":    {token.Scope{Read: true, Admin: true, Kinds: []string{"application"}}, false},
		"too many kinds":        {token.Scope{Read: true, Kinds: many}, false},
		"an empty kind":         {token.Scope{Read: true, Kinds: []string{"a", ""}}, false},
		"a kind with a slash":   {token.Scope{Read: true, Kinds: []string{"a/b"}}, false},
		"every kind by a star":  {token.Scope{Read: true, Kinds: []string{"*"}}, false},
		"Lethe's own":           {token.Scope{Read: true, Kinds: []string{"lethe"}}, false},
		"a kind twice":          {token.Scope{Read: true, Kinds: []string{"a", "b", "a"}}, false},
		"a kind with a newline": {token.Scope{Append: true, Kinds: []string{"a\n"}}, false},
	} {
		err := c.scope.Validate()
		if (err == nil) != c.sound {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!errors.Is(err, event.ErrInvalid) || event.Code(err) != "malformed_scope") {
			t.Errorf("%s: code %s of %v", name, event.Code(err), err)
		}
	}
}

var (
	kinds   = rapid.SampledFrom([]string{"a", "b", "c", "d", "lethe"})
	ids     = rapid.SampledFrom([]string{"1", "2"})
	types   = rapid.SampledFrom([]string{"T", "U"})
	streams = rapid.Custom(func(t *rapid.T) event.StreamID {
		return event.Stream(kinds.Draw(t, "kind"), ids.Draw(t, "id"))
	})
	matches = rapid.Custom(func(t *rapid.T) event.Match {
		m := event.Match{
			Types: rapid.SliceOfN(types, 0, 2).Draw(t, "types"),
			Kinds: rapid.SliceOfN(kinds, 0, 3).Draw(t, "kinds"),
		}
		if rapid.IntRange(0, 2).Draw(t, "of one stream") == 0 {
			m.Stream = streams.Draw(t, "stream")
		}
		if rapid.IntRange(0, 3).Draw(t, "of one operation") == 0 {
			m.Correlation = "op"
		}
		return m
	})
	filters = rapid.SliceOfN(matches, 0, 4)
	scopes  = rapid.Custom(func(t *rapid.T) token.Scope {
		s := token.Scope{Read: true}
		s.Kinds = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "kinds")
		return s
	})
)

// everyEvent is one event of each stream, type and operation the filters above can tell apart.
func everyEvent(visit func(e *event.Event)) {
	for _, kind := range []string{"a", "b", "c", "d", "lethe"} {
		for _, id := range []string{"1", "2", "3"} {
			for _, typ := range []string{"T", "U", "V"} {
				for _, correlation := range []string{"", "op"} {
					d := event.Draft{Type: typ, Correlation: correlation}
					visit(&event.Event{Stream: event.Stream(kind, id), Draft: d})
				}
			}
		}
	}
}

// TestNarrow holds that a narrowed filter means what the filter means among allowed kinds: no more, and no less.
func TestNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, f := scopes.Draw(t, "scope"), event.Filter(filters.Draw(t, "filter"))
		before := fmt.Sprintf("%#v", f)
		narrow, some := s.Narrow(f)
		everyEvent(func(e *event.Event) {
			want := f.Matches(e) && s.AllowsKind(e.Stream.Kind)
			if got := some && narrow.Matches(e); got != want {
				t.Errorf("%s in %#v: %t instead of %t", e.Stream, narrow, got, want)
			}
		})
		if !some && len(narrow) > 0 || len(s.Kinds) > 0 && some && len(narrow) == 0 {
			t.Errorf("some is %t of %#v", some, narrow)
		}
		if got := fmt.Sprintf("%#v", f); got != before {
			t.Errorf("the filter was changed to %s", got)
		}
		if some && !s.Covers(narrow) {
			t.Errorf("what was narrowed is not covered: %#v", narrow)
		}
		if err := narrow.Validate(); err != nil {
			t.Errorf("narrowed %#v: %v", narrow, err)
		}
	})
}

// TestCovers holds that a covered filter means no event of another kind, and is what Narrow leaves as it is.
func TestCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, f := scopes.Draw(t, "scope"), event.Filter(filters.Draw(t, "filter"))
		covered := s.Covers(f)
		everyEvent(func(e *event.Event) {
			if covered && f.Matches(e) && !s.AllowsKind(e.Stream.Kind) {
				t.Errorf("%#v is covered, and means %s", f, e.Stream)
			}
		})
		if narrow, some := s.Narrow(f); covered && (!some || cmp.Diff(f, narrow) != "") {
			t.Errorf("%#v is covered, and narrowed to %#v", f, narrow)
		}
	})
}

func TestCoversByExample(t *testing.T) {
	limited := token.Scope{Append: true, Kinds: []string{"a", "b"}}
	a, c := event.Stream("a", "1"), event.Stream("c", "1")
	for name, x := range map[string]struct {
		filter event.Filter
		want   bool
	}{
		"an allowed kind":             {event.Filter{{Kinds: []string{"a"}}}, true},
		"all allowed kinds":           {event.Filter{{Kinds: []string{"b", "a"}, Types: []string{"T"}}}, true},
		"an allowed stream":           {event.Filter{{Stream: a}}, true},
		"a stream, a kind":            {event.Filter{{Stream: a}, {Kinds: []string{"b"}}}, true},
		"nothing named":               {nil, false},
		"everything":                  {event.Filter{{}}, false},
		"a type":                      {event.Filter{{Types: []string{"T"}}}, false},
		"another kind":                {event.Filter{{Kinds: []string{"c"}}}, false},
		"another kind beside":         {event.Filter{{Kinds: []string{"a", "c"}}}, false},
		"another stream":              {event.Filter{{Stream: c}}, false},
		"another stream of a kind":    {event.Filter{{Stream: c, Kinds: []string{"a"}}}, false},
		"another alternative":         {event.Filter{{Stream: a}, {Kinds: []string{"c"}}}, false},
		"an alternative for anything": {event.Filter{{Stream: a}, {}}, false},
		"Lethe's own":                 {event.Filter{{Kinds: []string{event.SystemKind}}}, false},
	} {
		if got := limited.Covers(x.filter); got != x.want {
			t.Errorf("%s: %t", name, got)
		}
		if !(token.Scope{Append: true}).Covers(x.filter) {
			t.Errorf("%s is not covered by all kinds", name)
		}
	}
}
