// Package schema knows which schemas a store has, and what they say of personal data. It is pure: it is told of system
// events and answers questions; it reads and writes nothing.
//
//	r := schema.NewRegistry(jsonschema.New(), protoschema.New()).With(starlark.New())
//	err := r.Apply(e) // every event of the stream lethe/schemas, in order
//	v := r.Current("ApplicationRegistered")
//	plan, err := v.Plan()
//
// A Notation (packages jsonschema and protoschema) compiles a schema's text into a Plan, which checks data and finds
// personal values and references to persons in it (plan.go is the seam). A Version is one schema of one event type; its
// fingerprint names it in every event (docs/format/schema.md). Compare tells what a change of a schema does, Suggest
// proposes declarations, Of derives a schema from a Go type, and an Upcaster makes data of one version data of the next
// without ever seeing a personal value; a Language (package starlark) compiles one that is stored, and a Chain leads
// through all of them to the present version.
package schema
