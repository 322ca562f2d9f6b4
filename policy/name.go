package policy

import (
	"strings"

	"github.com/lethe-es/lethe/event"
)

// isName reports whether s is a letter and then letters, digits and the characters of extra, at most 64.
func isName(s, extra string) bool {
	if s == "" || len(s) > 64 || !isLetter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}

// isCode reports whether s is a small letter and then 1 to 39 small letters, digits and hyphens.
func isCode(s string) bool {
	return len(s) >= 2 && len(s) <= 40 && s[0] >= 'a' && s[0] <= 'z' && isName(s, "-") && s == strings.ToLower(s)
}

// isCase reports whether s could be the id of a case or ticket: 1 to 64 characters, no spaces, no @.
func isCase(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && strings.IndexByte("_.:/#-", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// likeEmail is broad on purpose, as is the check of references in package event: a false alarm costs a rename, a miss
// stays in the log for ever.
func likeEmail(s string) bool {
	local, domain, ok := strings.Cut(strings.ReplaceAll(strings.ToLower(s), "%40", "@"), "@")
	dot := strings.LastIndexByte(domain, '.')
	return ok && local != "" && dot > 0 && dot < len(domain)-1
}

// holdsEmail looks at every word of a text.
func holdsEmail(s string) bool {
	split := func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'<>(),;[]{}`, r) }
	for word := range strings.FieldsFuncSeq(s, split) {
		if likeEmail(strings.Trim(word, ".:!?")) {
			return true
		}
	}
	return false
}

// Stream is the stream of the events about one person: lethe/krid_….
func Stream(k event.KRID) event.StreamID { return event.Stream(event.SystemKind, k.String()) }
