package lethetest

import (
	"fmt"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

func eachOutcome(t *testing.T, r *rig) {
	if got := r.session.AppendEach(t.Context(), nil); len(got) != 0 {
		t.Errorf("%d outcomes of nothing", len(got))
	}
	outcomes := r.session.AppendEach(t.Context(), []log.Request{
		request(write(stream("1"), event.None, withID(1, "A"))),
		request(write(stream("1"), event.None, draft("B"))),
		request(write(stream("1"), event.Any, draft(""))),
		request(write(stream("1"), event.Any, draft("A\xff"))),
		request(write(event.Stream("a/b", "1"), event.Any, draft("C"))),
		request(write(stream("1"), event.None, withID(1, "A"))),
		request(write(stream("2"), event.Any, withID(1, "B"))),
		request(write(stream("1"), event.At(1), draft("D"), draft("E"))),
	})
	if len(outcomes) != 8 {
		t.Fatalf("%d outcomes", len(outcomes))
	}
	for i, code := range []string{1: "version_conflict", 2: "malformed_type", 3: "malformed_type", 4: "malformed_name",
		6: "id_conflict", 7: ""} {
		if got := event.Code(outcomes[i].Err); got != code {
			t.Errorf("outcome %d: code %q, want %q", i, got, code)
		}
	}
	if first := outcomes[0].Result; first.Repeated || !outcomes[5].Result.Repeated {
		t.Error("the sixth repeats the first")
	} else {
		same(t, "places of the repetition", first.Events, outcomes[5].Result.Events)
	}
	got := versions(collect(t, r.session.Read(t.Context(), stream("1"), lethe.Range{})))
	same(t, "versions", []event.Version{1, 2, 3}, got)
}

// eachLarge is more than fits into one message, by number and by bytes, in order.
func eachLarge(t *testing.T, r *rig) {
	var requests []log.Request
	for n := range 2500 {
		d := draft(fmt.Sprint("T", n))
		if n%250 == 0 {
			d = large(d.Type, 900_000)
		}
		requests = append(requests, request(write(stream("1"), event.At(event.Version(n)), d)))
	}
	for i, o := range r.session.AppendEach(t.Context(), requests) {
		if o.Err != nil || o.Result.Events[0].Position != event.Position(i+1) {
			t.Fatalf("outcome %d: %+v, %v", i, o.Result, o.Err)
		}
	}
	for i, e := range collect(t, r.session.Read(t.Context(), stream("1"), lethe.Range{})) {
		if want := fmt.Sprint("T", i); e.Type != want {
			t.Fatalf("event %d is %q", i, e.Type)
		}
	}
}

func sessionFills(t *testing.T, r *rig) {
	ctx := t.Context()
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	relations := []event.Relation{{Role: "affected", Kind: "branch", ID: "3"}}
	named := event.Draft{Type: "Named", Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "112"}}}
	res := r.append(t, stream("1"), event.Draft{Type: "Root", Traceparent: trace, Relations: relations}, named)
	if len(relations) != 1 {
		t.Error("the caller's relations changed")
	}
	find := func(id event.ID) event.Event {
		e, err := r.Store.As(event.Actor{}).Event(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	root := find(res.Events[0].ID)
	want := []event.Relation{{Role: "affected", Kind: "branch", ID: "3"}, clerk().Issuer()}
	same(t, "the actor is the issuer", want, root.Relations)
	same(t, "a named issuer stays", named.Relations, find(res.Events[1].ID).Relations)
	res, err := r.session.CausedBy(root).Append(ctx, stream("1"), event.Any, draft("Child"))
	if err != nil {
		t.Fatal(err)
	}
	child := find(res.Events[0].ID)
	if child.Causation != root.ID || child.Correlation != root.ID.String() || child.Traceparent != trace {
		t.Errorf("the child inherits: %s, %q, %q", child.Causation, child.Correlation, child.Traceparent)
	}
	outcomes := r.session.CausedBy(child).AppendEach(ctx,
		[]log.Request{request(write(stream("2"), event.Any, draft("Next")))})
	if outcomes[0].Err != nil {
		t.Fatal(outcomes[0].Err)
	}
	next := find(outcomes[0].Result.Events[0].ID)
	if next.Causation != child.ID || next.Correlation != root.ID.String() {
		t.Error("the grandchild belongs to the same operation")
	}
}
