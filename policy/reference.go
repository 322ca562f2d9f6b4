package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/lethe-es/lethe/event"
)

// Normal is the form of a reference by which a person is found: the same for all spellings that mean the same person.
// The kind must be one of persons. Errors are event.ErrInvalid and do not show the reference, which is personal.
func (p *Policy) Normal(kind, ref string) (string, error) {
	k, ok := p.doc.Kinds[kind]
	if !ok || !k.Person {
		return "", event.Invalid("not_a_person", "read reference: kind %s is not declared as one of persons", kind)
	}
	if len(ref) > 4*event.MaxIDBytes {
		return "", malformedReference(kind)
	}
	if k.Normalise == Lower || k.Normalise == Email {
		ref = norm.NFC.String(strings.ToLower(norm.NFC.String(strings.TrimSpace(ref))))
	}
	if ref == "" || len(ref) > event.MaxIDBytes || !utf8.ValidString(ref) || event.IsKRID(ref) {
		return "", malformedReference(kind)
	}
	for _, r := range ref {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return "", malformedReference(kind)
		}
	}
	if k.Normalise == Email && (!likeEmail(ref) || strings.Count(ref, "@") != 1) {
		return "", event.Invalid("malformed_reference", "read reference of kind %s: it is not an e-mail address", kind).
			Hint("references of this kind are normalised as e-mail addresses")
	}
	return ref, nil
}

func malformedReference(kind string) error {
	return event.Invalid("malformed_reference",
		"read reference of kind %s: want 1 to %d bytes of printable UTF-8 without spaces, not beginning with krid_",
		kind, event.MaxIDBytes)
}
