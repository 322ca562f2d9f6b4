package archtest_test

import "strings"

// lines makes n lines of comment.
func lines(n int) string { return strings.Repeat("// a line\n", n) }

// body makes a function with n lines, its first and last included.
func body(name string, n int) string {
	return "func " + name + "() {\n" + strings.Repeat("\tf()\n", n-2) + "}"
}

func sizeBreaches() []breach {
	return []breach{
		{"file sizes", tree{
			"log/fits.go":         file("log", lines(600-4)),
			"log/long.go":         file("log", lines(601-4)),
			"log/generated.go":    generated + file("log", lines(601)),
			"log/fits_test.go":    file("log", lines(1000-4)),
			"log/long_test.go":    file("log", lines(1001-4)),
			"cmd/lethe/main.go":   file("main", lines(31-4)),
			"cmd/lethe/helper.go": file("main", lines(40)),
		}, []string{"size/file cmd/lethe/main.go:31", "size/file log/long.go:601", "size/file log/long_test.go:1001"}},
		{"function sizes", tree{
			"log/fits.go":    file("log", body("f", 80)),
			"log/long.go":    file("log", body("f", 81)),
			"log/at_test.go": file("log", "type s struct{}\n\n"+body("(s) f", 81)),
			"ledger/lit.go":  file("ledger", "var g = "+body("", 81)),
		}, []string{"size/function ledger/lit.go:4", "size/function log/at_test.go:6", "size/function log/long.go:4"}},
		{"package sizes", tree{
			"a.go":          file("lethe", lines(500)),
			"b.go":          file("lethe", lines(500)),
			"c.go":          file("lethe", lines(500)),
			"log/a.go":      file("log", lines(596)),
			"log/b.go":      file("log", lines(596)),
			"log/c.go":      file("log", lines(596)),
			"log/d.go":      file("log", lines(596)),
			"log/e.go":      file("log", lines(596)),
			"log/f.go":      file("log", lines(596)),
			"log/g.go":      file("log", lines(397)),
			"kms/a.go":      file("kms", lines(596)),
			"kms/b.go":      generated + file("kms", lines(4000)),
			"kms/a_test.go": file("kms", lines(990)),
			"kms/b_test.go": file("kms", lines(990)),
			"kms/c_test.go": file("kms", lines(990)),
			"kms/d_test.go": file("kms", lines(990)),
		}, []string{"size/package a.go:1", "size/package log/a.go:1"}},
		{"line width", tree{"log/log.go": file("log", widths)},
			[]string{"size/width log/log.go:5", "size/width log/log.go:7"}},
	}
}

var widths = "// " + strings.Repeat("é", 117) + "\n" +
	"// " + strings.Repeat("é", 118) + "\n" +
	"\t// " + strings.Repeat("x", 116) + "\n" +
	"\t// " + strings.Repeat("x", 117) + "\n" +
	"// https://example.org/" + strings.Repeat("x", 114) + "\n" +
	"const raw = `\n" + strings.Repeat("x", 130) + "\n`\n" +
	"const one = `" + strings.Repeat("x", 130) + "`"
