package jsonschema_test

import (
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

const application = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object", "additionalProperties": false, "required": ["customer_id", "email", "amount"],
  "properties": {
    "customer_id": {"type": "string", "x-person": "customer", "minLength": 1},
    "email":   {"type": "string", "format": "email", "x-personal": {"group": "contact", "subject": "/customer_id"}},
    "name":    {"type": "string", "maxLength": 200, "x-personal": {"group": "identity", "subject": "1/customer_id"}},
    "amount":  {"type": "integer", "minimum": 0, "x-not-personal": "business-fact"},
    "status":  {"enum": ["open", "closed"], "x-not-personal": "classification"},
    "channel": {"type": "string", "pattern": "^[a-z]+$", "x-not-personal": "classification"},
    "branch":  {"type": "string", "x-not-personal": "identifier-of-thing"},
    "contacts": {"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {
      "id": {"type": "string", "x-person": "customer"},
      "phone": {"type": "string", "x-personal": {"group": "contact", "subject": "1/id"}}}}},
    "note":    {"type": ["string", "null"], "x-personal": {"group": "notes", "subject": "/customer_id", "kind": "free-text"}}
  }
}`

const applied = `{"customer_id": "4711-0000-2222", "email": "ada.lovelace@example.org", "name": "Ada, Countess of Lovelace",
 "amount": 20000, "status": "open", "channel": "web", "branch": "Zürich-Oerlikon 12, main counter",
 "note": "prefers to be called after 18:00 and only on weekdays, never at work; asked for the long form of the contract"}`

func BenchmarkValidate(b *testing.B) {
	plan := compile(b, application)
	b.ReportAllocs()
	for b.Loop() {
		if err := plan.Validate([]byte(applied)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	plan := compile(b, application)
	var f schema.Findings
	data := []byte(applied)
	b.ReportAllocs()
	for b.Loop() {
		if err := plan.Locate(data, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	plan := compile(b, application)
	var f schema.Findings
	data := []byte(applied)
	if err := plan.Locate(data, &f); err != nil {
		b.Fatal(err)
	}
	alias := []event.KRID{{1}}
	var holes []uint32
	b.ReportAllocs()
	for b.Loop() {
		_, holes, _ = plan.Cut(data, &f, alias, holes[:0])
	}
}
