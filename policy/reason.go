package policy

import (
	"slices"
	"strings"
)

// Reason is why something is opened. It has either a code, with or without a case, or words.
type Reason struct {
	Code  string // such as ticket
	Case  string // id of a case or ticket; may be empty
	Words string // anything else: it may be personal, and is sealed where it is kept
}

// IsZero reports whether no reason was given.
func (r Reason) IsZero() bool { return r == Reason{} }

// String shows code and case; words are not shown.
func (r Reason) String() string {
	switch {
	case r.Words != "":
		return "words"
	case r.Case != "":
		return r.Code + " " + r.Case
	}
	return r.Code
}

// GoString is String, so that %#v does not leak either.
func (r Reason) GoString() string { return r.String() }

// parseReason reads "code" or "code case". Where codes are listed, others are words, and "code-case" is read too.
func parseReason(text string, codes []string) Reason {
	code, id, spaced := strings.Cut(text, " ")
	if isCode(code) && (len(codes) == 0 || slices.Contains(codes, code)) && (!spaced || isCase(id)) {
		return Reason{Code: code, Case: id}
	}
	best := Reason{Words: text}
	for _, listed := range codes {
		rest, ok := strings.CutPrefix(text, listed+"-")
		if ok && isCase(rest) && len(listed) > len(best.Code) {
			best = Reason{Code: listed, Case: rest}
		}
	}
	if text == "" {
		return Reason{}
	}
	return best
}

// maxReasonBytes bounds words.
const maxReasonBytes = 1000

// reason reads the reason of an opening for a purpose. A purpose that lists reasons takes those alone; any other takes
// what the document lists, words, or none.
func (p *Policy) reason(u *purpose, text string) (Reason, error) {
	if len(text) > maxReasonBytes {
		return Reason{}, denied("reason_malformed", "open for purpose %s: a reason of %d bytes is longer than %d",
			u.name, len(text), maxReasonBytes)
	}
	codes := u.Reasons
	if len(codes) == 0 {
		codes = p.doc.Reasons
	}
	r := parseReason(text, codes)
	if len(u.Reasons) == 0 {
		return r, nil
	}
	hint := "give a code and the id of a case, such as " + u.Reasons[0] + " 7; codes are " + strings.Join(u.Reasons, ", ")
	switch {
	case r.IsZero():
		return r, denied("reason_missing", "open for purpose %s: it needs a reason", u.name).Hint("%s", hint)
	case r.Words != "":
		return Reason{}, denied("reason_malformed", "open for purpose %s: the reason is not one it takes", u.name).
			Hint("%s", hint)
	}
	return r, nil
}
