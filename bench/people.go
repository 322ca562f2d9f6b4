package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/schema"
)

// MaxPersonal is the most personal fields of an event.
const MaxPersonal = 100

// person is the kind of entity of whom events are about; groups are what their values are of, in turn.
const person = "customer"

func groups() []string { return []string{"identity", "contact"} }

// reader is who opens what was sealed.
var reader = event.Actor{Kind: "service", ID: Kind}

// SealingResult is what was sealed, and about whom.
type SealingResult struct {
	Personal    int        `json:"personal"`          // sealed values of each event
	Subjects    int        `json:"subjects"`          // people who were known before
	NewRatio    float64    `json:"new_ratio"`         // share of events that are about somebody new
	Clear       bool       `json:"clear"`             // the values are declared business facts, and were not sealed
	PeoplePer   float64    `json:"people_per_second"` // made known before, with a key for each group
	PersonBytes float64    `json:"bytes_per_person"`  // in the keystore
	Boxes       BoxesBytes `json:"sealed_bytes"`      // of one event
	Purpose     string     `json:"purpose"`           // for which it was opened
	Opened      uint64     `json:"opened"`            // events of which everything was opened
	Withheld    uint64     `json:"withheld"`          // events of which something was not
}

// BoxesBytes is what the sealed values of one event take, by what it is for.
type BoxesBytes struct {
	Values float64 `json:"values"` // as their producer gave them
	Around float64 `json:"around"` // whose, group, commitment, nonce; under the key seed, paths, padding; tag
}

func (b BoxesBytes) total() float64 { return b.Values + b.Around }

// cast is the people of a measurement.
type cast struct {
	fields   int
	subjects int
	fresh    float64      // share of events that are about somebody new
	next     atomic.Int64 // the next one who is new
}

// pick is whom an event is about.
func (c *cast) pick(r *rand.Rand) int64 {
	if c.fresh > 0 && r.Float64() < c.fresh {
		return c.next.Add(1) - 1
	}
	return int64(r.IntN(c.subjects))
}

// reference is how a person is known: person n under a name of 12 characters.
func reference(n int64) keyring.Reference {
	return keyring.Reference{Kind: person, Ref: string(appendReference(nil, n))}
}

func appendReference(b []byte, n int64) []byte {
	b = append(b, "c-0000000000"...)
	for i := len(b) - 1; n > 0; i-- {
		b[i], n = byte('0'+n%10), n/10
	}
	return b
}

// personal is the members of a payload that name a person, and hold its personal values.
func personal(fields int) string {
	if fields == 0 {
		return ""
	}
	b := append(appendReference([]byte(`"`+person+`":"`), 0), `",`...)
	for i := range fields {
		b = fmt.Appendf(b, `"p%02d":"%016x",`, i, 0)
	}
	return string(b)
}

// fill writes into a payload whom it is about, and values of theirs.
func (c *cast) fill(data []byte, who int64, digits []byte) {
	at := len(head) + len(person) + len(`"":"`)
	appendReference(data[at:at], who)
	at += len(`c-0123456789",`)
	for range c.fields {
		at += len(`"p00":"`)
		copy(data[at:], digits)
		at += len(`0123456789abcdef",`)
	}
}

// checkPersonal refuses what cannot be measured.
func (o *Options) checkPersonal(b *Bench) error {
	if o.Personal == 0 && o.Clear {
		return event.Invalid("malformed_option", "bench: --clear is about personal values; say how many: --personal 2")
	}
	if o.Personal == 0 {
		return nil
	}
	least := MinPayload + len(personal(o.Personal))
	switch {
	case b.OpenKeys == nil:
		return event.Errorf(event.ErrUnsupported, "bench: --personal and --purpose want keys, and a server has its own").
			Hint("measure a folder or a database")
	case o.Payload < least:
		return event.Invalid("malformed_option", "bench: --payload %d has no room for %d personal fields; want %d",
			o.Payload, o.Personal, least)
	case !(o.NewRatio >= 0 && o.NewRatio <= 1):
		return event.Invalid("malformed_option", "bench: --new-ratio %g is not from 0 to 1", o.NewRatio)
	}
	return nil
}

// people declares what is personal and makes people known. nil: nothing is personal.
func (b *Bench) people(ctx context.Context, t *target, o *Options) (*SealingResult, error) {
	if o.Personal == 0 {
		return nil, nil
	}
	if t.start > 0 {
		return nil, event.Invalid("store_not_empty", "declare people: the store holds events already").
			Hint("leave --store away, or name one that is not there: what a bench seals is under keys that end with it")
	}
	if err := t.declare(ctx, o); err != nil {
		return nil, err
	}
	o.cast = &cast{fields: o.Personal, subjects: o.Subjects, fresh: o.NewRatio}
	o.cast.next.Store(int64(o.Subjects))
	r := &SealingResult{Personal: o.Personal, Subjects: o.Subjects, NewRatio: o.NewRatio, Clear: o.Clear}
	var err error
	r.PeoplePer, r.PersonBytes, err = b.meet(ctx, t, o.Subjects)
	return r, err
}

// declare sets a policy with one purpose, and pushes a schema for every type.
func (t *target) declare(ctx context.Context, o *Options) error {
	names := make(map[string]any)
	for _, g := range groups() {
		names[g] = struct{}{}
	}
	document, err := json.Marshal(map[string]any{
		"version": 1, "groups": names,
		"kinds":    map[string]any{person: map[string]any{"person": true}, reader.Kind: struct{}{}},
		"purposes": map[string]any{o.purpose(): map[string]any{"basis": "contract", "groups": groups()}},
		"rules":    `permit(principal is ` + reader.Kind + `, action == Action::"open", resource);`,
	})
	if err != nil {
		return fmt.Errorf("declare people: %w", err)
	}
	if _, err := t.Privacy().SetPolicy(ctx, event.Actor{}, document, false); err != nil {
		return err
	}
	for i := range eventTypes {
		v := &schema.Version{Type: eventType + strconv.Itoa(i), Notation: "jsonschema", Text: o.declaration()}
		if _, err := t.Privacy().PushSchema(ctx, event.Actor{}, v, false); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) purpose() string {
	if o.Purpose == "" {
		return "bench"
	}
	return o.Purpose
}

// declaration is the schema of a payload.
func (o *Options) declaration() []byte {
	const business = `"x-not-personal":"business-fact"`
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"type":"object","additionalProperties":false,"required":[%q],"properties":{%[1]q:{"type":"string",`+
		`"x-person":%[1]q}`, person)
	for i := range o.Personal {
		mark := fmt.Sprintf(`"x-personal":{"group":%q,"subject":"/%s"}`, groups()[i%len(groups())], person)
		if o.Clear {
			mark = business
		}
		fmt.Fprintf(&b, `,"p%02d":{"type":"string",%s}`, i, mark)
	}
	for name, kind := range map[string]string{"amount": "integer", "currency": "string", "score": "number",
		"step": "string", "note": "string"} {
		fmt.Fprintf(&b, `,%q:{"type":%q,%s}`, name, kind, business)
	}
	b.WriteString("}}")
	return b.Bytes()
}

// atOnce is how many people are made known in one call.
const atOnce = 500

// meet makes n people known, with a key for each group, and tells how fast, and what each takes in the keystore.
func (b *Bench) meet(ctx context.Context, t *target, n int) (perSecond, bytesEach float64, err error) {
	before, err := t.keyBytes(ctx)
	if err != nil {
		return 0, 0, err
	}
	begin := b.Clock.Now()
	for done := 0; done < n && ctx.Err() == nil; {
		last := min(n, done+atOnce)
		if _, err := t.keys(ctx, done, last); err != nil {
			return 0, 0, err
		}
		done = last
		b.report(Progress{Phase: "meet", Events: uint64(done), Total: uint64(n), Elapsed: b.Clock.Now().Sub(begin)})
	}
	if err := ctx.Err(); err != nil {
		return 0, 0, context.Cause(ctx)
	}
	perSecond = per(float64(n), b.Clock.Now().Sub(begin).Seconds())
	after, err := t.keyBytes(ctx)
	return perSecond, per(float64(after-before), float64(n)), err
}

// keys are the keys of the people from first to last, exclusive, as they are wanted for opening. Who is new is made.
func (t *target) keys(ctx context.Context, first, last int) ([]keyring.OpenWant, error) {
	refs := make([]keyring.Reference, last-first)
	for i := range refs {
		refs[i] = reference(int64(first + i))
	}
	krids, err := t.Keeper().Resolve(ctx, refs, true)
	if err != nil {
		return nil, err
	}
	var wants []keyring.Want
	for _, krid := range krids {
		for _, g := range groups() {
			wants = append(wants, keyring.Want{KRID: krid, Group: g})
		}
	}
	made := make([]keyring.Key, len(wants))
	if err := t.Keeper().ForSealing(ctx, wants, made); err != nil {
		return nil, err
	}
	opens := make([]keyring.OpenWant, len(wants))
	for i := range wants {
		opens[i] = keyring.OpenWant{Want: wants[i], Generation: made[i].Generation}
	}
	return opens, nil
}

// keyBytes is the size of the keystore.
func (t *target) keyBytes(ctx context.Context) (total int64, err error) {
	sizes, err := t.KeySizes(ctx)
	for _, s := range sizes {
		total += s.Bytes
	}
	return total, err
}

// sampled is how many events are looked at for their sizes.
const sampled = 500

// weigh looks at the last events of the log: what their boxes take, and what is left of their data.
func (r *SealingResult) weigh(ctx context.Context, t *target) (data float64, err error) {
	events, boxes := 0, 0
	q := lethe.Query{Filter: event.Filter{{Kinds: []string{Kind}}}, Backward: true, Limit: sampled}
	for e, err := range t.As(event.Actor{}).Query(ctx, q) {
		if err != nil {
			return 0, err
		}
		events, boxes = events+1, boxes+len(e.Boxes)
		data += float64(len(e.Data))
	}
	n := float64(events)
	if r.Clear {
		return per(data, n), nil
	}
	r.Boxes.Values = float64(r.Personal * len(`"0123456789abcdef"`))
	r.Boxes.Around = per(float64(boxes), n) - r.Boxes.Values
	return per(data, n), nil
}

// see counts an event that was opened, or not.
func (s *scan) see(e *event.Event) {
	if len(e.Withheld) > 0 || len(e.Boxes) == 0 {
		s.withheld++
	} else {
		s.opened++
	}
}
