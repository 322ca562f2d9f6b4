package privacy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// failing is a use log whose disk fails.
type failing struct {
	storage.Uses
	err error
}

func (f *failing) RecordUses(ctx context.Context, u []storage.Use) error {
	if f.err != nil {
		return f.err
	}
	return f.Uses.RecordUses(ctx, u)
}

func TestNothingOpensWithoutRecord(t *testing.T) {
	r := newRig(t)
	uses := &failing{Uses: r.keys, err: event.Errorf(event.ErrFull, "record use: no room")}
	r.open(uses)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	events, err := r.Open(context.Background(), contract, r.records(result))
	if !errors.Is(err, event.ErrFull) || events != nil {
		t.Errorf("with a full use log: %v, %v", events, err)
	}
	if raw := r.read(event.Opening{}, result); len(raw) != 1 {
		t.Error("sealed reading needs the use log")
	}
	uses.err = nil
	if e := r.read(contract, result)[0]; !bytes.Contains(e.Data, []byte("Ada Lovelace")) {
		t.Errorf("after it has room again: %s", e.Data)
	}
}

// fencing is a use log during whose every record somebody is restricted.
type fencing struct {
	storage.Uses
	fence    func()
	recorded int
}

func (f *fencing) RecordUses(ctx context.Context, u []storage.Use) error {
	f.recorded++
	f.fence()
	return f.Uses.RecordUses(ctx, u)
}

// TestOthersFencedMeanwhile: an opening ends, with one use on record, however often others are restricted meanwhile;
// and where it is the person himself nothing is opened.
func TestOthersFencedMeanwhile(t *testing.T) {
	r := newRig(t)
	uses := &fencing{Uses: r.keys}
	r.open(uses)
	r.declare()
	ctx := context.Background()
	alias := func(ref string) (event.KRID, log.Result) {
		result := r.mustAppend(event.Stream("customer", ref), event.Draft{Type: "Registered",
			Data: fmt.Appendf(nil, `{"customer":%q,"name":"Ada Lovelace"}`, ref)})
		krid, err := event.ParseKRID(r.records(result)[0].Stream.ID)
		if err != nil {
			t.Fatal(err)
		}
		return krid, result
	}
	own, result := alias(applicant)
	restrict := func(krid event.KRID) func() {
		return func() {
			restricted := policy.SubjectRestricted{Principal: krid, Ground: policy.Unlawful}
			if _, err := r.Record(ctx, event.Actor{}, event.ID{}, restricted); err != nil {
				t.Error(err)
			}
		}
	}
	other, _ := alias("somebody.else.of.the.bank")
	uses.fence = restrict(other)
	if e := r.read(contract, result)[0]; len(e.Withheld) > 0 || uses.recorded != 1 {
		t.Errorf("withheld are %v, and %d uses are recorded", e.Withheld, uses.recorded)
	}
	uses.fence = restrict(own)
	if e := r.read(contract, result)[0]; len(e.Withheld) != 1 || e.Withheld[0].Reason != event.WithheldRestricted {
		t.Errorf("restricted while the use is recorded: %v", e.Withheld)
	}
}

func TestKeyServiceDown(t *testing.T) {
	r := newRig(t)
	faulty := r.faulty()
	r.declare()
	stream := event.Stream("customer", applicant)
	result := r.mustAppend(stream, registration())
	for _, fault := range []kmstest.Fault{kmstest.Down, kmstest.Denying, kmstest.NoMount, kmstest.Elsewhere} {
		faulty.Set(fault)
		if _, err := r.append(stream, registration()); err != nil {
			t.Errorf("fault %d, within the lease: %v", fault, err)
		}
		r.clock.now = r.clock.now.Add(16 * time.Minute)
		head, err := r.log.Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.append(stream, registration()); err == nil || event.Code(err) == "erased_subject" {
			t.Errorf("fault %d, after the lease: append gave %v", fault, err)
		}
		events, err := r.Open(context.Background(), contract, r.records(result))
		if err == nil || events != nil {
			t.Errorf("fault %d, after the lease: open gave %v, %v", fault, events, err)
		}
		if after, _ := r.log.Head(context.Background()); after.Position != head.Position {
			t.Errorf("fault %d: something was appended", fault)
		}
		if raw := r.read(event.Opening{}, result); len(raw[0].Withheld) == 0 {
			t.Errorf("fault %d: sealed reading shows nothing withheld", fault)
		}
		if _, err := r.append(event.Stream("case", "c1"), event.Draft{Type: "Plain", Data: []byte(`{"n":1}`)}); err != nil {
			t.Errorf("fault %d: work without personal data stopped: %v", fault, err)
		}
		faulty.Set(kmstest.Well)
		if e := r.read(contract, result)[0]; !bytes.Contains(e.Data, []byte("Ada Lovelace")) {
			t.Errorf("fault %d ended, but it reads %s", fault, e.Data)
		}
	}
}

// TestFenceSweep puts every kind of fence between sealing and committing.
func TestFenceSweep(t *testing.T) {
	ctx := context.Background()
	fences := map[string]func(r *rig) error{
		"policy": func(r *rig) error {
			other := strings.Replace(document, `"case": {}`, `"case": {}, "x": {}`, 1)
			_, err := r.SetPolicy(ctx, event.Actor{}, []byte(other), false)
			return err
		},
		"schema": func(r *rig) error {
			v := &schema.Version{Type: "Other", Notation: jsonschema.Name, Text: []byte(`{"type":"object"}`)}
			_, err := r.PushSchema(ctx, event.Actor{}, v, false)
			return err
		},
		"demand": func(r *rig) error { return r.DemandSchema(ctx, event.Actor{}, true) },
		"restriction": func(r *rig) error {
			krid, err := r.Subject(ctx, "customer", applicant)
			if err != nil {
				return err
			}
			_, err = r.Record(ctx, event.Actor{}, event.ID{},
				policy.SubjectRestricted{Principal: krid, Ground: policy.Unlawful})
			return err
		},
	}
	for name, fence := range fences {
		r := newRig(t)
		r.declare()
		stream := event.Stream("customer", applicant)
		r.mustAppend(stream, registration())
		request := []log.Request{{Writes: []log.Write{{Stream: stream, Expected: event.Any,
			Events: []event.Draft{registration(), registration()}}}}}
		out, errs := r.Seal(ctx, request)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		if err := fence(r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := r.log.Append(ctx, &out[0]); !errors.Is(err, log.ErrFenced) || !errors.Is(err, event.ErrConflict) {
			t.Errorf("%s: what was sealed before it was committed after it: %v", name, err)
		}
		if out, errs = r.Seal(ctx, request); errs[0] != nil {
			t.Errorf("%s: sealing again: %v", name, errs[0])
		}
		if _, err := r.log.Append(ctx, &out[0]); err != nil {
			t.Errorf("%s: sealed again: %v", name, err)
		}
	}
}

// TestDemandFencesConcurrently lets many append without a schema while the store begins to demand one: none of them
// may lie after the demand.
func TestDemandFencesConcurrently(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	r.declare()
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			for range 40 {
				stream := event.Stream("case", fmt.Sprint("c", n))
				_, err := r.append(stream, event.Draft{Type: "Unchecked", Data: []byte(`{}`)})
				if err != nil && event.Code(err) != "no_schema" && !errors.Is(err, log.ErrFenced) {
					t.Error(err)
					return
				}
			}
		})
	}
	if err := r.DemandSchema(ctx, event.Actor{}, true); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	page, err := r.log.Page(ctx, storage.Query{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	demanded := false
	for _, record := range page.Records {
		demanded = demanded || record.Type == schema.TypeDemanded
		if demanded && record.Type == "Unchecked" {
			t.Fatalf("position %d lies after the demand", record.Position)
		}
	}
	if !demanded {
		t.Fatal("nothing was demanded")
	}
}

func TestThousandFirstUses(t *testing.T) {
	r := newRig(t)
	r.declare()
	other := *r
	other.open(r.keys)
	var wg sync.WaitGroup
	for n := range 1000 {
		p := r
		if n%2 == 1 {
			p = &other
		}
		wg.Go(func() {
			ref := []string{"New-Person", "NEW-person", "new-person"}[n%3]
			if _, err := p.append(event.Stream("customer", ref), event.Draft{Type: "Plain"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	streams, err := r.log.Streams(context.Background(), storage.StreamQuery{Kind: "customer", Limit: 10})
	if err != nil || len(streams) != 1 || streams[0].Version != 1000 {
		t.Errorf("streams: %+v, %v", streams, err)
	}
}

func TestRepeatedAppend(t *testing.T) {
	r := newRig(t)
	r.declare()
	stream := event.Stream("customer", applicant)
	d := registration()
	d.ID = event.ID{1, 6: 0x70, 8: 0x80}
	first := r.mustAppend(stream, d)
	again := r.mustAppend(stream, d)
	if !again.Repeated || again.Last() != first.Last() {
		t.Errorf("the same append gave %+v", again)
	}
	other := d
	other.Data = []byte(strings.Replace(person, "Ada", "Eve", 1))
	if _, err := r.append(stream, other); !errors.Is(err, event.ErrDuplicate) {
		t.Errorf("another name under the same id: %v", err)
	}
	open := d
	open.Data = []byte(strings.Replace(person, `"amount":1e400`, `"amount":1e401`, 1))
	if _, err := r.append(stream, open); !errors.Is(err, event.ErrDuplicate) {
		t.Errorf("another amount under the same id: %v", err)
	}
	if _, err := r.keeper.Roll(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if again := r.mustAppend(stream, d); !again.Repeated {
		t.Error("after an epoch roll the same append is another one")
	}
	if _, err := r.append(stream, other); !errors.Is(err, event.ErrDuplicate) {
		t.Errorf("after an epoch roll, another name under the same id: %v", err)
	}
}

// TestMintedIsNotRepeated: an append whose ids were minted here has no digest of its values, so that one that names the
// ids is no repetition of it, whatever it says.
func TestMintedIsNotRepeated(t *testing.T) {
	r := newRig(t)
	r.declare()
	stream := event.Stream("customer", applicant)
	d := registration()
	d.ID = r.mustAppend(stream, d).Events[0].ID
	if _, err := r.append(stream, d); !errors.Is(err, event.ErrDuplicate) {
		t.Errorf("with the id that was minted: %v", err)
	}
}

// TestMovedBoxes puts the boxes of one event into another: nothing opens there.
func TestMovedBoxes(t *testing.T) {
	r := newRig(t)
	r.declare()
	stream := event.Stream("customer", applicant)
	records := r.records(r.mustAppend(stream, registration(), registration()))
	records[0].Boxes, records[1].Boxes = records[1].Boxes, records[0].Boxes
	for i := range records {
		events, err := r.Open(context.Background(), contract, records[i:i+1])
		if !errors.Is(err, event.ErrCorrupt) || event.Code(err) != "box_damaged" || events != nil {
			t.Errorf("record %d with another's boxes: %v", i, err)
		}
	}
}

// TestNothingLeftOver seals events one after the other, whose memory is used again: in each box is what belongs there.
func TestNothingLeftOver(t *testing.T) {
	r := newRig(t)
	r.declare()
	for i, c := range []struct{ data, want string }{
		{`{"customer":"1","name":"a"}`, "identity /name 2"},
		{`{"customer":"2","name":"b","income":7}`, "finance /income 2, identity /name 2"},
		{`{"customer":"3","name":"c","house":"h"}`, "identity /name 2, store-only /house 2"},
		{`{"customer":"1","name":"d","email":"e"}`, "contact /email 2, identity /name 2"},
		{`{"customer":"2","name":"e","email":null,"home":"x","spouse":"1"}`,
			"contact /home 2, contact /email 1, identity /name 2"},
	} {
		for range 5 {
			result := r.mustAppend(event.Stream("case", "c1"), event.Draft{Type: "Registered", Data: []byte(c.data)})
			paths, err := r.Paths(context.Background(), &r.records(result)[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths, ", "); got != c.want {
				t.Errorf("event %d: in its boxes is %s, want %s", i, got, c.want)
			}
		}
	}
}

// TestErrorsHoldNoValues makes every door refuse something personal, and looks for it in what they say.
func TestErrorsHoldNoValues(t *testing.T) {
	r := newRig(t)
	r.declare()
	const marker = "MARKER-0815"
	data := func(text string) event.Draft { return event.Draft{Type: "Registered", Data: []byte(text)} }
	email := registration()
	email.Relations = append(email.Relations, event.Relation{Role: "about", Kind: "case", ID: marker + "@example.org"})
	none := registration()
	none.Relations = nil
	unknown := registration()
	unknown.Collection = strings.ToLower(marker)
	for name, d := range map[string]event.Draft{
		"wrong type":       data(`{"customer":"` + marker + `","name":7}`),
		"missing":          data(`{"customer":"` + marker + `"}`),
		"unknown property": data(`{"customer":"1","name":"x","` + marker + `":"` + marker + `"}`),
		"not a number":     data(`{"customer":"1","name":"x","income":"` + marker + `"}`),
		"not JSON":         data(`{"customer":"1","name":"` + marker),
		"duplicate name":   data(`{"customer":"1","name":"` + marker + `","name":"` + marker + `"}`),
		"spaces in a ref":  data(`{"customer":"` + marker + ` ` + marker + `","name":"x"}`),
		"no subject":       data(`{"customer":"1","name":"x","guests":[{"who":"","dish":"` + marker + `"}]}`),
		"e-mail as id":     email,
		"no issuer":        none,
		"false KRID":       data(`{"customer":"krid_` + marker + `","name":"x"}`),
	} {
		_, err := r.append(event.Stream("customer", applicant), d)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), strings.ToLower(marker)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.append(event.Stream("customer", marker+" "+marker), registration()); err == nil ||
		strings.Contains(err.Error(), marker) {
		t.Errorf("malformed stream: %v", err)
	}
	head, err := r.log.Head(context.Background())
	if err != nil || head.Position != 2 {
		t.Errorf("something was appended: head %d", head.Position)
	}
}

// TestEveryValueSurvives sends random JSON through the whole road.
func TestEveryValueSurvives(t *testing.T) {
	r := newRig(t)
	r.declare()
	rapid.Check(t, func(t *rapid.T) {
		draw := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		name, income := anyString(draw), anyNumber(draw)
		text := `{"customer":"` + applicant + `","name":` + name + `,"income":` + income + `,"email":` +
			[]string{"null", name}[draw.IntN(2)] + `}`
		d := event.Draft{Type: "Registered", Data: []byte(text)}
		result, err := r.append(event.Stream("case", "c1"), d)
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		e := r.read(contract, result)[0]
		krid, err := r.Subject(context.Background(), "customer", applicant)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(text, `"`+applicant+`"`, `"`+krid.String()+`"`, 1); string(e.Data) != want {
			t.Fatalf("got  %s\nwant %s", e.Data, want)
		}
	})
}

// anyString is a JSON string literal of characters of every plane, escaped in one way or another.
func anyString(r *rand.Rand) string {
	var b strings.Builder
	b.WriteByte('"')
	for range r.IntN(12) {
		c := rune(r.IntN(0x110000))
		if c >= 0xd800 && c < 0xe000 || c < 0x20 || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r.IntN(0x80))
			continue
		}
		b.WriteRune(c)
	}
	b.WriteByte('"')
	return b.String()
}

func anyNumber(r *rand.Rand) string {
	return []string{"-0", "1e400", "-1E-400", "9007199254740993", "0.1000", "18446744073709551616",
		"1234567890123456789012345678901234567890.0987654321", "-0.0e+00", fmt.Sprint(r.Uint64())}[r.IntN(9)]
}
