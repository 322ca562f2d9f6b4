package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

func TestTokensOverTheWire(t *testing.T) {
	w := newWorld(t, server.Options{Version: "v1.2.3"}, memory.Options{})
	host := w.listen(t).URL
	admin := w.mint(t, token.Grant{Label: "first", Scope: token.Scope{Admin: true}})
	tokens := lethev1connect.NewTokenServiceClient(h2c(), host, as(admin))
	expires := w.clock.Now().Add(time.Hour)
	made, err := tokens.Create(t.Context(), connect.NewRequest(&lethev1.CreateTokenRequest{
		Label: "import", Kinds: []string{"application"}, ExpiresAt: timestamppb.New(expires),
		Permissions: []lethev1.Permission{lethev1.Permission_PERMISSION_APPEND},
	}))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := token.Parse(made.Msg.GetSecret())
	if err != nil || secret.ID() != made.Msg.GetToken().GetId() {
		t.Fatalf("made %v, %v", made.Msg, err)
	}
	store := lethev1connect.NewStoreServiceClient(h2c(), host, as(secret))
	who, err := store.Whoami(t.Context(), connect.NewRequest(&lethev1.WhoamiRequest{}))
	want := &lethev1.WhoamiResponse{Store: "loans", Version: "v1.2.3", Token: secret.ID(), Kinds: []string{"application"},
		Permissions: []lethev1.Permission{lethev1.Permission_PERMISSION_APPEND}}
	if err != nil || !proto.Equal(who.Msg, want) {
		t.Errorf("whoami %v, %v", who, err)
	}
	if _, err := tokens.Revoke(t.Context(), connect.NewRequest(&lethev1.RevokeTokenRequest{Id: secret.ID()})); err != nil {
		t.Fatal(err)
	}
	_, err = store.Whoami(t.Context(), connect.NewRequest(&lethev1.WhoamiRequest{}))
	if event.Code(parsed(t, err)) != "token_revoked" {
		t.Errorf("after its revocation: %v", err)
	}
	list, err := tokens.List(t.Context(), connect.NewRequest(&lethev1.ListTokensRequest{}))
	if err != nil || len(list.Msg.GetTokens()) != 2 {
		t.Fatalf("list %v, %v", list, err)
	}
	now := timestamppb.New(w.clock.Now())
	for _, m := range list.Msg.GetTokens() {
		if m.GetId() != secret.ID() {
			continue
		}
		want := made.Msg.GetToken()
		want.RevokedAt, want.UsedAt = now, now
		if diff := cmp.Diff(want, m, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	_, err = tokens.Revoke(t.Context(), connect.NewRequest(&lethev1.RevokeTokenRequest{Id: "nobody"}))
	if !errors.Is(parsed(t, err), event.ErrNotFound) {
		t.Errorf("revoked nobody: %v", err)
	}
	for _, m := range []*lethev1.CreateTokenRequest{
		{}, {Permissions: []lethev1.Permission{0}}, {Permissions: []lethev1.Permission{77}},
		{Permissions: []lethev1.Permission{1}, ExpiresAt: timestamppb.New(w.clock.Now())},
		{Permissions: []lethev1.Permission{1}, ExpiresAt: &timestamppb.Timestamp{Seconds: 1 << 60}},
	} {
		if _, err := tokens.Create(t.Context(), connect.NewRequest(m)); !errors.Is(parsed(t, err), event.ErrInvalid) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// TestActors looks at whom the log names for an act: who the message names, else the token, else nobody.
func TestActors(t *testing.T) {
	for _, off := range []bool{false, true} {
		w := newWorld(t, server.Options{NoTokens: off}, memory.Options{})
		fill(t, w.loans, 10, "application")
		secret := w.mint(t, everything())
		streams := lethev1connect.NewStreamServiceClient(h2c(), w.listen(t).URL, as(secret))
		byToken := "token/" + secret.ID()
		if off {
			byToken = ""
		}
		for i, actor := range []string{"", "employee/7"} {
			want := actor
			if actor == "" {
				want = byToken
			}
			stream := fmt.Sprintf("application/%d", i)
			for name, act := range map[string]func() error{
				"truncate": func() error {
					m := &lethev1.TruncateStreamRequest{Stream: stream, Before: 2, Actor: actor}
					_, err := streams.Truncate(t.Context(), connect.NewRequest(m))
					return err
				},
				"close": func() error {
					m := &lethev1.CloseStreamRequest{Stream: stream, Actor: actor}
					_, err := streams.Close(t.Context(), connect.NewRequest(m))
					return err
				},
				"set max age": func() error {
					m := &lethev1.SetMaxAgeRequest{Kind: "application", Age: durationpb.New(time.Hour), Actor: actor}
					_, err := streams.SetMaxAge(t.Context(), connect.NewRequest(m))
					return err
				},
			} {
				if err := act(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := w.lastIssuer(t); got != want {
					t.Errorf("%s by %q: the log names %q, want %q", name, actor, got, want)
				}
			}
		}
		w.clock.Advance(2 * time.Hour)
		m, err := streams.Expire(t.Context(), connect.NewRequest(&lethev1.ExpireRequest{Actor: "employee/8"}))
		if err != nil || m.Msg.GetStreams() == 0 || w.lastIssuer(t) != "employee/8" {
			t.Errorf("expire: %v, %v, by %s", m, err, w.lastIssuer(t))
		}
	}
}

// lastIssuer is who the last event names.
func (w *world) lastIssuer(t *testing.T) string {
	t.Helper()
	for e, err := range w.session().Query(t.Context(), lethe.Query{Backward: true, Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(e.Relations, func(r event.Relation) bool { return r.Role == event.RoleIssuer })
		if i >= 0 {
			return e.Relations[i].Kind + "/" + e.Relations[i].ID
		}
	}
	return ""
}

func TestFollowersOverTheWire(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	fill(t, w.loans, 3, "application")
	client := lethev1connect.NewFollowerServiceClient(h2c(), w.listen(t).URL, inLoans())
	stored, err := client.Checkpoint(t.Context(), connect.NewRequest(&lethev1.CheckpointRequest{Follower: "f"}))
	if err != nil || stored.Msg.GetCheckpoint().GetRevision() != 0 || stored.Msg.GetCheckpoint().GetCursor() != "" {
		t.Fatalf("got %v, %v", stored, err)
	}
	to := &lethev1.Checkpoint{Cursor: w.loans.Cursor(2).String(), Note: []byte("note")}
	m := &lethev1.AdvanceRequest{Follower: "f", From: stored.Msg.GetCheckpoint(), To: to}
	moved, err := client.Advance(t.Context(), connect.NewRequest(m))
	if err != nil || moved.Msg.GetCheckpoint().GetRevision() != 1 {
		t.Fatalf("got %v, %v", moved, err)
	}
	if _, err := client.Advance(t.Context(), connect.NewRequest(m)); !errors.Is(parsed(t, err), event.ErrConflict) {
		t.Errorf("advanced twice: %v", err)
	}
	list, err := client.List(t.Context(), connect.NewRequest(&lethev1.ListCheckpointsRequest{}))
	to.Revision = 1
	if err != nil || len(list.Msg.GetCheckpoints()) != 1 {
		t.Fatalf("list %v, %v", list, err)
	}
	if got := list.Msg.GetCheckpoints()[0]; got.GetFollower() != "f" || !proto.Equal(got.GetCheckpoint(), to) {
		t.Errorf("list %v", got)
	}
	for _, m := range []*lethev1.AdvanceRequest{
		{To: to}, {Follower: "f", To: &lethev1.Checkpoint{Cursor: "x"}},
		{Follower: "f", To: &lethev1.Checkpoint{Note: make([]byte, 1<<17)}},
	} {
		if _, err := client.Advance(t.Context(), connect.NewRequest(m)); !errors.Is(parsed(t, err), event.ErrInvalid) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

func TestStoreOverTheWire(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	host := w.listen(t).URL
	secret := w.mint(t, everything())
	fill(t, w.loans, 3, "application")
	client := lethev1connect.NewStoreServiceClient(h2c(), host, as(secret))
	key, err := client.ImportKey(t.Context(), connect.NewRequest(&lethev1.ImportKeyRequest{}))
	want, wantErr := w.loans.ImportKey(t.Context())
	if err != nil || wantErr != nil || !bytes.Equal(key.Msg.GetKey(), want[:]) {
		t.Errorf("import key: %v, %v", err, wantErr)
	}
	sizes, err := client.Sizes(t.Context(), connect.NewRequest(&lethev1.SizesRequest{}))
	embedded, _ := w.loans.Sizes(t.Context())
	if err != nil || len(sizes.Msg.GetSizes()) != len(embedded) {
		t.Errorf("sizes: %v, %v", sizes, err)
	}
	head, err := lethev1LogClient(host, as(secret)).Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParseHead(head.Msg)
	real, realErr := w.loans.Head(t.Context())
	if err != nil || realErr != nil || got.Position != 3 || got.Secret != [32]byte{} || got.Store != real.Store {
		t.Errorf("head %v, %v, %v", got.Position, err, realErr)
	}
}

// TestTraceContext appends with the context of a call and with one of the draft's own.
func TestTraceContext(t *testing.T) {
	const sent, own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: 2}, TraceFlags: trace.FlagsSampled,
	})
	const ofSpan = "00-00000000000000000000000000000001-0000000000000002-01"
	for i, c := range []struct {
		header, draft, want string
		traced              bool
	}{
		{sent, "", sent, false}, {sent, own, own, false}, {"", "", "", false}, {"00-CANARYBIRD", "", "", false},
		{sent, "", ofSpan, true}, {"", own, own, true},
	} {
		w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
		ctx := t.Context()
		if c.traced {
			ctx = trace.ContextWithSpanContext(ctx, span)
		}
		m := write("a/1")
		m.Writes[0].Events[0].Traceparent = c.draft
		m.Writes[0].Events[0].Id = event.ID{0: 1, 15: byte(i)}.String()
		for again := range 2 { // a retry, in another span
			r := w.protoRequest(t, ctx, appendPath, m)
			r.Header.Set("Traceparent", c.header)
			if again == 1 {
				r.Header.Set("Traceparent", own)
			}
			answer := httptest.NewRecorder()
			w.server.Handler().ServeHTTP(answer, r)
			result := &lethev1.AppendResponse{}
			if err := proto.Unmarshal(answer.Body.Bytes(), result); err != nil || result.GetRepeated() != (again == 1) {
				t.Fatalf("%v: %s, %v", c, answer.Body, err)
			}
		}
		if e := w.one(t); e.Traceparent != c.want {
			t.Errorf("%v: got %q", c, e.Traceparent)
		}
	}
}

func (w *world) protoRequest(t testing.TB, ctx context.Context, path string, m proto.Message) *http.Request {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/proto")
	r.Header.Set("Lethe-Store", "loans")
	return r
}

func TestAppendEachIsBounded(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	m := &lethev1.AppendEachRequest{}
	for range wire.MaxAppends + 1 {
		m.Requests = append(m.Requests, &lethev1.AppendRequest{})
	}
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, w.protoRequest(t, t.Context(), "/lethe.v1.LogService/AppendEach", m))
	if m := told(t, answer.Body.Bytes()); m.GetCode() != "oversized" {
		t.Errorf("got %v", m)
	}
}

func TestReflection(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	host := w.listen(t).URL
	list := func(secret token.Secret) ([]string, error) {
		client := grpcreflect.NewClient(h2c(), host, connect.WithGRPC(), as(secret))
		stream := client.NewStream(t.Context())
		defer stream.Close()
		names, err := stream.ListServices()
		texts := make([]string, len(names))
		for i, name := range names {
			texts[i] = string(name)
		}
		return texts, err
	}
	names, err := list(w.mint(t, token.Grant{Scope: token.Scope{Append: true}}))
	if err != nil || !slices.Contains(names, lethev1connect.LogServiceName) || len(names) != 11 {
		t.Errorf("services %v, %v", names, err)
	}
	if _, err := list(token.Secret{}); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("without a token: %v", err)
	}
}

// TestHealthAndDraining ends a server: health says so, and subscriptions end with what to do about it.
func TestHealthAndDraining(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	status := func() string {
		return w.post("/grpc.health.v1.Health/Check", `{"service":"lethe.v1.LogService"}`, nil).Body.String()
	}
	if got := status(); got != `{"status":"SERVING_STATUS_SERVING"}` {
		t.Errorf("health %s", got)
	}
	if answer := w.post("/grpc.health.v1.Health/Check", `{"service":"CANARYBIRD"}`, nil); answer.Code != http.StatusNotFound {
		t.Errorf("health of another service: %d %s", answer.Code, answer.Body)
	}
	stream := subscribe(t, w.logClient(t, as(w.mint(t, everything()))), &lethev1.SubscribeRequest{})
	next(t, stream)
	w.server.End()
	if err := ended(t, stream); !errors.Is(err, event.ErrUnavailable) || event.Code(err) != "draining" {
		t.Errorf("ended with %v", err)
	}
	if got := status(); got != `{"status":"SERVING_STATUS_NOT_SERVING"}` {
		t.Errorf("health %s", got)
	}
}

func BenchmarkAppend(b *testing.B) {
	w := newWorld(b, server.Options{}, memory.Options{})
	secret := w.mint(b, everything()).Reveal()
	handler := w.server.Handler()
	m := write("application/1")
	m.Writes[0].Events[0] = &lethev1.Draft{Type: "ApplicationRegistered", Data: `{"amount":20000,"currency":"CZK"}`,
		Relations: []*lethev1.Relation{{Role: "issuer", Kind: "employee", Id: "7"}}}
	body, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	header := http.Header{
		"Content-Type": {"application/proto"}, "Lethe-Store": {"loans"}, "Authorization": {"Bearer " + secret},
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, appendPath, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header = header
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			b.Fatal(answer.Body)
		}
	}
}
