package schema_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// TestPage compiles the schemas in docs/schema.md, and looks for what it must list.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../docs/schema.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```json\n")[1:]
	if len(blocks) != 4 {
		t.Errorf("the page has %d schemas", len(blocks))
	}
	for i, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if _, err := jsonschema.New().Compile([]byte(block), schema.Options{}); err != nil {
			t.Errorf("schema %d: %v", i+1, err)
		}
	}
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
