package event

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Text is the text that a JSON pointer (RFC 6901) leads to in data that is valid JSON; false if none stands there.
func Text(data []byte, pointer string) (string, bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return "", false
		}
		// An object's names are strings as well, and stand where their values do.
		if kind, length := dec.StackIndex(dec.StackDepth()); kind == '{' && length%2 == 1 {
			continue
		}
		if token.Kind() == '"' && string(dec.StackPointer()) == pointer {
			return token.String(), true
		}
	}
}
