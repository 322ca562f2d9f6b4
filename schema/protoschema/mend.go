package protoschema

import (
	"fmt"
	"regexp"
	"strings"
)

// slip is a way in which a line of a schema often goes wrong, and how it is meant.
type slip struct {
	line *regexp.Regexp
	mend string // with $1… of line
}

// slips are those of schemas that were printed on slides and typed off again.
func slips() []slip {
	const option = `(?:\s*\[.*\])?`
	return []slip{
		{regexp.MustCompile(`^(\s*)syntax\s*=?\s*["']\s*proto\s*([23])\s*["']\s*;?$`), `${1}syntax = "proto${2}";`},
		{regexp.MustCompile(`^(\s*import\s+(?:public\s+)?["'][\w./-]+["'])$`), `${1};`},
		{regexp.MustCompile(`^(\s*package\s+[\w.]+)$`), `${1};`},
		{regexp.MustCompile(`^(\s*(?:(?:optional|repeated|required)\s+)?[\w.]+\s+\w+\s*=\s*\d+` + option + `)$`), `${1};`},
		{regexp.MustCompile(`^(\s*map\s*<[\w\s.,]+>\s*\w+\s*=\s*\d+` + option + `)$`), `${1};`},
	}
}

// Bounds of what a hint shows.
const (
	maxMended     = 12
	maxMendedLine = 160
)

// mend shows how the lines of a text that are not valid in themselves are meant: "" where nothing is plain.
func mend(text string) string {
	known := slips()
	var shown []string
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, " \t\r\n")
		if len(line) > maxMendedLine {
			continue
		}
		if mended, ok := mendLine(line, known); ok {
			shown = append(shown, fmt.Sprintf("line %d: `%s`", number, strings.TrimSpace(mended)))
		}
		if len(shown) == maxMended {
			break
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return "write " + strings.Join(shown, ", ")
}

func mendLine(line string, known []slip) (string, bool) {
	for _, s := range known {
		if s.line.MatchString(line) {
			mended := s.line.ReplaceAllString(line, s.mend)
			return mended, mended != line
		}
	}
	return "", false
}
