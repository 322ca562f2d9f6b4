package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// maxProblems bounds a report. Who has more mends these first.
const maxProblems = 100

// Problem is one thing that is wrong with a document.
type Problem struct {
	Place string // such as purposes.support.groups[2], or rules:3:14 (line and column)
	Text  string // what is wrong there, without what stands there
}

// Problems is everything that is wrong with a document. It is an event.ErrInvalid with code policy_invalid.
type Problems struct {
	List []Problem // by place
	More int       // further ones that are not listed
}

// Error lists the problems, one a line, each with its place.
func (p *Problems) Error() string {
	var b strings.Builder
	b.WriteString("check policy: ")
	if len(p.List) == 1 {
		b.WriteString(p.List[0].line())
		return b.String()
	}
	fmt.Fprintf(&b, "%d problems", len(p.List)+p.More)
	for _, one := range p.List {
		b.WriteString("\n  " + one.line())
	}
	if p.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", p.More)
	}
	return b.String()
}

func (p Problem) line() string {
	if p.Place == "" {
		return p.Text
	}
	return p.Place + ": " + p.Text
}

// ErrorCode is policy_invalid.
func (p *Problems) ErrorCode() string { return "policy_invalid" }

// Unwrap makes it an event.ErrInvalid.
func (p *Problems) Unwrap() error { return event.ErrInvalid }

func (p *Problems) add(place, format string, args ...any) {
	one := Problem{place, fmt.Sprintf(format, args...)}
	switch {
	case len(p.List) > 0 && p.List[len(p.List)-1] == one:
	case len(p.List) >= maxProblems:
		p.More++
	default:
		p.List = append(p.List, one)
	}
}

// err is nil if there are none.
func (p *Problems) err() error {
	if len(p.List) == 0 {
		return nil
	}
	slices.SortStableFunc(p.List, func(a, b Problem) int { return comparePlaces(a.Place, b.Place) })
	return p
}

// comparePlaces orders places as people do: line 2 before line 10.
func comparePlaces(a, b string) int {
	for a != "" && b != "" {
		n, m := digits(a), digits(b)
		if n == 0 || m == 0 {
			n, m = 1, 1
		}
		if c := cmp.Or(cmp.Compare(n, m), strings.Compare(a[:n], b[:m])); c != 0 {
			return c
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// within joins the place of a section and a name in it. A name that is not one could be anything, and is not shown.
func within(place, name string) string {
	if !isName(name, "_.-:") {
		name = "?"
	}
	if place == "" {
		return name
	}
	return place + "." + name
}

func at(place string, i int) string { return fmt.Sprintf("%s[%d]", place, i) }
