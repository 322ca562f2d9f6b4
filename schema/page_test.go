package schema_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/starlark"
)

// TestPage compiles the schemas in docs/schema.md, and looks for what it must list.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../docs/schema.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```json\n")[1:]
	if len(blocks) != 6 {
		t.Errorf("the page has %d schemas", len(blocks))
	}
	for i, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if _, err := jsonschema.New().Compile([]byte(block), schema.Options{}); err != nil {
			t.Errorf("schema %d: %v", i+1, err)
		}
	}
	upcastPage(t, string(text), blocks[4:])
	for _, reason := range schema.Reasons() {
		if !strings.Contains(string(text), "| `"+string(reason)+"` |") {
			t.Errorf("the page does not tell of the reason %s", reason)
		}
	}
	for _, category := range schema.Categories() {
		if !strings.Contains(string(text), "`"+string(category)+"`") {
			t.Errorf("the page does not tell of the category %s", category)
		}
	}
}

// upcastPage runs the upcaster that the page shows, from the first version it shows to the second.
func upcastPage(t *testing.T, text string, versions []string) {
	_, script, _ := strings.Cut(text, "```python\n")
	script, _, _ = strings.Cut(script, "```")
	_, data, _ := strings.Cut(text, "```\n{\"customer_id\": \"krid")
	lines := strings.Split("{\"customer_id\": \"krid"+data, "\n")
	r := schema.NewRegistry(jsonschema.New()).With(starlark.New())
	var first *schema.Version
	for i, v := range versions {
		schemaText, _, _ := strings.Cut(v, "```")
		next := &schema.Version{Type: "CustomerRegistered", Notation: jsonschema.Name, Text: []byte(schemaText)}
		if i == 0 {
			first = push(t, r, next)
			continue
		}
		next.Upcaster = schema.Script{Language: starlark.Name, Text: script}
		push(t, r, next)
	}
	chain, err := r.Chain(first.ID)
	if err != nil {
		t.Fatal(err)
	}
	got, moved, err := chain.Upcast([]byte(lines[0]), []string{"/last"})
	if err != nil || string(got) != lines[1] || moved[0] != "/name/last" {
		t.Errorf("the page's upcaster gives %s, %v, %v", got, moved, err)
	}
}
