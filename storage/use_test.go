package storage_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/storage"
)

// anna and bob are persons.
var anna, bob = event.KRID{0: 0x0a, 15: 1}, event.KRID{0: 0xb0, 15: 2}

func exampleUse() storage.Use {
	return storage.Use{
		At: 1_700_000_000_000_000, Actor: event.Actor{Kind: "employee", ID: "7"}, Purpose: "support",
		Reason: "ticket 42", Words: []byte{1, 2, 3}, Code: "desk 1.4", Entries: []storage.UseEntry{
			{KRID: anna, Group: "contact", Count: 1, First: 300, Last: 300},
			{KRID: anna, Group: "identity", Count: 200, First: 299, Last: 600},
			{KRID: bob, Group: "contact", Count: 2, First: 310, Last: 311},
		},
	}
}

// TestUseExample lays a use out by hand, from the page and not from the code.
func TestUseExample(t *testing.T) {
	var all []byte
	var page strings.Builder
	part := func(label string, b ...byte) {
		all = append(all, b...)
		fmt.Fprintf(&page, "%-34s  %s\n", hex.EncodeToString(b), label)
	}
	text := func(label, s string) { part(fmt.Sprintf("%s %q", label, s), append([]byte{byte(len(s))}, s...)...) }
	part("format 1", 1)
	part("time 2023-11-14T22:13:20Z", binary.BigEndian.AppendUint64(nil, 1_700_000_000_000_000)...)
	text("actor kind", "employee")
	text("actor id", "7")
	text("purpose", "support")
	text("reason", "ticket 42")
	part("words, 3 bytes", 3, 1, 2, 3)
	text("code", "desk 1.4")
	part("2 groups", 2)
	text("group 0", "contact")
	text("group 1", "identity")
	part("base 299", 0xab, 2)
	part("2 persons", 2)
	part(anna.String(), anna[:]...)
	part("2 entries", 2)
	part("group 0, 1 box, 300 to 300", 0, 1, 1, 0)
	part("group 1, 200 boxes, 299 to 600", 1, 0xc8, 1, 0, 0xad, 2)
	part(bob.String(), bob[:]...)
	part("1 entry", 1)
	part("group 0, 2 boxes, 310 to 311", 0, 2, 11, 1)
	u := exampleUse()
	if got := storage.AppendUse(nil, &u); string(got) != string(all) {
		t.Errorf("the page gives %x, the code %x", all, got)
	}
	pagetest.Compare(t, "../docs/format/use.md", "", page.String())
}

// TestUseComesBack holds that every use comes back as it was, whole or with one person's entries.
func TestUseComesBack(t *testing.T) {
	wide := storage.Use{At: math.MinInt64, Purpose: strings.Repeat("p", 300), Entries: []storage.UseEntry{
		{KRID: anna, First: 0, Last: math.MaxUint64}, {KRID: bob, Group: "g", Count: math.MaxUint32, First: math.MaxUint64,
			Last: math.MaxUint64},
	}}
	for _, u := range []storage.Use{exampleUse(), wide} {
		b := storage.AppendUse(nil, &u)
		for _, only := range []event.KRID{{}, anna, bob, {9}} {
			got, err := storage.ParseUse(b, only)
			want := u
			q := storage.UseQuery{KRID: only}
			want.Entries = q.Entries(u.Entries)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("use, of %s only: %v\n%s", only, err, diff)
			}
		}
		for n := range b {
			if _, err := storage.ParseUse(b[:n], event.KRID{}); !errors.Is(err, event.ErrCorrupt) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	}
	u := exampleUse()
	b := storage.AppendUse(nil, &u)
	b[0] = 2
	if _, err := storage.ParseUse(b, event.KRID{}); !errors.Is(err, event.ErrFormat) {
		t.Errorf("format 2: %v", err)
	}
}

// FuzzUse holds that what is accepted has one encoding, and that damage is an error and nothing worse.
func FuzzUse(f *testing.F) {
	u := exampleUse()
	f.Add(storage.AppendUse(nil, &u))
	u.Words, u.Actor = nil, event.Actor{}
	f.Add(storage.AppendUse(nil, &u))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := storage.ParseUse(b, event.KRID{})
		if err != nil {
			if code := event.Code(err); code != "corrupt" && code != "unknown_format" {
				t.Errorf("a damaged use is %v", err)
			}
			return
		}
		if err := u.Check(); err != nil {
			t.Errorf("a malformed use is accepted: %v", err)
		}
		if again := storage.AppendUse(nil, &u); string(again) != string(b) {
			t.Errorf("%x came back as %x", b, again)
		}
	})
}

// TestUseCanonical holds that entries of one person and group become one, in whatever order they come.
func TestUseCanonical(t *testing.T) {
	want := exampleUse().Entries
	split := []storage.UseEntry{
		want[2], want[1], {KRID: anna, Group: "contact", First: 300, Last: 300}, want[0],
	}
	split[1].Count, split[1].Last = 150, 400
	split = append(split, storage.UseEntry{KRID: anna, Group: "identity", Count: 50, First: 500, Last: 600})
	u := storage.Use{Entries: split}
	for range 2 {
		u.Canonical()
		if diff := cmp.Diff(want, u.Entries); diff != "" {
			t.Errorf("entries: %s", diff)
		}
	}
}

// TestUseTerms holds that a use has every term that a query which asks for it may have, each once.
func TestUseTerms(t *testing.T) {
	u := exampleUse()
	terms := u.Terms()
	if len(terms) != 4 {
		t.Errorf("%d terms", len(terms))
	}
	for _, q := range []storage.UseQuery{{KRID: anna}, {KRID: bob}, {Actor: u.Actor}, {Purpose: u.Purpose}} {
		if term, ok := q.Term(); !ok || !slices.Contains(terms, term) {
			t.Errorf("query %+v has the term %x", q, term)
		}
	}
	if _, ok := (&storage.UseQuery{Before: 7}).Term(); ok {
		t.Error("a query for everything has a term")
	}
}
