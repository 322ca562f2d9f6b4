package policy

import (
	"bytes"
	"crypto/sha256"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// ParseDocument reads a document from one JSON object: hostile input, read in bounded time and memory. Everything that
// is wrong is reported at once as [Problems], each with its place; what is not JSON is event.ErrInvalid by itself.
func ParseDocument(text []byte) (*Document, error) {
	d, _, err := parse(text)
	return d, err
}

func parse(text []byte) (*Document, *rules, error) {
	found := &Problems{}
	tree, err := parseTree(text, found)
	if err != nil {
		return nil, nil, err
	}
	d := reader{found}.document(tree)
	checkDocument(d, found)
	compiled := compileRules(d, tree, found)
	if err := found.err(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Canonical(); err != nil {
		return nil, nil, err
	}
	return d, compiled, nil
}

// Canonical is the document as it is stored: JSON without insignificant space, fields in the order of Document, names
// sorted, what is empty left out, entities and lists as they were written. It does not check the document. Version 0
// stands for the present one.
func (d *Document) Canonical() ([]byte, error) {
	c := *d
	if c.Version == 0 {
		c.Version = DocumentVersion
	}
	if bytes.Equal(bytes.TrimSpace(c.Entities), []byte("[]")) {
		c.Entities = nil
	}
	text, err := json.Marshal(&c, json.Deterministic(true), jsontext.AllowInvalidUTF8(false))
	if err != nil {
		return nil, event.Invalid("policy_invalid", "encode policy: entities are not valid JSON, or a text is not UTF-8")
	}
	if len(text) > MaxDocumentBytes {
		return nil, event.Invalid("oversized", "encode policy: %d bytes are more than %d", len(text), MaxDocumentBytes)
	}
	return text, nil
}

func digest(canonical []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("lethe/policy/1"))
	h.Write(canonical)
	return [32]byte(h.Sum(nil))
}
