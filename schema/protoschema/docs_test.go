package protoschema_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/schema"
)

// TestDocs compiles every schema that the documentation shows.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/schema-protobuf.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```proto\n")[1:]
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		compile(t, text, schema.Options{})
	}
	if len(blocks) != 3 {
		t.Errorf("the page shows %d schemas", len(blocks))
	}
	for _, reason := range schema.Reasons() {
		wantParts(t, string(page), "`"+string(reason)+"`")
	}
}
