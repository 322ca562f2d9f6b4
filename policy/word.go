package policy

import (
	"encoding/hex"
	"strings"
)

// isVersion reports whether s can be the version of a notice: 1 to 40 letters, digits and . _ -.
func isVersion(s string) bool {
	return s != "" && len(s) <= 40 && isCase(s) && !strings.ContainsAny(s, ":/#")
}

// isLanguage reports whether s has the form of a language tag (BCP 47): subtags of 1 to 8 letters and digits, the first
// of 2 or 3 letters, at most 35 characters.
func isLanguage(s string) bool {
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || i == 0 && (len(part) < 2 || len(part) > 3) {
			return false
		}
		for j := range len(part) {
			if !isLetter(part[j]) && (i == 0 || !isDigit(part[j])) {
				return false
			}
		}
	}
	return len(s) <= 35
}

// isJurisdiction reports whether s has the form of a country or one of its parts (ISO 3166): DE, DE-BY, EU.
func isJurisdiction(s string) bool {
	country, part, parted := strings.Cut(s, "-")
	if len(country) != 2 || parted && (part == "" || len(part) > 3) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'A' || c > 'Z') && (i < 2 || !isDigit(c)) {
			return false
		}
	}
	return strings.Count(s, "-") <= 1
}

// isDigest reports whether s is a SHA-256 in lower-case hex.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}
