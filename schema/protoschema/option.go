package protoschema

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bufbuild/protocompile/linker"
)

// Numbers of the options that declare personal data.
const (
	gdprOption    = 51234 // the founding document's, on fields
	privacyOption = 51235 // ours, on fields and messages
)

// gdpr is the founding document's option.
type gdpr struct {
	key, pii bool
	group    string
}

// privacy is our option, as it is written.
type privacy struct {
	subject                           []string
	group, retention, from            string
	category, origin                  string
	indexed, freeText                 bool
	person, notPersonal               string
	saysPersonal, saysPerson, saysNot bool
}

// optionBytes is the value of a message option with a number: its wire form, and whether it is there.
func optionBytes(options proto.Message, number protowire.Number) ([]byte, bool) {
	all, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(options)
	if err != nil {
		return nil, false
	}
	var found []byte
	there := false
	for len(all) > 0 {
		num, typ, n := protowire.ConsumeTag(all)
		if n < 0 {
			return found, there
		}
		size := protowire.ConsumeFieldValue(num, typ, all[n:])
		if size < 0 {
			return found, there
		}
		if num == number && typ == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(all[n:])
			found, there = append(found, value...), true
		}
		all = all[n+size:]
	}
	return found, there
}

// eachField calls do with every field of a message in wire form; text is nil for numbers.
func eachField(b []byte, do func(num protowire.Number, number uint64, text []byte)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return
			}
			do(num, v, nil)
			b = b[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return
			}
			do(num, 0, v)
			b = b[n:]
		default:
			return
		}
	}
}

// gdprOf reads the founding document's option of a field; nil if it has none.
func gdprOf(f protoreflect.FieldDescriptor) *gdpr {
	b, ok := optionBytes(f.Options(), gdprOption)
	if !ok {
		return nil
	}
	g := new(gdpr)
	eachField(b, func(num protowire.Number, number uint64, text []byte) {
		switch num {
		case 1:
			g.key = number != 0
		case 2:
			g.pii = number != 0
		case 3:
			g.group = string(text)
		}
	})
	return g
}

// privacyOf reads our option of a field or message; nil if it has none.
func privacyOf(options proto.Message) *privacy {
	b, ok := optionBytes(options, privacyOption)
	if !ok {
		return nil
	}
	p := new(privacy)
	eachField(b, func(num protowire.Number, number uint64, text []byte) {
		p.set(num, number != 0, string(text))
	})
	return p
}

func (p *privacy) set(num protowire.Number, yes bool, text string) {
	switch num {
	case 1:
		p.subject = append(p.subject, text)
	case 2:
		p.group = text
	case 3:
		p.retention = text
	case 4:
		p.from = text
	case 5:
		p.category = text
	case 6:
		p.origin = text
	case 7:
		p.indexed = yes
	case 8:
		p.freeText = yes
	case 9:
		p.person, p.saysPerson = text, true
	case 10:
		p.notPersonal, p.saysNot = text, true
	}
	p.saysPersonal = p.saysPersonal || num <= 8
}

// checkOptions refuses texts that declare one of our options in another shape: what they mark with it would go
// unseen.
func checkOptions(files linker.Files) error {
	for _, f := range files {
		if err := checkExtensions(f.Extensions()); err != nil {
			return err
		}
		if err := checkNested(f.Messages()); err != nil {
			return err
		}
	}
	return nil
}

func checkNested(ms protoreflect.MessageDescriptors) error {
	for i := range ms.Len() {
		if err := checkExtensions(ms.Get(i).Extensions()); err != nil {
			return err
		}
		if err := checkNested(ms.Get(i).Messages()); err != nil {
			return err
		}
	}
	return nil
}

func checkExtensions(xs protoreflect.ExtensionDescriptors) error {
	for i := range xs.Len() {
		x := xs.Get(i)
		extended := x.ContainingMessage().FullName()
		if extended != "google.protobuf.FieldOptions" && extended != "google.protobuf.MessageOptions" {
			continue
		}
		switch {
		case x.Number() == privacyOption:
			return markError(x, "option %d belongs to lethe/privacy.proto", x.Number()).
				Hint(`import "lethe/privacy.proto" and use (lethe.privacy)`)
		case x.Number() == gdprOption && extended == "google.protobuf.FieldOptions" && !isGDPR(x):
			return markError(x, "option %d has not the shape that marks personal data", x.Number()).
				Hint("declare its message with bool key = 1; bool pii = 2; string dataGrouping = 3; " +
					"or give the option another number")
		}
	}
	return nil
}

// isGDPR reports whether an option has the founding document's shape.
func isGDPR(x protoreflect.FieldDescriptor) bool {
	m := x.Message()
	if m == nil || x.IsList() || x.Kind() != protoreflect.MessageKind || m.Fields().Len() != 3 {
		return false
	}
	for _, want := range []struct {
		number protowire.Number
		name   string
		kind   protoreflect.Kind
	}{{1, "key", protoreflect.BoolKind}, {2, "pii", protoreflect.BoolKind}, {3, "dataGrouping", protoreflect.StringKind}} {
		f := m.Fields().ByNumber(want.number)
		if f == nil || f.IsList() || f.Kind() != want.kind || f.JSONName() != want.name {
			return false
		}
	}
	return true
}

// at is the place of a declaration: file:line name.
func at(d protoreflect.Descriptor) string {
	file := d.ParentFile()
	loc := file.SourceLocations().ByDescriptor(d)
	if loc.Path == nil {
		return fmt.Sprintf("%s %s", file.Path(), d.FullName())
	}
	return fmt.Sprintf("%s:%d %s", file.Path(), loc.StartLine+1, d.FullName())
}
