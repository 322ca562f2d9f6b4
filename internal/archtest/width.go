package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"unicode/utf8"
)

func checkWidth(h *House, say say) {
	eachFile(h, anyFile, func(f *File) {
		raw := rawStrings(f)
		for i, line := range bytes.Split(f.Src, []byte("\n")) {
			width := utf8.RuneCount(line) + bytes.Count(line, []byte("\t"))*(tabWidth-1) - raw[i+1]
			if width > maxWidth && !bytes.Contains(line, []byte("://")) {
				say(Spot{File: f.Path, Line: i + 1}, fmt.Sprintf("the line is %d columns wide, the limit is %d",
					width, maxWidth))
			}
		}
	})
}

// rawStrings says how many columns to forgive on which line: a raw string cannot be broken. A literal over several
// lines forgives them whole.
func rawStrings(f *File) map[int]int {
	forgiven := map[int]int{}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING || lit.Value[0] != '`' {
			return true
		}
		first, last := f.line(lit.Pos()), f.line(lit.End())
		if first == last {
			forgiven[first] += utf8.RuneCountInString(lit.Value)
			return true
		}
		for line := first; line <= last; line++ {
			forgiven[line] = 1 << 20
		}
		return true
	})
	return forgiven
}
