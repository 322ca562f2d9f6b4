package demo

import (
	"embed"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Employee is the kind of entity of who works at the bank.
const Employee = "employee"

// Types are the types of all events in the lives of applications.
func Types() []string {
	return []string{Registered, Submitted, Scored, Checked, Offered, Called, Accepted, Declined, Cancelled}
}

//go:embed schema/*.json
var schemaFiles embed.FS

// Schemas are the schemas of all Types, in their order: which of their values are personal, and whose.
func Schemas() []*schema.Version {
	var all []*schema.Version
	for _, typ := range Types() {
		text, err := schemaFiles.ReadFile("schema/" + typ + ".json")
		if err != nil {
			panic("a type has no embedded schema")
		}
		all = append(all, &schema.Version{Type: typ, Notation: "jsonschema", Text: text})
	}
	return all
}

// WithPeople gives applications their applicants: who registers says who he is, and calls say who was reached. The
// lives that are given stay as they are. Every event names its schema.
//
// They are for a store that was given to Declare. One that declares nothing would keep them in clear.
func WithPeople(lives []Life) []Life {
	ids := make(map[string]event.SchemaID)
	for _, s := range Schemas() {
		ids[s.Type] = s.Fingerprint()
	}
	peopled := slices.Clone(lives)
	for i := range peopled {
		peopled[i].people(ids)
	}
	return peopled
}

// people puts the applicant into a life.
func (l *Life) people(schemas map[string]event.SchemaID) {
	l.peopled = true
	who := Applicant(l.Stream.ID)
	l.Steps = slices.Clone(l.Steps)
	for i := range l.Steps {
		step := &l.Steps[i]
		d := &step.Draft
		d.Schema = schemas[d.Type]
		switch d.Type {
		case Registered:
			d.Data = with(d.Data, fmt.Sprintf(`"customer":%q,"name":%q,"birth_date":%q,"email":%q,"income":%s`,
				who.Reference, who.Name, who.BirthDate, who.Email, who.Income))
			if d.Collection = "branch"; step.Actor == System {
				d.Collection = "web-form"
			}
		case Submitted, Accepted:
			d.Data = with(d.Data, fmt.Sprintf(`"customer":%q`, who.Reference))
		case Called:
			if string(d.Data) == reached {
				d.Data = with(d.Data, fmt.Sprintf(`"customer":%q,"spoke_to":%q`, who.Reference, who.Name))
			}
		}
	}
}

// reached is the data of a call in which the customer answered.
const reached = `{"reached":true}`

// with adds members to a JSON object that has no blank in it.
func with(object []byte, members string) []byte {
	kept := slices.Clone(object[:len(object)-1])
	if len(kept) > 1 {
		kept = append(kept, ',')
	}
	return append(append(kept, members...), '}')
}
