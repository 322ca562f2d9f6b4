package protoschema_test

import (
	"testing"

	"github.com/lethe-es/lethe/schema"
)

// BenchmarkPlan measures the way of one event of about 100 bytes with two personal values and one reference.
func BenchmarkPlan(b *testing.B) {
	plan := compile(b, string(text(b, "mended-marked.proto")), schema.Options{})
	data := wire(b, plan, `email: "ada@example.org" name: "Ada Lovelace" location: "Zurich" purchase_value: 12.5`)
	var f schema.Findings
	if err := plan.Locate(data, &f); err != nil {
		b.Fatal(err)
	}
	alias := aliases(f.References)
	open, holes, err := plan.Cut(data, &f, alias, nil)
	if err != nil {
		b.Fatal(err)
	}
	values := fillings(&f, holes)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"validate", func() error { return plan.Validate(data) }},
		{"locate", func() error { return plan.Locate(data, &f) }},
		{"cut", func() (err error) { _, holes, err = plan.Cut(data, &f, alias, holes[:0]); return err }},
		{"fill", func() error { _, err := plan.Fill(open, values); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
