package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

// large fills the log with events of which few fit into a page, between many small ones, and truncates a stream.
func large(t testing.TB, s *lethe.Store) {
	t.Helper()
	fill(t, s, 90, "application", "customer")
	for i := range 5 {
		data := fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("x", 900_000-i*10_000))
		d := event.Draft{Type: "Large", Data: json.RawMessage(data)}
		if _, err := s.As(event.Actor{}).Append(t.Context(), event.Stream("document", "1"), event.Any, d); err != nil {
			t.Fatal(err)
		}
		fill(t, s, 5, "document")
	}
	for _, c := range []struct {
		stream event.StreamID
		before event.Version
	}{{event.Stream("application", "0"), 7}, {event.Stream("customer", "1"), 10}} {
		if err := s.As(event.Actor{}).TruncateStream(t.Context(), c.stream, c.before); err != nil {
			t.Fatal(err)
		}
	}
}

func gathered(t *rapid.T, events iter.Seq2[event.Event, error]) (all []event.Event) {
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// checkPage holds a page to its limits.
func checkPage(t *rapid.T, events []*lethev1.Event, limit uint32, done bool, next uint64) {
	size := 0
	for _, e := range events {
		size += proto.Size(e)
	}
	most := int(limit)
	if most == 0 {
		most = wire.PageEvents
	}
	if len(events) > min(most, wire.MaxEvents) || len(events) > 1 && size > wire.PageBytes {
		t.Fatalf("a page of %d events and %d bytes, asked for %d", len(events), size, limit)
	}
	if done == (next != 0) {
		t.Fatalf("done is %v and next is %d", done, next)
	}
}

// TestPagesAreTheQuery walks pages of any limit and compares what they hold together with the embedded store's answer.
func TestPagesAreTheQuery(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	large(t, w.loans)
	client := w.logClient(t, inLoans(), plain())
	place := func(last int) *rapid.Generator[int] {
		return rapid.OneOf(rapid.Just(0), rapid.IntRange(1, last), rapid.Just(last+5))
	}
	limits := rapid.OneOf(rapid.Uint32Range(0, 9), rapid.SampledFrom([]uint32{64, 65, 200, 1024, 5000}))
	t.Run("query", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			q := lethe.Query{
				From: event.Position(place(120).Draw(r, "from")), To: event.Position(place(120).Draw(r, "to")),
				Backward: rapid.Bool().Draw(r, "backward"), Pruned: rapid.Bool().Draw(r, "pruned"),
				Filter: rapid.SampledFrom([]event.Filter{
					nil, {{Types: []string{"Type1"}}}, {{Types: []string{"Large"}}, {Kinds: []string{"customer"}}},
					{{Types: []string{"Nothing"}}}, {{Stream: event.Stream("document", "1")}},
				}).Draw(r, "filter"),
			}
			walkQuery(t, r, client, q, limits.Draw(r, "limit"), gathered(r, w.session().Query(t.Context(), q)))
		})
	})
	t.Run("read", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			id := rapid.SampledFrom([]event.StreamID{
				event.Stream("application", "0"), event.Stream("customer", "1"), event.Stream("document", "1"),
			}).Draw(r, "stream")
			q := lethe.Range{
				From: event.Version(place(30).Draw(r, "from")), To: event.Version(place(30).Draw(r, "to")),
				Backward: rapid.Bool().Draw(r, "backward"), Pruned: rapid.Bool().Draw(r, "pruned"),
			}
			walkRead(t, r, client, id, q, limits.Draw(r, "limit"), gathered(r, w.session().Read(t.Context(), id, q)))
		})
	})
}

func walkQuery(t *testing.T, r *rapid.T, client lethev1connect.LogServiceClient, q lethe.Query, limit uint32,
	want []event.Event,
) {
	req := &lethev1.QueryRequest{
		Filter: wire.Filter(q.Filter), From: uint64(q.From), To: uint64(q.To), Backward: q.Backward, Pruned: q.Pruned,
		Limit: limit,
	}
	var got []event.Event
	for done := false; !done; {
		answer, err := client.Query(t.Context(), connect.NewRequest(req))
		if err != nil {
			r.Fatal(err)
		}
		m := answer.Msg
		checkPage(r, m.GetEvents(), limit, m.GetDone(), m.GetNext())
		events, err := wire.ParseEvents(m.GetEvents())
		if err != nil {
			r.Fatal(err)
		}
		got, done, req.From = append(got, events...), m.GetDone(), m.GetNext()
	}
	same(r, want, got)
}

func walkRead(t *testing.T, r *rapid.T, client lethev1connect.LogServiceClient, stream event.StreamID, q lethe.Range,
	limit uint32, want []event.Event,
) {
	req := &lethev1.ReadRequest{
		Stream: stream.String(), From: uint64(q.From), To: uint64(q.To), Backward: q.Backward, Pruned: q.Pruned, Limit: limit,
	}
	var got []event.Event
	for done := false; !done; {
		answer, err := client.Read(t.Context(), connect.NewRequest(req))
		if err != nil {
			r.Fatal(err)
		}
		m := answer.Msg
		checkPage(r, m.GetEvents(), limit, m.GetDone(), m.GetNext())
		events, err := wire.ParseEvents(m.GetEvents())
		if err != nil {
			r.Fatal(err)
		}
		got, done, req.From = append(got, events...), m.GetDone(), m.GetNext()
	}
	same(r, want, got)
}

func same(r *rapid.T, want, got []event.Event) {
	if len(want) != len(got) {
		r.Fatalf("%d events instead of %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(want[i], got[i]) { // cmp takes its time for large data
			r.Fatalf("event %d: %s", i, cmp.Diff(want[i], got[i]))
		}
	}
}

func TestReadOfNoStream(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	large(t, w.loans)
	client := w.logClient(t, inLoans())
	_, err := client.Read(t.Context(), connect.NewRequest(&lethev1.ReadRequest{Stream: "application/none"}))
	got := parsed(t, err)
	var embedded error
	for _, err := range w.session().Read(t.Context(), event.Stream("application", "none"), lethe.Range{}) {
		embedded = err
	}
	if !errors.Is(got, event.ErrNotFound) || got.Error() != embedded.Error() {
		t.Errorf("got %v, embedded %v", got, embedded)
	}
	answer, err := client.Read(t.Context(), connect.NewRequest(&lethev1.ReadRequest{Stream: "customer/1"}))
	if err != nil || len(answer.Msg.GetEvents()) != 0 || !answer.Msg.GetDone() {
		t.Errorf("a stream whose events are all truncated: %v, %v", answer, err)
	}
	answer, err = client.Read(t.Context(), connect.NewRequest(&lethev1.ReadRequest{Stream: "document/1", From: 500}))
	if err != nil || len(answer.Msg.GetEvents()) != 0 || !answer.Msg.GetDone() {
		t.Errorf("behind the end of a stream: %v, %v", answer, err)
	}
}

// TestKinds shows what a token for kinds reaches, call by call.
func TestKinds(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	fill(t, w.loans, 40, "application", "customer", "secret")
	scoped := token.Scope{Read: true, Append: true, Kinds: []string{"customer", "application"}}
	host := w.listen(t).URL
	secret := w.mint(t, token.Grant{Scope: scoped})
	client := lethev1LogClient(host, as(secret))
	find := func(id string) (*connect.Response[lethev1.FindResponse], error) {
		return client.Find(t.Context(), connect.NewRequest(&lethev1.FindRequest{Id: id}))
	}
	allowed := 0
	for e, err := range w.session().Query(t.Context(), lethe.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		answer, err := find(e.ID.String())
		if scoped.AllowsKind(e.Stream.Kind) {
			allowed++
			if err != nil || answer.Msg.GetEvent().GetId() != e.ID.String() {
				t.Errorf("find %s: %v", e.Stream, err)
			}
			continue
		}
		other := e.ID
		other[0] ^= 0xff
		_, unknown := find(other.String())
		if strings.ReplaceAll(parsed(t, err).Error(), e.ID.String(), other.String()) != parsed(t, unknown).Error() ||
			connect.CodeOf(err) != connect.CodeOf(unknown) {
			t.Errorf("an event of another kind answers %v, one that is not there %v", err, unknown)
		}
	}
	for _, c := range []struct {
		filter event.Filter
		want   int
	}{
		{nil, allowed}, {event.Filter{{Kinds: []string{"secret"}}}, 0},
		{event.Filter{{Stream: event.Stream("secret", "2")}}, 0},
		{event.Filter{{Kinds: []string{"secret"}}, {Kinds: []string{"customer"}}}, 13},
		{event.Filter{{Kinds: []string{"application"}, Stream: event.Stream("lethe", "streams")}}, 0},
	} {
		answer, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{Filter: wire.Filter(c.filter)}))
		if err != nil || len(answer.Msg.GetEvents()) != c.want || !answer.Msg.GetDone() {
			t.Errorf("query %v: %d events, %v", c.filter, len(answer.Msg.GetEvents()), err)
		}
	}
	_, err := client.Read(t.Context(), connect.NewRequest(&lethev1.ReadRequest{Stream: "secret/2"}))
	if !errors.Is(parsed(t, err), event.ErrDenied) {
		t.Errorf("read of another kind: %v", err)
	}
	appendKinds(t, client)
	streamKinds(t, w, lethev1connect.NewStreamServiceClient(h2c(), host, as(secret)), scoped)
}

func write(stream string) *lethev1.AppendRequest {
	return &lethev1.AppendRequest{Writes: []*lethev1.Write{{Stream: stream, Events: []*lethev1.Draft{{Type: "T"}}}}}
}

func appendKinds(t *testing.T, client lethev1connect.LogServiceClient) {
	t.Helper()
	if _, err := client.Append(t.Context(), connect.NewRequest(write("customer/9"))); err != nil {
		t.Error(err)
	}
	both := write("customer/9")
	both.Writes = append(both.Writes, write("secret/9").Writes...)
	asking := func(f event.Filter) *lethev1.AppendRequest {
		m := write("customer/8")
		m.Condition = &lethev1.Condition{Filter: wire.Filter(f), After: 1000}
		return m
	}
	bad := []*lethev1.AppendRequest{
		write("secret/9"), both, asking(nil), asking(event.Filter{{Types: []string{"T"}}}),
		asking(event.Filter{{Kinds: []string{"customer", "secret"}}}),
		asking(event.Filter{{Stream: event.Stream("secret", "1")}}),
	}
	for _, m := range bad {
		if _, err := client.Append(t.Context(), connect.NewRequest(m)); !errors.Is(parsed(t, err), event.ErrDenied) {
			t.Errorf("%v: %v", m, err)
		}
	}
	good := asking(event.Filter{{Kinds: []string{"customer"}}, {Stream: event.Stream("application", "1")}})
	answer, err := client.AppendEach(t.Context(), connect.NewRequest(&lethev1.AppendEachRequest{
		Requests: append(bad, good, write("no stream"))}))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range answer.Msg.GetOutcomes() {
		outcome := wire.ParseOutcome(o)
		switch {
		case i < len(bad) && !errors.Is(outcome.Err, event.ErrDenied), i == len(bad) && outcome.Err != nil,
			i > len(bad) && !errors.Is(outcome.Err, event.ErrInvalid):
			t.Errorf("outcome %d: %v", i, outcome)
		}
	}
}

func streamKinds(t *testing.T, w *world, client lethev1connect.StreamServiceClient, scope token.Scope) {
	t.Helper()
	var got, want []string
	for after := ""; ; {
		answer, err := client.List(t.Context(), connect.NewRequest(&lethev1.ListStreamsRequest{After: after, Limit: 4}))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer.Msg.GetStreams() {
			after = s.GetStream()
			got = append(got, after)
		}
		if len(answer.Msg.GetStreams()) < 4 {
			break
		}
	}
	all, err := w.loans.Streams(t.Context(), storageQuery(1000))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if scope.AllowsKind(s.Stream.Kind) {
			want = append(want, s.Stream.String())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = client.List(t.Context(), connect.NewRequest(&lethev1.ListStreamsRequest{Kind: "secret"}))
	if !errors.Is(parsed(t, err), event.ErrDenied) {
		t.Errorf("list of another kind: %v", err)
	}
	for _, kind := range []string{"secret", "application"} {
		if err := w.session().SetMaxAge(t.Context(), kind, 3600e9); err != nil {
			t.Fatal(err)
		}
	}
	ages, err := client.ListMaxAges(t.Context(), connect.NewRequest(&lethev1.ListMaxAgesRequest{}))
	if err != nil || len(ages.Msg.GetMaxAges()) != 1 || ages.Msg.GetMaxAges()[0].GetKind() != "application" {
		t.Errorf("max ages: %v, %v", ages, err)
	}
}
