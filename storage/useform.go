package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// useFormat begins a use as engines keep it. docs/format/use.md specifies the bytes.
const useFormat = 1

// AppendUse appends the form in which engines keep a canonical use (Use.Canonical): everything but its number.
func AppendUse(b []byte, u *Use) []byte {
	b = append(b, useFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(u.At))
	for _, text := range []string{u.Actor.Kind, string(u.Actor.ID), u.Purpose, u.Reason, string(u.Words), u.Code} {
		b = appendText(b, text)
	}
	groups, base := groupsOf(u.Entries)
	b = binary.AppendUvarint(b, uint64(len(groups)))
	for _, g := range groups {
		b = appendText(b, g)
	}
	b = binary.AppendUvarint(b, uint64(base))
	b = binary.AppendUvarint(b, uint64(persons(u.Entries)))
	for rest := u.Entries; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(e UseEntry) bool { return e.KRID != rest[0].KRID })
		if n < 0 {
			n = len(rest)
		}
		b = append(b, rest[0].KRID[:]...)
		b = binary.AppendUvarint(b, uint64(n))
		for i := range rest[:n] {
			e := &rest[i]
			group, _ := slices.BinarySearch(groups, e.Group)
			b = binary.AppendUvarint(b, uint64(group))
			b = binary.AppendUvarint(b, uint64(e.Count))
			b = binary.AppendUvarint(b, uint64(e.First-base))
			b = binary.AppendUvarint(b, uint64(e.Last-e.First))
		}
		rest = rest[n:]
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// groupsOf are the groups of entries, sorted, and the lowest first position.
func groupsOf(entries []UseEntry) (groups []string, base event.Position) {
	base = math.MaxUint64
	for i := range entries {
		base = min(base, entries[i].First)
		if at, ok := slices.BinarySearch(groups, entries[i].Group); !ok {
			groups = slices.Insert(groups, at, entries[i].Group)
		}
	}
	return groups, base
}

// persons counts them in ordered entries.
func persons(entries []UseEntry) (n int) {
	for i := range entries {
		if i == 0 || entries[i].KRID != entries[i-1].KRID {
			n++
		}
	}
	return n
}

// Terms are what engines index a use by, each once: its persons, its actor, its purpose. Uses that have a term in
// common with a query need not match it.
func (u *Use) Terms() []uint64 {
	terms := []uint64{actorTerm(u.Actor), purposeTerm(u.Purpose)}
	for i := range u.Entries {
		if t := personTerm(u.Entries[i].KRID); t != terms[len(terms)-1] { // entries are in order
			terms = append(terms, t)
		}
	}
	return terms
}

// Term is the one that every use has that a query asks for, of those there are the one that narrows most; false: it
// asks for all uses.
func (q *UseQuery) Term() (uint64, bool) {
	switch {
	case !q.KRID.IsZero():
		return personTerm(q.KRID), true
	case !q.Actor.IsZero():
		return actorTerm(q.Actor), true
	case q.Purpose != "":
		return purposeTerm(q.Purpose), true
	}
	return 0, false
}

// personTerm is the first half of the KRID, which is random.
func personTerm(k event.KRID) uint64 { return binary.BigEndian.Uint64(k[:]) }

func actorTerm(a event.Actor) uint64 {
	return hashTerm(appendText(appendText([]byte("actor"), a.Kind), string(a.ID)))
}

func purposeTerm(purpose string) uint64 { return hashTerm(appendText([]byte("purpose"), purpose)) }

func hashTerm(b []byte) uint64 {
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}

// ParseUse reads what AppendUse wrote, with the entries of one person only; zero: all. It is strict: what it accepts
// has one form. Damage is event.ErrCorrupt, another format event.ErrFormat.
func ParseUse(b []byte, only event.KRID) (Use, error) {
	if len(b) > 0 && b[0] != useFormat {
		return Use{}, event.Errorf(event.ErrFormat, "read use: format %d is not known", b[0]).
			Hint("a newer Lethe wrote it: upgrade")
	}
	if len(b) < 9 {
		return Use{}, errUse
	}
	u := Use{At: int64(binary.BigEndian.Uint64(b[1:]))}
	r := useReader{rest: b[9:], only: only}
	u.Actor = event.Actor{Kind: r.text(), ID: event.ActorID(r.text())}
	u.Purpose, u.Reason = r.text(), r.text()
	if words := r.take(r.number()); len(words) > 0 {
		u.Words = bytes.Clone(words)
	}
	u.Code = r.text()
	u.Entries = r.entries()
	if r.bad || len(r.rest) > 0 || u.Purpose == "" {
		return Use{}, errUse
	}
	return u, nil
}

var errUse = event.Errorf(event.ErrCorrupt, "read use: its record is damaged").Hint("restore a backup")

// useReader reads a use from the front; once something is wrong, all it gives is zero.
type useReader struct {
	rest []byte
	bad  bool
	only event.KRID

	groups []string
	used   []bool
	base   uint64
	based  bool // an entry begins at base
}

// number reads an unsigned varint, which must be as short as it can be.
func (r *useReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || size > 1 && r.rest[size-1] == 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *useReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *useReader) text() string { return string(r.take(r.number())) }

// count reads how many parts of at least size bytes follow; none is wrong.
func (r *useReader) count(size int) int {
	n := r.number()
	if n == 0 || n > uint64(len(r.rest)/size) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *useReader) entries() (all []UseEntry) {
	for range r.count(1) {
		g := r.text()
		if n := len(r.groups); n > 0 && strings.Compare(r.groups[n-1], g) >= 0 {
			r.bad = true
		}
		r.groups = append(r.groups, g)
	}
	r.used = make([]bool, len(r.groups))
	r.base = r.number()
	var last event.KRID
	for i := range r.count(16 + 5) {
		var krid event.KRID
		copy(krid[:], r.take(16))
		if krid.IsZero() || i > 0 && bytes.Compare(last[:], krid[:]) >= 0 {
			r.bad = true
		}
		all = r.person(all, krid)
		last = krid
		if r.bad {
			return nil
		}
	}
	if slices.Contains(r.used, false) || !r.based {
		r.bad = true
	}
	return all
}

// person reads the entries of one person, and appends them if they are asked for.
func (r *useReader) person(all []UseEntry, krid event.KRID) []UseEntry {
	last := -1
	for range r.count(4) {
		group, count, first, span := r.number(), r.number(), r.number(), r.number()
		if group >= uint64(len(r.groups)) || int(group) <= last || count > math.MaxUint32 ||
			first > math.MaxUint64-r.base || span > math.MaxUint64-r.base-first {
			r.bad = true
			return nil
		}
		last, r.used[group], r.based = int(group), true, r.based || first == 0
		if r.only.IsZero() || r.only == krid {
			begin := event.Position(r.base + first)
			all = append(all, UseEntry{
				KRID: krid, Group: r.groups[group], Count: uint32(count), First: begin, Last: begin + event.Position(span),
			})
		}
	}
	return all
}
