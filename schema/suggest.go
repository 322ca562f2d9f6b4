package schema

import (
	"slices"
	"strings"
	"unicode"
)

// Scalar is a place of which a schema does not say whether it is personal.
type Scalar struct {
	Path   string // as in Place
	Type   string // string, integer|null …
	Format string // email, date …; may be empty
}

// Suggestion is a proposal, for a person to look at.
type Suggestion struct {
	Path      string
	Mark      *Mark  // it seems personal
	Subject   string // of Mark
	Reference string // it seems to refer to a person of this kind
	Open      Reason // it seems not to be personal
	Why       string
}

// Suggester is a notation that can write suggestions into a schema's text.
type Suggester interface {
	// Suggest proposes a declaration for all that has none, and gives the text with all of them in it.
	Suggest(text []byte, o Options) (mended []byte, list []Suggestion, err error)
}

// Suggest proposes what each place may be, from its name and format. References come first: they say whose values are.
func Suggest(scalars []Scalar, known []Place) []Suggestion {
	var list []Suggestion
	var refs []string
	for _, p := range known {
		if p.Reference != "" {
			refs = append(refs, p.Path)
		}
	}
	for _, s := range scalars {
		suggestion := guess(s)
		if suggestion.Reference != "" {
			refs = append(refs, s.Path)
		}
		list = append(list, suggestion)
	}
	for i := range list {
		if list[i].Mark != nil {
			list[i].Subject = owner(list[i].Path, refs)
		}
	}
	return list
}

func guess(s Scalar) Suggestion {
	out := Suggestion{Path: s.Path}
	words := nameWords(s.Path)
	if kind := personIn(words); kind != "" && strings.Contains(s.Type, "string") {
		out.Reference, out.Why = kind, "the name says whose id it is"
		return out
	}
	switch s.Format {
	case "email":
		out.Mark, out.Why = &Mark{Group: "contact", Origin: Provided}, "the format is an e-mail address"
		return out
	case "ipv4", "ipv6":
		out.Mark, out.Why = &Mark{Group: "device", Origin: Observed}, "the format is an address of a device"
		return out
	}
	for _, h := range hints() {
		if !h.means(words) {
			continue
		}
		if out.Why, out.Open = h.why, h.open; h.open == "" {
			mark := h.mark
			out.Mark = &mark
		}
		return out
	}
	switch {
	case s.Format == "date" || s.Format == "date-time" || s.Format == "time":
		out.Open, out.Why = Timing, "the format is a time; a person's birth date would be personal"
	case s.Type == "boolean":
		out.Open, out.Why = Classification, "yes or no; look whether it tells something of a person"
	default:
		out.Mark, out.Why = &Mark{Group: "unsorted"}, "nothing is known of it, and personal is the safe guess"
	}
	return out
}

// personIn finds a kind of person whose id a name is: customer_id, ownerRef, piiref, and customer by itself.
func personIn(words []string) string {
	if len(words) == 1 {
		switch words[0] {
		case "piiref":
			return "person"
		case "customer", "user", "person", "patient", "employee", "member", "client", "student", "applicant", "driver",
			"guest", "tenant", "citizen":
			return words[0]
		}
	}
	if len(words) < 2 || !slices.Contains([]string{"id", "ref", "reference", "no", "number", "key"}, words[len(words)-1]) {
		return ""
	}
	if kind := words[len(words)-2]; slices.Contains(persons(), kind) {
		return kind
	}
	return ""
}

// nameWords are the words of the last name in a path, in lower case: /a/firstName is first, name.
func nameWords(path string) []string {
	steps := strings.Split(path, "/")
	name := ""
	for i := len(steps) - 1; i > 0 && (name == "" || name == "*"); i-- {
		name = steps[i]
	}
	var b strings.Builder
	small := false
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		} else if unicode.IsUpper(r) && small {
			b.WriteByte(' ')
		}
		small = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(b.String())
}

// owner is the subject of a value: the reference that is nearest, else the entity of the stream.
func owner(path string, refs []string) string {
	up := 1
	for object := parent(path); ; object, up = parent(object), up+1 {
		for _, ref := range refs {
			if parent(ref) != object {
				continue
			}
			if strings.Contains(object, "/*") {
				return string(rune('0'+min(up, 9))) + ref[len(object):]
			}
			return ref
		}
		if object == "" {
			return "stream"
		}
	}
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return ""
}
