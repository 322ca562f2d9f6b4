package jsonschema

import (
	"math"
	"regexp"
	"regexp/syntax"
	"strconv"

	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// kinds is a set of kinds of JSON values.
type kinds uint8

const (
	isNull kinds = 1 << iota
	isBoolean
	isInteger
	isNumber // and integers
	isString
	isArray
	isObject

	isScalar  = isNull | isBoolean | isInteger | isNumber | isString
	isAnyKind = isScalar | isArray | isObject
)

var kindNames = [...]string{"null", "boolean", "integer", "number", "string", "array", "object"}

// String names the kinds as a schema does.
func (k kinds) String() string {
	text := ""
	for i, name := range kindNames {
		if k&(1<<i) == 0 || name == "integer" && k&isNumber != 0 {
			continue
		}
		if text != "" {
			text += "|"
		}
		text += name
	}
	return text
}

// node is one schema: what its keywords say, read once. Checking data walks nodes, and so does the search for places.
type node struct {
	at     *value
	id     int
	never  bool                // the schema false
	types  kinds               // 0: not said
	values map[string]struct{} // enum and const, canonical; nil: not said
	listed string              // keyword of values

	minimum, maximum, over, under, multipleOf *bound
	shortest, longest                         int
	pattern                                   *pattern
	format                                    *format

	properties                 map[string]*property
	names                      []string // of properties that are schemas, sorted
	required                   []string
	patterns                   []patternProperty
	additional                 *node
	propertyNames              *node
	fewest, most               int // members
	dependentRequired          map[string][]string
	dependentSchemas           map[string]*node
	prefix                     []*node
	items                      *node
	contains                   *node
	leastFound, mostFound      int
	leastItems, mostItems      int
	unique                     bool
	restProperties             *node // unevaluatedProperties
	restItems                  *node // unevaluatedItems
	ref                        *node
	allOf, anyOf, oneOf        []*node
	not, when, then, otherwise *node

	refText *value // $ref, until it is resolved

	personal *declared
	vault    bool   // contentMediaType aes256gcm
	person   string // kind
	open     string // reason
	opening  *value // where the reason stands
	media    string
}

type property struct {
	name     string
	node     *node // nil: only required
	required bool
}

type patternProperty struct {
	pattern *pattern
	node    *node
}

// bound is a number of the schema with its text.
type bound struct {
	tape.Decimal
	text string
}

// pattern is a regular expression with the size of its program, which is what a byte costs.
type pattern struct {
	*regexp.Regexp
	size int
}

const (
	maxPattern  = 1_000   // bytes
	maxProgram  = 10_000  // instructions
	maxPrograms = 100_000 // of all patterns
	maxMatch    = 1 << 26 // instructions × bytes of one text
)

// readPattern takes what Go's regular expressions take (RE2): they match in time that grows with the text only.
func readPattern(text string) (*pattern, string) {
	if len(text) > maxPattern {
		return nil, "it is longer than " + strconv.Itoa(maxPattern) + " bytes"
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, "it is not RE2 (no look-around, no back-references, no repetition above 1,000)"
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return nil, "it repeats too much"
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, "it is not RE2"
	}
	return &pattern{compiled, len(program.Inst)}, ""
}

func newNode(at *value, id int) *node {
	const all = math.MaxInt
	return &node{at: at, id: id, longest: all, most: all, mostFound: all, mostItems: all, leastFound: -1}
}

// inPlace calls visit with the schemas that hold for the same value as n, and whether each holds for certain.
func (n *node) inPlace(visit func(child *node, certain bool)) {
	call := func(certain bool, list ...*node) {
		for _, child := range list {
			if child != nil {
				visit(child, certain)
			}
		}
	}
	call(true, n.ref)
	call(true, n.allOf...)
	call(false, n.anyOf...)
	call(false, n.oneOf...)
	call(false, n.when, n.then, n.otherwise)
	for _, name := range sortedKeys(n.dependentSchemas) {
		call(false, n.dependentSchemas[name])
	}
}

// below calls visit with the schemas that hold for what is in the value.
func (n *node) below(visit func(child *node)) {
	call := func(list ...*node) {
		for _, child := range list {
			if child != nil {
				visit(child)
			}
		}
	}
	for _, name := range n.names {
		call(n.properties[name].node)
	}
	for _, p := range n.patterns {
		call(p.node)
	}
	call(n.additional, n.restProperties, n.items, n.restItems)
	call(n.prefix...)
}

// aside calls visit with the schemas in which declarations mean nothing: they test, and describe no place.
func (n *node) aside(visit func(child *node)) {
	for _, child := range []*node{n.not, n.contains, n.propertyNames} {
		if child != nil {
			visit(child)
		}
	}
}

// declares reports a declaration on this schema itself; x-not-personal is none, for it names no person.
func (n *node) declares() bool { return n.personal != nil || n.person != "" || n.vault }
