package policy

import (
	"encoding/json"

	"github.com/lethe-es/lethe/event"
)

// SetStream is the stream of TypeSet events.
func SetStream() event.StreamID { return event.Stream(event.SystemKind, "policy") }

// Draft is the event that sets a document, for SetStream. The document is checked as ParseDocument checks it.
func (d *Document) Draft() (event.Draft, error) {
	text, err := d.Canonical()
	if err != nil {
		return event.Draft{}, err
	}
	if _, err := ParseDocument(text); err != nil {
		return event.Draft{}, err
	}
	data := append(append([]byte(`{"document":`), text...), '}')
	e := event.Draft{Type: TypeSet, Data: data}
	return e, e.Validate()
}

// ParseSet reads the document out of the data of a TypeSet event.
func ParseSet(data []byte) (*Document, error) {
	var text json.RawMessage
	count := 0
	err := event.Properties(data, func(name string, value []byte) {
		if count++; name == "document" {
			text = value
		}
	})
	if err != nil {
		return nil, err
	}
	if text == nil || count != 1 {
		return nil, event.Invalid("policy_invalid", "read %s: want document, and nothing else", TypeSet)
	}
	return ParseDocument(text)
}
