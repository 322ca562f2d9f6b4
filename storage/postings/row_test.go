package postings

import (
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
)

// FuzzRow holds that a row that is damaged is an error and nothing worse, and that what is packed is found again.
func FuzzRow(f *testing.F) {
	var p Packer
	for term := range int64(2) {
		for _, at := range []event.Position{1, 5, 9} {
			p.Add(Key{TermSpace, term}, Posting{at, int64(at) - 3})
		}
	}
	f.Add(p.Take(true)[0].Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		err := entries(b, func(term int64, count int, postings []byte) (bool, error) {
			list, err := decodePostings(nil, count, postings)
			if err == nil && len(list) != count {
				t.Errorf("%d postings for %d", len(list), count)
			}
			return true, err
		})
		if err != nil && event.Code(err) != "corrupt" {
			t.Errorf("a damaged row is %v", err)
		}
	})
}

// TestPackedListsAreFound holds that rows hold every list whole and in order, however long.
func TestPackedListsAreFound(t *testing.T) {
	var p Packer
	want := make([][]Posting, 5)
	for term := range want {
		for i := range term * term * 1500 {
			x := Posting{event.Position(i + term), int64(i % (term + 1))}
			want[term] = append(want[term], x)
			p.Add(Key{TermSpace, int64(term)}, x)
		}
	}
	rows := p.Take(true)
	for term := range want {
		var got []Posting
		for _, r := range rows {
			list, _, err := findList(r.Bytes, int64(term))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, list...)
		}
		if !slices.Equal(got, want[term]) {
			t.Errorf("list %d has %d postings instead of %d", term, len(got), len(want[term]))
		}
	}
	if len(rows) < 5 {
		t.Errorf("long lists fill %d rows", len(rows))
	}
}

// FuzzAdded holds that the postings of a commit come back as they were, and that damage is an error and nothing worse.
func FuzzAdded(f *testing.F) {
	var a Added
	a.Add(Key{TermSpace, -5}, Posting{300, 0})
	a.Add(Key{TermSpace, 1 << 60}, Posting{300, 7})
	a.Add(Key{TermSpace, 2}, Posting{301, 1 << 40})
	f.Add(a.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAdded(b)
		if err != nil {
			if event.Code(err) != "corrupt" {
				t.Errorf("damaged postings are %v", err)
			}
			return
		}
		again, err := ParseAdded(a.AppendTo(nil))
		if err != nil || !slices.Equal(again.Keys, a.Keys) || !slices.Equal(again.Postings, a.Postings) {
			t.Errorf("%v came back as %v: %v", a, again, err)
		}
	})
}
