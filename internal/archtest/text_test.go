package archtest_test

// textBreaches need words that this file must not contain, so they are put together here.
func textBreaches() []breach {
	word := "farm" + "-bench"
	return []breach{{"workplace words", tree{
		"README.md":         "# Lethe\n\nSee " + word + " for more, and " + word + ".\n",
		word + ".txt":       "x\n",
		"log/testdata/a.go": "package a // " + word + "\n",
		".gitignore":        "# made by builds\n/build/\n*.tmp\n!kept\n",
		".git/config":       word,
		"build/out.txt":     word,
		"deep/x.tmp":        word,
	}, []string{
		"word/workplace README.md:3", "word/workplace " + word + ".txt:1", "word/workplace log/testdata/a.go:1",
	}}}
}
