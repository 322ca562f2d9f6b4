package protoschema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Limits of a plan.
const (
	maxFields = 50_000 // of all nodes
)

// builder turns descriptors into nodes.
type builder struct {
	root       protoreflect.MessageDescriptor
	kind       string // of persons, where declarations name none
	reachable  []protoreflect.MessageDescriptor
	fields     map[protoreflect.FullName]*declaration
	messages   map[protoreflect.FullName]*declaration
	keys       map[protoreflect.FullName]protoreflect.FieldDescriptor // message → its key
	references map[protoreflect.FullName]string                       // field → kind of the person
	nodes      map[nodeKey]*node
	order      []*node
	queue      []pending
	count      int // of fields
	persons    bool
	undeclared []protoreflect.FieldDescriptor
}

// scope is what covers a message from above.
type scope struct {
	below  *declaration
	key    protoreflect.FullName // of the message that has it; empty: none
	opaque bool                  // inside a value that is sealed or open as a whole
}

type nodeKey struct {
	name protoreflect.FullName
	scope
}

type pending struct {
	node  *node
	scope scope
}

func newBuilder(root protoreflect.MessageDescriptor, kind string) *builder {
	return &builder{
		root: root, kind: kind,
		fields:     map[protoreflect.FullName]*declaration{},
		messages:   map[protoreflect.FullName]*declaration{},
		keys:       map[protoreflect.FullName]protoreflect.FieldDescriptor{},
		references: map[protoreflect.FullName]string{},
		nodes:      map[nodeKey]*node{},
	}
}

// build makes the node of the root and all below it.
func (b *builder) build() (*node, error) {
	if err := b.reach(); err != nil {
		return nil, err
	}
	for _, m := range b.reachable {
		if err := b.declarations(m); err != nil {
			return nil, err
		}
	}
	for _, m := range b.reachable {
		if err := b.resolveAll(m); err != nil {
			return nil, err
		}
	}
	root := b.node(b.root, scope{})
	for len(b.queue) > 0 {
		next := b.queue[0]
		b.queue = b.queue[1:]
		if err := b.fill(next.node, next.scope); err != nil {
			return nil, err
		}
	}
	if b.persons && len(b.undeclared) > 0 {
		return nil, b.denied()
	}
	b.spread()
	for _, n := range b.order {
		for _, f := range n.fields {
			if f.role != open || f.child != nil && f.child.deep {
				n.active = append(n.active, f)
			}
		}
	}
	return root, nil
}

// reach lists every message type of the event, and refuses what cannot be described.
func (b *builder) reach() error {
	seen := map[protoreflect.FullName]bool{b.root.FullName(): true}
	b.reachable = append(b.reachable, b.root)
	for i := 0; i < len(b.reachable); i++ {
		m := b.reachable[i]
		if err := checkMessage(m); err != nil {
			return err
		}
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			if f.Kind() == protoreflect.GroupKind {
				return refused(f, "groups are not taken", "declare a message, and a field of its type")
			}
			child := f.Message()
			if child == nil {
				continue
			}
			if child.FullName() == "google.protobuf.Any" {
				return refused(f, "google.protobuf.Any may hold what no schema declares",
					"name the types it may hold, as members of a oneof")
			}
			if !seen[child.FullName()] {
				seen[child.FullName()] = true
				b.reachable = append(b.reachable, child)
			}
		}
	}
	return nil
}

func checkMessage(m protoreflect.MessageDescriptor) error {
	switch {
	case m.FullName() == "google.protobuf.Any":
		return refused(m, "google.protobuf.Any may hold what no schema declares", "name the type itself")
	case isMessageSet(m):
		return refused(m, "message sets are not taken", "declare the fields")
	}
	return nil
}

func isMessageSet(m protoreflect.MessageDescriptor) bool {
	o, ok := m.Options().(*descriptorpb.MessageOptions)
	return ok && o.GetMessageSetWireFormat()
}

func refused(d protoreflect.Descriptor, why, mend string) error {
	return event.Invalid("schema_unsupported", "compile schema %s: %s", at(d), why).Hint("%s", mend)
}

// isWellKnown says that a type is Google's, whose fields nobody can mark: it is one value.
func isWellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(m.ParentFile().Path(), "google/protobuf/")
}

// declarations reads the options of a message and its fields.
func (b *builder) declarations(m protoreflect.MessageDescriptor) error {
	if isWellKnown(m) || m.IsMapEntry() {
		return nil
	}
	if p := privacyOf(m.Options()); p != nil {
		d, err := declare(p, m, m)
		if err != nil {
			return err
		}
		if d.person != "" {
			return markError(m, "person is said of fields, not of messages").Hint("put it on the field that holds the reference")
		}
		b.messages[m.FullName()] = d
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		d, err := b.declaration(f)
		if err != nil {
			return err
		}
		if d != nil {
			b.fields[f.FullName()] = d
		}
	}
	return nil
}

// declaration reads the options of a field; nil if they say nothing.
func (b *builder) declaration(f protoreflect.FieldDescriptor) (*declaration, error) {
	g, p := gdprOf(f), privacyOf(f.Options())
	var d *declaration
	var err error
	switch {
	case g != nil && p != nil:
		return nil, markError(f, "two options declare it").Hint("keep one of them")
	case g != nil:
		d, err = founding(g, f, b.kind)
	case p != nil:
		d, err = declare(p, f, f.ContainingMessage())
	}
	if err != nil || d == nil || d.person == "" {
		return d, err
	}
	if g != nil {
		m := f.ContainingMessage().FullName()
		if other := b.keys[m]; other != nil {
			return nil, markError(f, "the message has another key, %s", other.Name()).
				Hint("mark the one that identifies the person, or use (lethe.privacy) with subject and person")
		}
		if f.IsList() {
			return nil, markError(f, "a key holds one reference").Hint("make it a field that is not repeated")
		}
		b.keys[m] = f
	}
	b.references[f.FullName()] = d.person
	return d, checkReference(f, f)
}

func (b *builder) resolveAll(m protoreflect.MessageDescriptor) error {
	if d := b.messages[m.FullName()]; d != nil {
		if err := b.resolve(d); err != nil {
			return err
		}
	}
	for i := range m.Fields().Len() {
		if d := b.fields[m.Fields().Get(i).FullName()]; d != nil {
			if err := b.resolve(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// node is the node of a message under a scope; what is new is filled later.
func (b *builder) node(m protoreflect.MessageDescriptor, s scope) *node {
	n := &node{desc: m, entry: m.IsMapEntry(), leaf: isWellKnown(m)}
	if !s.opaque {
		if d := b.messages[m.FullName()]; d != nil {
			s.below, n.below = d, true
		}
		if b.keys[m.FullName()] != nil {
			s.key, n.key = m.FullName(), true
		}
	}
	key := nodeKey{m.FullName(), s}
	if known := b.nodes[key]; known != nil {
		return known
	}
	b.nodes[key] = n
	b.order = append(b.order, n)
	b.queue = append(b.queue, pending{n, s})
	return n
}

// fill makes the fields of a node.
func (b *builder) fill(n *node, s scope) error {
	all := n.desc.Fields()
	if b.count += all.Len(); b.count > maxFields {
		return event.Invalid("schema_too_large", "compile schema: more than %d fields, counted at every place", maxFields).
			Hint("cover whole messages with one declaration at the field that holds them")
	}
	for i := range all.Len() {
		f := newField(all.Get(i))
		n.fields = append(n.fields, f)
		var err error
		if s.opaque {
			err = b.whole(f)
		} else {
			err = b.assign(f, s)
		}
		if err != nil {
			return err
		}
		if f.child != nil {
			f.child.parents = append(f.child.parents, n)
		}
		if f.desc.Cardinality() == protoreflect.Required {
			n.required = append(n.required, f)
		}
	}
	slices.SortFunc(n.fields, func(x, y *field) int { return int(x.num) - int(y.num) })
	return nil
}

// whole makes a field inside a value that is sealed, or open, as a whole. Nothing personal can be told apart there.
func (b *builder) whole(f *field) error {
	if d := b.fields[f.desc.FullName()]; d != nil && d.reason == "" || b.references[f.desc.FullName()] != "" {
		return markError(f.desc, "it is declared, and it is inside of a value that is one whole").
			Hint("take the mark off the field, or off the map, message or list around it")
	}
	child := f.desc.Message()
	if child == nil {
		return nil
	}
	if d := b.messages[child.FullName()]; d != nil && d.reason == "" {
		return markError(child, "it declares its fields, and %s holds it as one whole", f.desc.FullName()).
			Hint("take the mark off the message, or off the map, message or list around it")
	}
	f.child = b.node(child, scope{opaque: true})
	return nil
}

// assign makes a field after its own declaration, or what covers it from above.
func (b *builder) assign(f *field, s scope) error {
	own := b.fields[f.desc.FullName()]
	if kind := b.references[f.desc.FullName()]; kind != "" {
		f.role, f.refKind, f.declared = reference, kind, own
		if own == nil {
			f.declared = &declaration{person: kind, by: f.desc, holder: f.desc.ContainingMessage()}
		}
		f.mark = f.declared.mark
		b.persons = true
		return nil
	}
	child := f.desc.Message()
	inner := child != nil && !f.entries && !isWellKnown(child)
	if inner && (own == nil || own.reason != "") {
		if own != nil {
			s.below = own
		}
		f.child = b.node(child, s)
		return nil
	}
	said := own
	if said == nil {
		said = s.below
	}
	f.declared = said
	switch {
	case said == nil:
		if !inner && (child == nil || child.Fields().Len() > 0) {
			b.undeclared = append(b.undeclared, f.desc)
		}
	case said.reason == "":
		if err := b.seal(f, said, s); err != nil {
			return err
		}
	}
	if child != nil {
		f.child = b.node(child, scope{opaque: true})
		return b.checkWhole(f, child)
	}
	return nil
}

// checkWhole refuses a message that declares its fields where a field holds it as one whole.
func (b *builder) checkWhole(f *field, child protoreflect.MessageDescriptor) error {
	if d := b.messages[child.FullName()]; d != nil && d.reason == "" {
		return markError(child, "it declares its fields, and %s holds it as one whole", f.desc.FullName()).
			Hint("take the mark off the message, or off the field")
	}
	return nil
}

// seal makes a field a personal value.
func (b *builder) seal(f *field, d *declaration, s scope) error {
	f.role, f.mark, f.routes, f.subjects = sealed, d.mark, d.routes, d.subjects
	b.persons = true
	switch {
	case len(f.routes) > 0:
	case !d.keyed && s.below != nil && len(s.below.routes) > 0:
		f.routes, f.subjects = s.below.routes, s.below.subjects
	case !d.keyed:
		return subjectError(f.desc, "it does not say whose the value is").
			Hint(`add subject: a path such as "customer_id", "stream", "relation:ROLE", or "store"`)
	case s.key == "":
		return subjectError(f.desc, "no key says whose the value is").
			Hint("mark the field that identifies the person with key: true, in this message or one around it")
	default:
		key := b.keys[s.key]
		f.subjects = []string{string(key.Name())}
		f.routes = []route{{from: schema.FromData, kind: b.references[key.FullName()], start: startKey,
			path: []protoreflect.FieldNumber{key.Number()}}}
	}
	for _, r := range f.routes {
		if r.from == schema.FromData {
			f.fixed = nil
			return nil
		}
		f.fixed = append(f.fixed, r.fixed())
	}
	return nil
}

// denied lists what nobody declared, and shows how a declaration reads.
func (b *builder) denied() error {
	var places []string
	seen := map[protoreflect.FullName]bool{}
	for _, f := range b.undeclared {
		if !seen[f.FullName()] {
			seen[f.FullName()] = true
			places = append(places, at(f))
		}
	}
	f := b.undeclared[0]
	label := ""
	if f.IsList() {
		label = "repeated "
	}
	return event.Invalid("schema_unmarked",
		"compile schema: the schema names a person, and does not say whether these fields are personal: %s", listed(places)).
		Hint("write `import \"%s\";` and, if it is not personal, `%s%s %s = %d [(lethe.privacy).not_personal = \"%s\"];`%s",
			privacyPath, label, typeName(f), f.Name(), f.Number(), schema.BusinessFact, b.foundingMend())
}

// foundingMend shows the declaration in the founding document's words, for who uses them.
func (b *builder) foundingMend() string {
	if len(b.keys) == 0 {
		return ""
	}
	return "; if it is personal, `{pii: true, dataGrouping: …}`; to seal it under the store's own keyring, " +
		"`{pii: false, dataGrouping: …}`"
}

// spread marks the nodes with a personal value or a reference, and every node above one.
func (b *builder) spread() {
	var reached []*node
	reach := func(n *node) {
		if !n.deep {
			n.deep = true
			reached = append(reached, n)
		}
	}
	for _, n := range b.order {
		if slices.ContainsFunc(n.fields, func(f *field) bool { return f.role != open }) {
			reach(n)
		}
	}
	for len(reached) > 0 {
		n := reached[len(reached)-1]
		reached = reached[:len(reached)-1]
		for _, p := range n.parents {
			reach(p)
		}
	}
}
