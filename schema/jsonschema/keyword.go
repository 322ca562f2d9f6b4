package jsonschema

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Our keywords.
const (
	keyPersonal = "x-personal"
	keyPerson   = "x-person"
	keyOpen     = "x-not-personal"
	keyDefault  = "x-personal-default"
)

func ourKeywords() []string { return []string{keyPersonal, keyPerson, keyOpen, keyDefault} }

// markMembers are the members of x-personal.
func markMembers() []string {
	return []string{"subject", "group", "retention", "from", "category", "origin", "indexed", "kind"}
}

// annotations say nothing about data.
func annotations() []string {
	return []string{
		"title", "description", "$comment", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
		"contentEncoding", "contentSchema", "$schema", "$id",
	}
}

// standardKeywords are those of both drafts that are read.
func standardKeywords() []string {
	return append(annotations(), "$ref", "$defs", "definitions", "$anchor", "type", "enum", "const", "format", "pattern",
		"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "maxItems",
		"minItems", "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties", "required",
		"dependentRequired", "prefixItems", "items", "additionalItems", "contains", "additionalProperties", "properties",
		"patternProperties", "dependentSchemas", "dependencies", "propertyNames", "if", "then", "else", "allOf", "anyOf",
		"oneOf", "not", "unevaluatedItems", "unevaluatedProperties", "contentMediaType")
}

// misspelt finds the keyword of ours that an unknown one was meant to be.
func misspelt(name string) (want string, ok bool) {
	lower := strings.ToLower(name)
	want, near := nearest(lower, ourKeywords(), 2)
	switch {
	case slices.Contains(ourKeywords(), name):
		return "", false
	case near:
		return want, true
	case strings.HasPrefix(lower, "x-p") || strings.HasPrefix(lower, "x_p"):
		return keyPersonal, true
	}
	return "", false
}

// misspeltStandard finds the standard keyword that an unknown one was meant to be.
func misspeltStandard(name string) (want string, ok bool) {
	if len(name) < 4 || strings.HasPrefix(name, "x-") {
		return "", false
	}
	return nearest(name, standardKeywords(), 2)
}

// nearest is the word with the smallest distance, at most far.
func nearest(name string, words []string, far int) (string, bool) {
	best, at := "", far+1
	for _, word := range words {
		if d := distance(name, word, far); d < at {
			best, at = word, d
		}
	}
	return best, at <= far
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour; far+1 if it is above far.
func distance(a, b string, far int) int {
	if len(a)-len(b) > far*utf8.UTFMax || len(b)-len(a) > far*utf8.UTFMax {
		return far + 1
	}
	from, to := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(to)+1), make([]int, len(to)+1), make([]int, len(to)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i, c := range from {
		older, old, row := rows[0], rows[1], rows[2]
		row[0] = i + 1
		for j, d := range to {
			cost := 1
			if c == d {
				cost = 0
			}
			row[j+1] = min(old[j]+cost, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && c == to[j-1] && from[i-1] == d {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		rows = [3][]int{old, row, older}
	}
	return min(rows[1][len(to)], far+1)
}
