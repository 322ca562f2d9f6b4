package jsonschema

import (
	"slices"
	"sync"

	library "github.com/santhosh-tekuri/jsonschema/v6"
)

// format tests a text.
type format struct {
	name string
	test func(text any) error // its error may quote the text and is dropped
}

// formats are those of the library, which are asserted in every draft: who writes a format means it. Names it does not
// know are annotations.
type formats struct {
	mu    sync.Mutex
	known map[string]*format
}

// formatNames are the formats of the library.
func formatNames() []string {
	return []string{
		"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer",
		"period", "relative-json-pointer", "semver", "time", "uri", "uri-reference", "uri-template", "uuid",
	}
}

// longestFormat bounds the texts that are tested; what a format describes is short.
const longestFormat = 64 << 10

func (f *formats) named(name string) *format {
	if !slices.Contains(formatNames(), name) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.known[name]; ok {
		return known
	}
	compiler := library.NewCompiler()
	compiler.AssertFormat()
	compiler.UseLoader(nothing{})
	if compiler.AddResource("urn:format", map[string]any{"format": name}) != nil {
		return nil
	}
	compiled, err := compiler.Compile("urn:format")
	if err != nil || compiled.Format == nil || compiled.Format.Validate == nil {
		return nil
	}
	made := &format{name, compiled.Format.Validate}
	f.known[name] = made
	return made
}
