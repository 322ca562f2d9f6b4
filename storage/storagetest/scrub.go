package storagetest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// ScrubRemoves holds that after Rewrite and Scrub no byte of what was taken away is left anywhere, with markers that
// are planted in every part of a record that goes. Markers that stay prove that the search would have found them.
func ScrubRemoves(t *testing.T, open Open) {
	e := open(t)
	var goes, stays [][]byte
	var edits []storage.Edit
	for round := range 3 {
		var list []Item
		for i := range 30 {
			it, markers := marked(i)
			list = append(list, it)
			if i%3 == round {
				goes = append(goes, markers...)
			} else {
				stays = append(stays, markers...)
			}
		}
		for i, r := range Append(t, e.Store, list...) {
			if i%3 == round {
				edits = append(edits, edit(r))
			}
		}
		expectMarkers(t, e.Dump(t), "before Rewrite", slices.Concat(goes[len(goes)-10*markersEach:], stays), true)
		if err := e.Store.Rewrite(t.Context(), 0, edits); err != nil {
			t.Fatalf("rewrite: %v", err)
		}
		residue, err := e.Store.Scrub(t.Context())
		if err != nil {
			t.Fatalf("scrub: %v", err)
		}
		if (len(residue.Remains) > 0) != e.Features.Remains {
			t.Errorf("with nobody reading, Scrub leaves %q", residue.Remains)
		}
		dump := e.Dump(t)
		expectMarkers(t, dump, "after Scrub", stays, true)
		expectMarkers(t, dump, "after Scrub", goes, false)
		e.Reopen(t)
		dump = e.Dump(t)
		expectMarkers(t, dump, "after the store was opened again", stays, true)
		expectMarkers(t, dump, "after the store was opened again", goes, false)
	}
	gapless(t, readAll(t, e.Store, storage.Query{}), 90)
}

// markersEach is how many markers one event carries, each 32 bytes.
const markersEach = 6

// marked is an event with a fresh marker in each part that pruning takes away; large every tenth time, so that it
// does not fit one page of a database.
func marked(i int) (Item, [][]byte) {
	markers := make([][]byte, markersEach)
	for k := range markers {
		var b [16]byte
		rand.Read(b[:]) // never fails
		markers[k] = []byte(hex.EncodeToString(b[:]))
	}
	it := item("application", string(rune('a'+i%7)))
	padding := bytes.Repeat([]byte("p"), 40)
	if i%10 == 0 {
		padding = bytes.Repeat([]byte("p"), 20_000)
	}
	it.Draft.Data = slices.Concat(
		[]byte(`{"a":"`), markers[0], []byte(`","p":"`), padding, []byte(`","b":"`), markers[1], []byte(`"}`))
	it.Draft.Relations = []event.Relation{{Role: "owner", Kind: "account", ID: string(markers[2])}}
	it.Draft.Metadata = map[string]string{"branch": string(markers[3])}
	it.Draft.Correlation = string(markers[4])
	it.Boxes = slices.Concat(padding, markers[5])
	return it, markers
}

func expectMarkers(t *testing.T, dump [][]byte, when string, markers [][]byte, want bool) {
	t.Helper()
	wrong := 0
	for _, marker := range markers {
		found := slices.ContainsFunc(dump, func(b []byte) bool { return bytes.Contains(b, marker) })
		if found != want {
			wrong++
		}
	}
	if wrong > 0 {
		t.Errorf("%s: found is %t for %d of %d markers", when, !want, wrong, len(markers))
	}
}

// SizesAddUp holds that every part is named once and that together they are what the store takes.
func SizesAddUp(t *testing.T, open Open) {
	e := open(t)
	parts := []string{"events", "free", "ids", "other", "postings", "streams", "tiles", "wal"}
	var last int64
	for revision := range uint64(3) {
		Append(t, e.Store, items(200)...)
		advance(t, e.Store, "relay", storage.Checkpoint{Revision: revision}, storage.Checkpoint{Note: []byte("note")})
		addTokens(t, e.Store, token(fmt.Sprint("token", revision)))
		sizes, err := e.Store.Sizes(t.Context())
		if err != nil {
			t.Fatalf("sizes: %v", err)
		}
		var names []string
		var sum, events int64
		for _, z := range sizes {
			names = append(names, z.Part)
			if sum += z.Bytes; z.Bytes < 0 {
				t.Errorf("part %s takes %d bytes", z.Part, z.Bytes)
			}
			if z.Part == "events" {
				events = z.Bytes
			}
		}
		slices.Sort(names)
		same(t, "parts", parts, names)
		if want := e.Bytes(t); sum != want {
			t.Errorf("the parts add up to %d bytes, but the store takes %d", sum, want)
		}
		if events <= last {
			t.Errorf("200 events more and they take %d bytes instead of %d", events, last)
		}
		last = events
	}
}
