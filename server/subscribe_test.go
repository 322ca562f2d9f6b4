package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
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

type watching = connect.ServerStreamForClient[lethev1.SubscribeResponse]

func subscribe(t testing.TB, c lethev1connect.LogServiceClient, m *lethev1.SubscribeRequest) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := c.Subscribe(ctx, connect.NewRequest(m))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// next is the next message; it fails the test when there is none.
func next(t testing.TB, s *watching) *lethev1.SubscribeResponse {
	t.Helper()
	if !s.Receive() {
		t.Fatalf("the subscription ended: %v", s.Err())
	}
	return proto.Clone(s.Msg()).(*lethev1.SubscribeResponse)
}

// ended is why a subscription ended, after whatever it still brought.
func ended(t testing.TB, s *watching) error {
	t.Helper()
	for s.Receive() {
	}
	return parsed(t, s.Err())
}

// TestSubscriptionsAreTheLog resumes at any message and cuts messages by any limit.
func TestSubscriptionsAreTheLog(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	large(t, w.loans)
	client := w.logClient(t, inLoans(), plain())
	rapid.Check(t, func(r *rapid.T) {
		filter := rapid.SampledFrom([]event.Filter{nil, {{Types: []string{"Type1"}}}, {{Kinds: []string{"document"}}}}).
			Draw(r, "filter")
		limit := rapid.SampledFrom([]uint32{0, 1, 7, 64, 5000}).Draw(r, "limit")
		want := gathered(r, w.session().Query(t.Context(), lethe.Query{Filter: filter}))
		var got []event.Event
		cursor := ""
		for live := false; !live; {
			ctx, cancel := context.WithCancel(t.Context())
			m := &lethev1.SubscribeRequest{Filter: wire.Filter(filter), After: cursor, Limit: limit}
			stream, err := client.Subscribe(ctx, connect.NewRequest(m))
			if err != nil {
				r.Fatal(err)
			}
			for range rapid.IntRange(1, 120).Draw(r, "messages") {
				part := next(t, stream)
				checkPage(r, part.GetEvents(), limit, true, 0)
				events, err := wire.ParseEvents(part.GetEvents())
				if err != nil {
					r.Fatal(err)
				}
				got, cursor, live = append(got, events...), part.GetCursor(), part.GetLive()
				if live {
					break
				}
			}
			cancel()
			stream.Close()
		}
		same(r, want, got)
		at, err := event.ParseCursor(cursor)
		if head, headErr := w.loans.Head(t.Context()); err != nil || headErr != nil || at.Position != head.Position {
			r.Fatalf("live at %d of %d: %v, %v", at.Position, head.Position, err, headErr)
		}
	})
}

func TestLiveAndHeartbeats(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	client := w.logClient(t, as(w.mint(t, everything())))
	stream := subscribe(t, client, &lethev1.SubscribeRequest{Filter: ofKind("application")})
	if m := next(t, stream); !m.GetLive() || len(m.GetEvents()) != 0 {
		t.Fatalf("the first message is %v", m)
	}
	for i := range 3 {
		fill(t, w.loans, 2, "customer") // does not match, and is not told at once
		fill(t, w.loans, 1, "application")
		m := next(t, stream)
		if len(m.GetEvents()) != 1 || !m.GetLive() || m.GetEvents()[0].GetPosition() != uint64(3*(i+1)) {
			t.Fatalf("got %v", m)
		}
	}
	fill(t, w.loans, 2, "customer")
	// The subscription may not have looked at them yet when its heart beats; then it says so at a later one.
	for {
		w.clock.Advance(15 * time.Second)
		m := next(t, stream)
		at, err := event.ParseCursor(m.GetCursor())
		if err != nil || len(m.GetEvents()) != 0 || !m.GetLive() {
			t.Fatalf("the heartbeat is %v, %v", m, err)
		}
		if at.Position == 11 {
			break
		}
	}
}

// TestRevocationCutsAtOnce revokes through the server itself, whose answer comes after the cut.
func TestRevocationCutsAtOnce(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	host := w.listen(t).URL
	admin, reader := w.mint(t, everything()), w.mint(t, token.Grant{Scope: token.Scope{Read: true}})
	tokens := lethev1connect.NewTokenServiceClient(h2c(), host, as(admin))
	var streams []*watching
	for name := range protocols() {
		stream := subscribe(t, lethev1LogClient(host, append(protocols()[name], as(reader))...), &lethev1.SubscribeRequest{})
		next(t, stream)
		streams = append(streams, stream)
	}
	other := subscribe(t, lethev1LogClient(host, as(admin)), &lethev1.SubscribeRequest{})
	next(t, other)
	if _, err := tokens.Revoke(t.Context(), connect.NewRequest(&lethev1.RevokeTokenRequest{Id: reader.ID()})); err != nil {
		t.Fatal(err)
	}
	for _, stream := range streams {
		if err := ended(t, stream); !errors.Is(err, event.ErrDenied) || event.Code(err) != "token_revoked" {
			t.Errorf("ended with %v", err)
		}
	}
	fill(t, w.loans, 1, "application")
	if m := next(t, other); len(m.GetEvents()) != 1 {
		t.Errorf("another token's subscription got %v", m)
	}
}

func TestExpiryCuts(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	secret := w.mint(t, token.Grant{Scope: token.Scope{Read: true}, Expires: w.clock.Now().Add(10 * time.Second)})
	stream := subscribe(t, w.logClient(t, as(secret)), &lethev1.SubscribeRequest{})
	next(t, stream)
	w.clock.Advance(10 * time.Second)
	if err := ended(t, stream); !errors.Is(err, event.ErrDenied) || event.Code(err) != "token_expired" {
		t.Errorf("ended with %v", err)
	}
}

func TestTooManyStreams(t *testing.T) {
	w := newWorld(t, server.Options{Limits: server.Limits{Streams: 3, StreamsOfToken: 2}}, memory.Options{})
	host := w.listen(t).URL
	first := lethev1LogClient(host, as(w.mint(t, everything())))
	second := lethev1LogClient(host, as(w.mint(t, everything())))
	refused := func(c lethev1connect.LogServiceClient) {
		t.Helper()
		stream := subscribe(t, c, &lethev1.SubscribeRequest{})
		if stream.Receive() {
			t.Error("one too many was opened")
			return
		}
		err := parsed(t, stream.Err())
		if event.Code(err) != "too_many_streams" || connect.CodeOf(stream.Err()) != connect.CodeResourceExhausted {
			t.Errorf("got %v", stream.Err())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		stream, err := first.Subscribe(ctx, connect.NewRequest(&lethev1.SubscribeRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		next(t, stream)
	}
	refused(first)
	next(t, subscribe(t, second, &lethev1.SubscribeRequest{}))
	refused(second)
	cancel() // gives places back, soon
	for {
		stream := subscribe(t, first, &lethev1.SubscribeRequest{})
		if stream.Receive() {
			return
		}
		if err := parsed(t, stream.Err()); event.Code(err) != "too_many_streams" {
			t.Fatal(err)
		}
	}
}

// TestNarrowedToNothing asks for a kind that the token is not for: only the cursor moves.
func TestNarrowedToNothing(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	fill(t, w.loans, 10, "secret", "application")
	secret := w.mint(t, token.Grant{Scope: token.Scope{Read: true, Kinds: []string{"application"}}})
	client := w.logClient(t, as(secret))
	stream := subscribe(t, client, &lethev1.SubscribeRequest{Filter: ofKind("secret")})
	m := next(t, stream)
	at, err := event.ParseCursor(m.GetCursor())
	if err != nil || at.Position != 10 || len(m.GetEvents()) != 0 || !m.GetLive() {
		t.Errorf("got %v, %v", m, err)
	}
	all := subscribe(t, client, &lethev1.SubscribeRequest{})
	if m := next(t, all); len(m.GetEvents()) != 5 {
		t.Errorf("%d events of the kind, instead of 5", len(m.GetEvents()))
	}
}

func TestForkedCursor(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	client := w.logClient(t, inLoans())
	beyond := w.loans.Cursor(99).String()
	stream := subscribe(t, client, &lethev1.SubscribeRequest{After: beyond})
	var forked *event.Forked
	if err := ended(t, stream); !errors.As(err, &forked) || forked.Common != 0 {
		t.Errorf("ended with %v", err)
	}
}

// TestStalledIsCut opens a subscription to much data and reads nothing of it. There is one place only: that another
// one gets it says that the first was cut.
func TestStalledIsCut(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true, Limits: server.Limits{Streams: 1, Stall: 50 * time.Millisecond}},
		memory.Options{})
	fillLarge(t, w, 20)
	s := w.listen(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := binary.BigEndian.AppendUint32([]byte{0}, 0)
	_, err = fmt.Fprintf(conn, "POST /lethe.v1.LogService/Subscribe HTTP/1.1\r\nHost: localhost\r\nLethe-Store: loans\r\n"+
		"Content-Type: application/connect+proto\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReaderSize(conn, 16)
	if _, err := answer.Peek(1); err != nil { // it has its place
		t.Fatal(err)
	}
	client := lethev1LogClient(s.URL, inLoans())
	for {
		stream := subscribe(t, client, &lethev1.SubscribeRequest{After: w.loans.Cursor(20).String()})
		if stream.Receive() {
			break
		}
		if err := parsed(t, stream.Err()); event.Code(err) != "too_many_streams" {
			t.Fatal(err)
		}
	}
	if n, _ := io.Copy(io.Discard, answer); n >= 20_000_000 {
		t.Errorf("the stalled subscription got everything, %d bytes", n)
	}
}

// TestStalledStreamLeavesOthersAlone is the same over HTTP/2, where the streams of a client share a connection.
func TestStalledStreamLeavesOthersAlone(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true, Limits: server.Limits{Streams: 2, Stall: 50 * time.Millisecond}},
		memory.Options{})
	fillLarge(t, w, 20)
	client := w.logClient(t, inLoans(), plain()) // packed, it would all fit into buffers on the way
	stalled := subscribe(t, client, &lethev1.SubscribeRequest{})
	tail := &lethev1.SubscribeRequest{After: w.loans.Cursor(20).String()}
	other := subscribe(t, client, tail)
	next(t, other)
	for {
		stream := subscribe(t, client, tail)
		if stream.Receive() {
			break
		}
		if err := parsed(t, stream.Err()); event.Code(err) != "too_many_streams" {
			t.Fatal(err)
		}
	}
	fill(t, w.loans, 1, "application")
	if m := next(t, other); len(m.GetEvents()) != 1 {
		t.Errorf("the other got %v", m)
	}
	events := 0
	for stalled.Receive() {
		events += len(stalled.Msg().GetEvents())
	}
	if events >= 20 || stalled.Err() == nil {
		t.Errorf("the stalled one got %d events and ended with %v", events, stalled.Err())
	}
}

func fillLarge(t *testing.T, w *world, n int) {
	t.Helper()
	data := json.RawMessage(fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("x", 1_000_000)))
	for range n {
		d := event.Draft{Type: "T", Data: data}
		if _, err := w.session().Append(t.Context(), event.Stream("a", "1"), event.Any, d); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVerifyTellsItsProgress(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	fill(t, w.loans, 600, "application")
	client := lethev1connect.NewStoreServiceClient(h2c(), w.listen(t).URL, inLoans())
	stream, err := client.Verify(t.Context(), connect.NewRequest(&lethev1.VerifyRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var last *lethev1.VerifyResponse
	messages := 0
	for stream.Receive() {
		if last != nil && last.GetReport() != nil {
			t.Error("a message follows the report")
		}
		last = proto.Clone(stream.Msg()).(*lethev1.VerifyResponse)
		messages++
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	want, err := w.loans.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := wire.ParseReport(last.GetReport()); err != nil || got.Root != want.Root || got.Events != 600 {
		t.Errorf("report %v, %v", got, err)
	}
	if messages != 2 { // the clock stands still: one, and the report
		t.Errorf("%d messages", messages)
	}
}
