package jsonschema

import (
	"bytes"
	"regexp"

	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// bareName is a member's name without quotes, as people write JSON in slides, with the dash that outlines put before.
func bareName() *regexp.Regexp {
	return regexp.MustCompile(`^([ \t]*)(?:-[ \t]+)?(?:"([^"]*)"|([A-Za-z$_][A-Za-z0-9$_.-]*))[ \t]*:(.*)$`)
}

// Mend repairs what is usual in printed schemas and not JSON: names without quotes, and the dashes of an outline. It
// reports whether the result is JSON; what it means is not checked.
func Mend(text []byte) ([]byte, bool) {
	if len(text) > maxText {
		return nil, false
	}
	name := bareName()
	lines := bytes.Split(text, []byte{'\n'})
	for i, line := range lines {
		if mended, ok := mendName(name, line); ok {
			lines[i] = mended
		}
	}
	mended := bytes.Join(lines, []byte{'\n'})
	t := &tape.Tape{Depth: maxDepth}
	return mended, t.Read(mended) == nil
}

func mendName(name *regexp.Regexp, line []byte) ([]byte, bool) {
	m := name.FindSubmatch(line)
	if m == nil {
		return nil, false
	}
	mended := append([]byte{}, m[1]...)
	mended = append(mended, '"')
	mended = append(append(mended, m[2]...), m[3]...)
	mended = append(append(mended, `":`...), m[4]...)
	return mended, !bytes.Equal(mended, line)
}

// mendLine is the line around a byte as it should be, if it is of those that Mend knows.
func mendLine(text []byte, at int) (number int, mended string, ok bool) {
	at = min(at, len(text))
	from := bytes.LastIndexByte(text[:at], '\n') + 1
	to := len(text)
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		to = at + i
	}
	line, ok := mendName(bareName(), text[from:to])
	if !ok {
		return 0, "", false
	}
	return 1 + bytes.Count(text[:from], []byte{'\n'}), shorten(string(bytes.TrimSpace(line))), true
}
