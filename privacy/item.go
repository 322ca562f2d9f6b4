package privacy

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/sealed"
)

// item is one event on its way to being sealed.
type item struct {
	write  *log.Write
	draft  *event.Draft
	plan   schema.Plan // nil: no schema
	found  schema.Findings
	owners []who        // of the values found, one after the other
	count  []int        // of owners, value by value
	alias  []who        // of the references found
	holes  []uint32     // where the values found were, value by value
	krids  []event.KRID // of alias
	marked []marked     // personal metadata
	boxes  []pending
	out    *log.Sealed
}

// marked is a personal metadata value.
type marked struct {
	key, value string
	mark       schema.Mark
	owner      who
}

// pending is a box that waits for its keys.
type pending struct {
	box     sealed.Box
	content sealed.Content
	want    int // the first of its owners' keys
}

// clear forgets what was personal, and keeps the memory.
func (it *item) clear() {
	values, references := it.found.Values, it.found.References
	for i := range values {
		subjects := values[i].Subjects
		clear(subjects)
		values[i] = schema.Value{Subjects: subjects[:0]} // Locate takes the room again
	}
	clear(references)
	boxes := it.boxes[:cap(it.boxes)] // those that were dropped, too
	for i := range boxes {
		b := &boxes[i]
		clear(b.content.Slots)
		clear(b.box.Owners)
		*b = pending{content: sealed.Content{Slots: b.content.Slots[:0]}, box: sealed.Box{Owners: b.box.Owners[:0]}}
	}
	clear(it.marked)
	*it = item{
		found: schema.Findings{Values: values[:0], References: references[:0]}, owners: it.owners[:0], count: it.count[:0],
		alias: it.alias[:0], holes: it.holes[:0], krids: it.krids[:0], marked: it.marked[:0], boxes: it.boxes[:0],
	}
}

// collect checks one event against its schema, finds what is personal in it, and says which persons it speaks of.
func (it *item) collect(w *work, write *log.Write, d *event.Draft) (err error) {
	it.write, it.draft = write, d
	if it.plan, err = it.schema(w); err != nil {
		return err
	}
	if d.Collection != "" {
		if _, ok := w.policy.Collection(d.Collection); !ok {
			return it.errorf(event.ErrInvalid, "collection_unknown", "the policy has no such collection").
				Hint("see which there are: lethe purpose show")
		}
	}
	if it.plan != nil {
		if err := it.locate(w); err != nil {
			return err
		}
	}
	if len(d.Metadata) > 0 {
		if err := it.metadata(w); err != nil {
			return err
		}
	}
	d.Relations = slices.Clone(d.Relations)
	for i := range d.Relations {
		if err := w.patch("relation", d.Relations[i].Kind, &d.Relations[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// schema is what the event is checked against: the version it names, else the present one of its type; nil if there is
// none.
func (it *item) schema(w *work) (schema.Plan, error) {
	d := it.draft
	if d.Schema == (event.SchemaID{}) {
		v := w.schemas.Current(d.Type)
		if v == nil && w.schemas.Demand() {
			return nil, it.errorf(event.ErrInvalid, "no_schema", "the store demands a schema for every type").
				Hint("push one: lethe schema push")
		}
		if v == nil {
			return nil, nil
		}
		d.Schema = v.ID
		return v.Plan()
	}
	v := w.schemas.Version(d.Schema)
	switch {
	case v == nil:
		return nil, it.errorf(event.ErrInvalid, "schema_unknown", "schema %s is not known here", d.Schema).
			Hint("push it, or leave it out to be checked against the present one: lethe schema ls")
	case v.Type != d.Type:
		return nil, it.errorf(event.ErrInvalid, "schema_mismatch", "schema %s is one of %q", d.Schema, v.Type)
	}
	return v.Plan()
}

// locate checks the data and finds its personal values and references.
func (it *item) locate(w *work) error {
	d, plan := it.draft, it.plan
	if d.Format != plan.Format() {
		return it.errorf(event.ErrInvalid, "wrong_format", "its data is not in the format of its schema")
	}
	data := []byte(d.Data)
	if len(data) == 0 && d.Format == event.JSON {
		data = []byte("{}")
	}
	if err := plan.Validate(data); err != nil {
		return err
	}
	if err := plan.Locate(data, &it.found); err != nil {
		return err
	}
	for i := range it.found.References {
		r := &it.found.References[i]
		x, err := w.person(r.Kind, r.Ref)
		if err != nil {
			return err
		}
		it.alias = append(it.alias, x)
	}
	for i := range it.found.Values {
		n := len(it.owners)
		v := &it.found.Values[i]
		for j := range v.Subjects {
			x, err := it.owner(w, &v.Subjects[j])
			if err != nil {
				return err
			}
			it.owners = append(it.owners, x)
		}
		it.count = append(it.count, len(it.owners)-n)
	}
	return nil
}

// owner is the person a subject names.
func (it *item) owner(w *work, s *schema.Subject) (who, error) {
	switch s.From {
	case schema.FromData:
		return w.person(s.Kind, s.Ref)
	case schema.FromStore:
		return w.known(event.SystemKind, keyring.OfStore(w.store)), nil
	case schema.FromStream:
		if !w.policy.Person(it.write.Stream.Kind) {
			return 0, it.errorf(event.ErrInvalid, "subject_unresolved",
				"a value is of the entity of the stream, whose kind is not declared a person")
		}
		return w.person(it.write.Stream.Kind, it.write.Stream.ID)
	case schema.FromRelation:
		return it.related(w, s.Role)
	}
	return 0, it.errorf(event.ErrFormat, "unknown_format", "its schema names a subject this version does not know")
}

// related is the only person the event is related to in a role.
func (it *item) related(w *work, role string) (who, error) {
	var found *event.Relation
	for i := range it.draft.Relations {
		r := &it.draft.Relations[i]
		if r.Role != role || !w.policy.Person(r.Kind) {
			continue
		}
		if found != nil && *found != *r {
			return 0, it.errorf(event.ErrInvalid, "subject_unresolved",
				"a value is of the person in role %s, and there are several", role)
		}
		found = r
	}
	if found == nil {
		return 0, it.errorf(event.ErrInvalid, "subject_unresolved", "a value is of the person in role %s, and there is none",
			role).Hint("name the person by a relation, of a kind that the policy declares a person")
	}
	return w.person(found.Kind, found.ID)
}

// metadata finds personal metadata, and leaves an empty text in its place.
func (it *item) metadata(w *work) error {
	d := it.draft
	for _, key := range d.MetadataKeys() {
		m, ok := w.policy.Metadata(key)
		if !ok {
			continue
		}
		probe := event.Draft{Type: "Checked", Metadata: map[string]string{key: d.Metadata[key]}}
		if err := probe.ValidateEnvelope(); err != nil { // the log gets to see none of it
			return err
		}
		x, err := it.related(w, m.Role)
		if err != nil {
			return err
		}
		if len(it.marked) == 0 {
			d.Metadata = maps.Clone(d.Metadata)
		}
		it.marked = append(it.marked, marked{key: key, value: d.Metadata[key], owner: x,
			mark: schema.Mark{Group: m.Group, Retention: m.Retention}})
		d.Metadata[key] = ""
	}
	return nil
}

// box takes the personal values out of the event and sorts them into boxes, whose keys it asks for.
func (it *item) box(w *work) error {
	for i := range it.marked {
		m := &it.marked[i]
		slot := sealed.Slot{Kind: uint8(ledger.KindMetadata), State: uint8(ledger.Value), Path: m.key,
			Hole: schema.NoHole, Value: []byte(m.value)}
		if err := it.put(w, &m.mark, []who{m.owner}, slot); err != nil {
			return err
		}
	}
	if it.plan != nil && len(it.found.Values)+len(it.found.References) > 0 {
		if err := it.cut(w); err != nil {
			return err
		}
	}
	it.relate(w)
	return it.close(w)
}

// relate adds the relation subject for everybody whose data the event holds, or whom its data names, and who is not
// related to it anyway: what the log holds of a person is found by relations.
func (it *item) relate(w *work) {
	for i := range it.marked {
		it.subject(w, it.marked[i].owner)
	}
	for _, x := range it.owners {
		it.subject(w, x)
	}
	for _, x := range it.alias {
		it.subject(w, x)
	}
}

func (it *item) subject(w *work, x who) {
	kind, id := w.kind(x), w.text(x)
	d := it.draft
	known := kind == event.SystemKind || it.write.Stream == event.Stream(kind, id) ||
		slices.ContainsFunc(d.Relations, func(r event.Relation) bool { return r.Kind == kind && r.ID == id })
	if !known {
		d.Relations = append(d.Relations, event.Relation{Role: event.RoleSubject, Kind: kind, ID: id})
	}
}

func (it *item) cut(w *work) error {
	for _, x := range it.alias {
		it.krids = append(it.krids, w.krid(x))
	}
	open, holes, err := it.plan.Cut(it.draft.Data, &it.found, it.krids, it.holes)
	if err != nil {
		return err
	}
	it.holes = holes
	owners := it.owners
	for i := range it.found.Values {
		v := &it.found.Values[i]
		own := owners[:it.count[i]]
		owners = owners[it.count[i]:]
		if v.State == ledger.Absent && len(own) == 0 {
			continue
		}
		slot := sealed.Slot{Kind: uint8(ledger.KindProperty), State: uint8(v.State), Path: v.Path, Hole: holes[i],
			Value: v.Bytes}
		if err := it.put(w, v.Mark, own, slot); err != nil {
			return err
		}
	}
	if len(it.draft.Data) > 0 {
		it.draft.Data = open
	}
	return nil
}

// put adds a value to the box of its owners, group, class and bucket.
func (it *item) put(w *work, m *schema.Mark, owners []who, s sealed.Slot) error {
	if err := w.policy.MayHold(m.Group, m.Category); err != nil {
		return err
	}
	bucket, err := it.bucket(w, m)
	if err != nil {
		return err
	}
	var room [4]event.KRID
	krids := room[:0]
	for _, x := range owners {
		krids = append(krids, w.krid(x))
	}
	if len(krids) > 1 {
		slices.SortFunc(krids, func(a, b event.KRID) int { return bytes.Compare(a[:], b[:]) })
		krids = slices.Compact(krids)
	}
	b := it.find(m, bucket, krids)
	if b == nil {
		if b, err = it.add(w, m, bucket, krids); err != nil {
			return err
		}
	}
	b.content.Slots = append(b.content.Slots, s)
	return nil
}

func (it *item) find(m *schema.Mark, bucket int64, krids []event.KRID) *pending {
	for i := range it.boxes {
		b := &it.boxes[i].box
		if b.Group == m.Group && b.Class == m.Retention && b.Bucket == bucket &&
			slices.EqualFunc(b.Owners, krids, func(o sealed.Owner, k event.KRID) bool { return o.KRID == k }) {
			return &it.boxes[i]
		}
	}
	return nil
}

func (it *item) add(w *work, m *schema.Mark, bucket int64, krids []event.KRID) (*pending, error) {
	if len(it.boxes) == sealed.MaxBoxes || len(krids) > sealed.MaxOwners {
		return nil, it.errorf(event.ErrInvalid, "oversized", "more than %d boxes, or %d owners of one value",
			sealed.MaxBoxes, sealed.MaxOwners)
	}
	if len(it.boxes) < cap(it.boxes) {
		it.boxes = it.boxes[:len(it.boxes)+1]
	} else {
		it.boxes = append(it.boxes, pending{})
	}
	b := &it.boxes[len(it.boxes)-1]
	b.content.Slots = b.content.Slots[:0]
	b.box = sealed.Box{Group: m.Group, Class: m.Retention, Bucket: bucket, Collection: it.draft.Collection,
		Joint: len(krids) > 1, Owners: b.box.Owners[:0]}
	for _, k := range krids {
		b.box.Owners = append(b.box.Owners, sealed.Owner{KRID: k})
	}
	return b, w.random(b.content.Seed[:])
}

// bucket is the retention bucket of a value with a mark.
func (it *item) bucket(w *work, m *schema.Mark) (int64, error) {
	if m.Retention == "" {
		return 0, nil
	}
	now := w.clock.Now()
	from := now
	switch m.From {
	case "", "recorded":
	case "occurred":
		if it.draft.OccurredAt.IsZero() {
			return 0, it.errorf(event.ErrInvalid, "retention_start_missing",
				"what is kept for %s counts from occurred_at, which is not given", m.Retention)
		}
		from = it.draft.OccurredAt
	default:
		date, err := it.date(m.From)
		if err != nil {
			return 0, err
		}
		from = date
	}
	return w.policy.BucketAt(m.Retention, from, now)
}

// date is the date that a pointer leads to in the data.
func (it *item) date(pointer string) (time.Time, error) {
	if t, ok := dateAt(it.draft.Data, pointer); ok {
		return t, nil
	}
	return time.Time{}, it.errorf(event.ErrInvalid, "retention_start_missing",
		"a retention period counts from %s, where no date stands", pointer)
}

func dateAt(data []byte, pointer string) (time.Time, bool) {
	text, ok := event.Text(data, pointer)
	if ok {
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, text); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// close ends the boxes: those in which nothing is are dropped, the others get their commitment and their order.
func (it *item) close(w *work) error {
	kept := 0
	for i := range it.boxes {
		b := &it.boxes[i]
		if !slices.ContainsFunc(b.content.Slots, func(s sealed.Slot) bool { return s.State != uint8(ledger.Absent) }) {
			continue
		}
		if kept != i {
			it.boxes[kept], it.boxes[i] = it.boxes[i], it.boxes[kept]
			b = &it.boxes[kept]
		}
		kept++
		if !slices.IsSortedFunc(b.content.Slots, compareSlots) {
			slices.SortFunc(b.content.Slots, compareSlots)
		}
		b.box.Commitment = w.commit(&b.content)
	}
	it.boxes = it.boxes[:kept]
	slices.SortFunc(it.boxes, func(a, b pending) int { return a.box.Compare(&b.box) })
	for i := range it.boxes {
		b := &it.boxes[i]
		b.want = len(w.wants)
		for j := range b.box.Owners {
			w.wants = append(w.wants, keyring.Want{KRID: b.box.Owners[j].KRID, Group: b.box.Group, Class: b.box.Class,
				Bucket: b.box.Bucket})
		}
	}
	return nil
}

func compareSlots(a, b sealed.Slot) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Path, b.Path))
}
