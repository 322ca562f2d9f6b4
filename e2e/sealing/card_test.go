package sealing_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// stem begins every personal value and every reference of these tests, so that to look for it is to look for all.
const stem = "zqxjvkwpyfgbzq"

// digits are in every personal number.
const digits = "918273645546372"

// document lets purpose all open everything, and others less.
const document = `{"version": 1,
	"kinds": {"customer": {"person": true, "normalise": "lower"}, "clerk": {"person": true}, "case": {}, "service": {}},
	"groups": {"identity": {}, "contact": {}, "finance": {"category": "financial"}, "store-only": {}},
	"retention": {"short": {"period": "P1Y"}},
	"controllers": {"bank": {"name": "The bank"}},
	"collections": {"web-form": {"purposes": ["all"], "source": "person", "controller": "bank"}},
	"purposes": {
		"all": {"basis": "contract", "groups": ["identity", "contact", "finance", "store-only", "reference"]},
		"keep": {"basis": "legal-obligation", "groups": ["finance"]},
		"support": {"basis": "contract", "groups": ["contact"]},
		"newsletter": {"basis": "consent", "groups": ["contact"], "marketing": true, "controller": "bank"}
	},
	"metadata": {"x-auth": {"group": "identity", "subject": "issuer"}},
	"rules": "permit(principal, action == Action::\"open\", resource);"
}`

const cardSchema = `{
	"type": "object", "additionalProperties": false, "required": ["customer", "name"],
	"properties": {
		"customer": {"type": "string", "x-person": "customer"},
		"name": {"type": "string", "x-personal": {"group": "identity", "subject": "/customer"}},
		"email": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer", "retention": "short"}},
		"income": {"type": "number", "x-personal": {"group": "finance", "subject": "/customer"}},
		"spouse": {"type": "string", "x-person": "customer"},
		"home": {"type": "string", "x-personal": {"group": "contact", "subject": ["/customer", "/spouse"]}},
		"guests": {"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["who"],
			"properties": {
				"who": {"type": "string", "x-person": "customer"},
				"dish": {"type": "string", "x-personal": {"group": "identity", "subject": "1/who"}}
			}}},
		"house": {"type": "string", "x-personal": {"group": "store-only", "subject": "store"}},
		"tags": {"type": "object", "additionalProperties": {"type": "string"},
			"x-personal": {"group": "identity", "subject": "/customer"}},
		"pets": {"type": "array", "items": {"type": "string"},
			"x-personal": {"group": "identity", "subject": "/customer"}},
		"owner": {"type": "object", "additionalProperties": false, "properties": {"inner": {"type": "object",
			"additionalProperties": false, "properties": {"note": {"type": "string",
			"x-personal": {"group": "identity", "subject": "/customer"}}}}}},
		"amount": {"type": "number", "x-not-personal": "business-fact"},
		"free": {"type": "string", "x-not-personal": "business-fact"}
	}
}`

// declare makes the policy and the schema of Carded hold. It may be repeated.
func declare(ctx context.Context, p *process) error {
	if _, err := p.Privacy().SetPolicy(ctx, event.Actor{}, []byte(document), false); err != nil {
		return err
	}
	v := &schema.Version{Type: "Carded", Notation: jsonschema.Name, Text: []byte(cardSchema)}
	_, err := p.Privacy().PushSchema(ctx, event.Actor{}, v, false)
	return err
}

// card is an event about a customer, her spouse and a guest, who are numbers. All it says follows from these.
type card struct{ number, customer, spouse, guest int }

// who is the reference of a person.
func who(n int) string { return fmt.Sprintf("%s-%d@example.org", stem, n) }

// id is the event's, from which the card can be found again.
func (c card) id() (id event.ID) {
	binary.BigEndian.PutUint32(id[:], uint32(c.number))
	id[8] = 0x80
	binary.BigEndian.PutUint16(id[9:], uint16(c.customer))
	binary.BigEndian.PutUint16(id[11:], uint16(c.spouse))
	binary.BigEndian.PutUint16(id[13:], uint16(c.guest))
	return id
}

func cardOf(id event.ID) card {
	return card{int(binary.BigEndian.Uint32(id[:])), int(binary.BigEndian.Uint16(id[9:])),
		int(binary.BigEndian.Uint16(id[11:])), int(binary.BigEndian.Uint16(id[13:]))}
}

// field is a personal value of a card.
type field struct {
	path, group string
	owners      []int
	text        string // JSON
}

func (c card) fields() []field {
	quoted := func(what string) string { return fmt.Sprintf(`"%s %s \u00e9%d"`, stem, what, c.number) }
	own := []int{c.customer}
	return []field{
		{"/name", "identity", own, quoted("name")},
		{"/email", "contact", own, quoted("mail")},
		{"/income", "finance", own, fmt.Sprintf("%d%s.50", 1+c.number, digits)},
		{"/home", "contact", []int{c.customer, c.spouse}, quoted("home")},
		{"/guests/0/dish", "identity", []int{c.guest}, quoted("dish")},
	}
}

// data is the card's data. Of each value that opens gives false for, null stands there.
func (c card) data(opens func(f *field) bool) string {
	text := map[string]string{}
	for _, f := range c.fields() {
		if text[f.path] = f.text; !opens(&f) {
			text[f.path] = "null"
		}
	}
	return fmt.Sprintf(`{"customer":"%s","name":%s, "email":%s,"income":%s,"spouse":"%s","home":%s,`+
		`"guests":[{"who":"%s","dish":%s}],"amount":%d}`, who(c.customer), text["/name"], text["/email"], text["/income"],
		who(c.spouse), text["/home"], who(c.guest), text["/guests/0/dish"], c.number)
}

func everything(*field) bool { return true }

// auth is the personal metadata of a card, which is of who issued it: clerk 0 or 1.
func (c card) auth() string { return fmt.Sprintf("%s auth %d", stem, c.number) }

func (c card) clerk() string { return fmt.Sprintf("%s-clerk-%d", stem, c.number%2) }

func (c card) draft() event.Draft {
	return event.Draft{ID: c.id(), Type: "Carded", Data: []byte(c.data(everything)), Collection: "web-form",
		Relations: []event.Relation{{Role: event.RoleIssuer, Kind: "clerk", ID: c.clerk()}},
		Metadata:  map[string]string{"x-auth": c.auth(), "channel": "web"}}
}

func (c card) stream() event.StreamID { return event.Stream("customer", who(c.customer)) }

// all opens everything.
func all(reason string) event.Opening {
	return event.Opening{Actor: event.Actor{Kind: "service", ID: "crm"}, Purpose: "all", Reason: reason, Code: "sealing 1"}
}

// cards are the records of all cards in the log, in order.
func cards(ctx context.Context, engine storage.Log) (list []storage.Record, err error) {
	q := storage.Query{Filter: event.Filter{{Types: []string{"Carded"}}}, Limit: 1000}
	for {
		page, err := engine.Page(ctx, q)
		if err != nil {
			return nil, err
		}
		list = append(list, page.Records...)
		if page.Done {
			return list, nil
		}
		q.From = page.Scanned + 1
	}
}

// plain is an opened event's data, with the references that its names give in the place of aliases.
func plain(e *event.Event) string {
	text := string(e.Data)
	for _, n := range e.Names {
		text = strings.ReplaceAll(text, n.KRID.String(), n.Ref)
	}
	return text
}

// whole says how an opened card differs from what was appended, without telling values.
func whole(e *event.Event) error {
	c := cardOf(e.ID)
	for _, w := range e.Withheld {
		return fmt.Errorf("card %d withholds %s: %s", c.number, w.Path, w.Reason)
	}
	if got, want := plain(e), c.data(everything); got != want {
		return fmt.Errorf("card %d opens as\n%s\nwant\n%s", c.number, got, want)
	}
	if e.Metadata["x-auth"] != c.auth() || e.Metadata["channel"] != "web" {
		return fmt.Errorf("card %d opens with the metadata %v", c.number, e.Metadata)
	}
	clerk := func(n event.Name) bool { return n.Kind == "clerk" && n.Ref == c.clerk() }
	if !slices.ContainsFunc(e.Names, clerk) {
		return fmt.Errorf("card %d does not name its clerk", c.number)
	}
	return nil
}

// silent says which of some bytes hold the stem in clear.
func silent(dump [][]byte) error {
	for _, b := range dump {
		if i := bytes.Index(b, []byte(stem)); i >= 0 {
			return fmt.Errorf("in clear: %q", b[max(0, i-40):min(len(b), i+40)])
		}
		if i := bytes.Index(b, []byte(digits)); i >= 0 {
			return fmt.Errorf("in clear: %q", b[max(0, i-40):min(len(b), i+40)])
		}
	}
	return nil
}
