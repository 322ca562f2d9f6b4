package policy

import (
	"bytes"
	"strings"
)

// Limits of one rule. The parser of rules goes as deep as its input, and evaluation as deep as the rule is long.
const (
	maxRuleTokens  = 2000
	maxRuleNesting = 40 // brackets and ifs
	maxRuleChain   = 16 // attributes in a row, as in context.a.b.c
	maxRuleSigns   = 8  // ! and - in a row
)

// guard goes through rules as the parser of Cedar will, but without descending, and finds what is too much for it.
// It returns false if they are not to be parsed.
func guard(text string, found *Problems) bool {
	g := ruleGuard{text: text, line: 1, found: found, rules: 0}
	for !g.stopped && g.next() {
	}
	if g.rules > MaxRules {
		g.refuse("%d rules are more than %d", g.rules, MaxRules)
	}
	return !g.stopped
}

type ruleGuard struct {
	text    string
	offset  int
	line    int
	lineAt  int // offset where the line begins
	found   *Problems
	stopped bool

	rules, tokens, depth, ifs, chain, signs int
}

func (g *ruleGuard) refuse(format string, args ...any) {
	if !g.stopped {
		g.found.add(rulePlace(g.line, g.offset-g.lineAt+1), format, args...)
	}
	g.stopped = true
}

// next takes one token, comment or run of space; false: there is none left.
func (g *ruleGuard) next() bool {
	rest := g.text[g.offset:]
	if rest == "" {
		return false
	}
	n := 1
	switch c := rest[0]; {
	case c == '\n':
		g.line, g.lineAt = g.line+1, g.offset+1
	case c == ' ' || c == '\t' || c == '\r':
	case strings.HasPrefix(rest, "//"):
		n = len(rest)
		if end := strings.IndexByte(rest, '\n'); end >= 0 {
			n = end
		}
	case strings.HasPrefix(rest, "/*"):
		n = g.comment(rest)
	case c == '"':
		n = g.quoted(rest)
	case isLetter(c) || c == '_' || isDigit(c):
		n = g.word(rest)
	default:
		g.sign(c)
	}
	g.offset += n
	return true
}

func (g *ruleGuard) comment(rest string) int {
	end := strings.Index(rest[2:], "*/")
	if end < 0 {
		g.refuse("the comment does not end")
		return len(rest)
	}
	n := end + 4
	if lines := strings.Count(rest[:n], "\n"); lines > 0 {
		g.line, g.lineAt = g.line+lines, g.offset+strings.LastIndexByte(rest[:n], '\n')+1
	}
	return n
}

func (g *ruleGuard) quoted(rest string) int {
	g.token()
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		case '\n':
			g.refuse("the text in quotes does not end in its line")
			return len(rest)
		}
	}
	g.refuse("the text in quotes does not end")
	return len(rest)
}

func (g *ruleGuard) word(rest string) int {
	n := 1
	for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n]) || rest[n] == '_') {
		n++
	}
	g.count()
	if g.signs = 0; rest[:n] == "if" {
		g.ifs++
	}
	if g.depth+g.ifs > maxRuleNesting {
		g.refuse("the rule is nested deeper than %d", maxRuleNesting)
	}
	return n
}

// token counts what ends a chain and a row of signs.
func (g *ruleGuard) token() {
	g.chain, g.signs = 0, 0
	g.count()
}

func (g *ruleGuard) count() {
	if g.tokens++; g.tokens > maxRuleTokens {
		g.refuse("the rule is longer than %d words and signs", maxRuleTokens)
	}
}

func (g *ruleGuard) sign(c byte) {
	switch c {
	case '.':
		g.count()
		if g.chain++; g.chain > maxRuleChain {
			g.refuse("more than %d attributes in a row", maxRuleChain)
		}
		return
	case '!', '-':
		g.count()
		if g.signs++; g.signs > maxRuleSigns {
			g.refuse("more than %d signs in a row", maxRuleSigns)
		}
		g.chain = 0
		return
	}
	g.token()
	switch {
	case bytes.IndexByte([]byte("([{"), c) >= 0:
		g.depth++
	case bytes.IndexByte([]byte(")]}"), c) >= 0:
		if g.depth--; g.depth < 0 {
			g.refuse("a bracket closes what is not open")
		}
	case c == ';' && g.depth == 0:
		g.rules++
		g.tokens, g.ifs = 0, 0
	}
	if g.depth+g.ifs > maxRuleNesting {
		g.refuse("the rule is nested deeper than %d", maxRuleNesting)
	}
}
