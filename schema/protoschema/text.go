package protoschema

import (
	"path"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Limits of a schema's text.
const (
	maxFiles     = 256
	maxBrackets  = 64  // open at once, of every sort
	maxPathBytes = 200 // of a file
	maxLineBytes = 4096
)

// fileMark begins a line that names the file that follows.
const fileMark = "// file: "

// soleFile is the name of a text that names no file.
const soleFile = "schema.proto"

// source is a file of the text. Its first line has number 1.
type source struct{ path, text string }

// split takes a text apart into its files. A text whose first line that is not blank is a file mark holds several;
// every other text is one file.
func split(text []byte) ([]source, error) {
	if len(text) > schema.MaxText {
		return nil, event.Invalid("schema_too_large", "compile schema: %d bytes are more than %d", len(text), schema.MaxText).
			Hint("leave out the files that the event's message does not use")
	}
	whole := strings.TrimLeft(string(text), " \t\r\n")
	if !strings.HasPrefix(whole, fileMark) {
		return []source{{soleFile, string(text)}}, nil
	}
	var files []source
	seen := map[string]bool{}
	for whole != "" {
		name, rest, _ := strings.Cut(whole[len(fileMark):], "\n")
		name = strings.TrimSpace(name)
		if err := checkPath(name, seen); err != nil {
			return nil, err
		}
		if len(files) == maxFiles {
			return nil, event.Invalid("schema_too_large", "compile schema: more than %d files", maxFiles)
		}
		end := strings.Index("\n"+rest, "\n"+fileMark)
		if end < 0 {
			end = len(rest)
		}
		files = append(files, source{name, rest[:end]})
		whole = rest[end:]
	}
	return files, nil
}

// checkPath checks the name of a file: one that an import can say, and none of ours or Google's.
func checkPath(name string, seen map[string]bool) error {
	bad := func(why string) error {
		return event.Invalid("schema_invalid", "compile schema: file %q: %s", clip(name), why).
			Hint("write a line such as: %sshop/order.proto", fileMark)
	}
	switch {
	case len(name) > maxPathBytes || path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, ".."):
		return bad("want a relative path without dots")
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' || r == '"' }):
		return bad("want a path of plain ASCII")
	case path.Ext(name) != ".proto":
		return bad("want a name that ends in .proto")
	case strings.HasPrefix(name, "google/protobuf/") || name == privacyPath:
		return bad("it is built in")
	case seen[name]:
		return bad("named twice")
	}
	seen[name] = true
	return nil
}

// checkLines refuses long lines: finding a column costs the compiler a walk along its line, for every name in it.
func checkLines(f source) error {
	number := 0
	for line := range strings.Lines(f.text) {
		if number++; len(line) > maxLineBytes {
			return event.Invalid("schema_too_large", "compile schema %s:%d: the line is longer than %d bytes",
				f.path, number, maxLineBytes).Hint("break it into several")
		}
	}
	return nil
}

// checkNesting refuses a text that opens too many brackets, before anything recursive reads it. It is only as exact
// as that needs: strings and comments are skipped, and what closes need not match what opened.
func checkNesting(f source) error {
	depth, line := 0, 1
	for i := 0; i < len(f.text); i++ {
		switch c := f.text[i]; c {
		case '\n':
			line++
		case '"', '\'':
			i = skipString(f.text, i)
		case '/':
			end := skipComment(f.text, i)
			line += strings.Count(f.text[i:end], "\n")
			i = max(i, end-1)
		case '{', '[', '(', '<':
			depth++
		case '}', ']', ')', '>':
			depth = max(0, depth-1)
		}
		if depth > maxBrackets {
			return event.Invalid("schema_too_deep", "compile schema %s:%d: more than %d brackets are open",
				f.path, line, maxBrackets).
				Hint("declare messages beside each other instead of inside each other")
		}
	}
	return nil
}

// skipString returns the place of the quote that ends the string beginning at i, or of the line's last character.
func skipString(s string, i int) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		switch s[i] {
		case quote:
			return i
		case '\n':
			return i - 1
		case '\\':
			i++
		}
	}
	return len(s)
}

// skipComment returns the end of the comment that begins at i; i if there is none.
func skipComment(s string, i int) int {
	for _, form := range []struct{ begin, end string }{{"//", "\n"}, {"/*", "*/"}} {
		if !strings.HasPrefix(s[i:], form.begin) {
			continue
		}
		n := strings.Index(s[i+2:], form.end)
		if n < 0 {
			return len(s)
		}
		if form.end == "\n" {
			return i + 2 + n // the line's end is counted by who called
		}
		return i + 2 + n + len(form.end)
	}
	return i
}

// clip is a text fit for an error.
func clip(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
