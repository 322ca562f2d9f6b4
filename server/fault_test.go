package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/wire"
)

func codeOf(err error) string { return event.Code(err) }

// parsed is the error of a call as a client of Lethe has it.
func parsed(t testing.TB, err error) error {
	t.Helper()
	var e *connect.Error
	if !errors.As(err, &e) || len(e.Details()) != 1 {
		t.Fatalf("an error without its detail: %v", err)
	}
	m, err := e.Details()[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	return wire.ParseError(m.(*lethev1.Error))
}

func protocols() map[string][]connect.ClientOption {
	return map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	}
}

// TestErrorsTravel has the store fail with every class of errors and looks at what a client makes of it.
func TestErrorsTravel(t *testing.T) {
	var failure error
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{Fail: func(op string) error {
		if op == memory.OpPage {
			return failure
		}
		return nil
	}})
	coded := func(class error, code string) error {
		return &event.Error{Sentinel: class, Code: code, Message: "do it: " + code, Next: "do that"}
	}
	host := w.listen(t).URL
	for name, options := range protocols() {
		client := lethev1LogClient(host, append(options, inLoans())...)
		for _, c := range []struct {
			err  error
			want connect.Code
		}{
			{coded(event.ErrInvalid, "odd"), connect.CodeInvalidArgument},
			{coded(event.ErrNotFound, "gone"), connect.CodeNotFound},
			{event.Errorf(event.ErrConflict, "do it: conflict"), connect.CodeAborted},
			{&event.VersionConflict{Stream: event.Stream("a", "1"), Expected: 3, Actual: 4}, connect.CodeAborted},
			{&event.ConditionFailed{After: 3, Hit: 4}, connect.CodeAborted},
			{coded(event.ErrDuplicate, "id_conflict"), connect.CodeAlreadyExists},
			{coded(event.ErrClosed, "stream_closed"), connect.CodeFailedPrecondition},
			{&event.Forked{Common: 7}, connect.CodeOutOfRange},
			{coded(event.ErrUnknown, "unknown_outcome"), connect.CodeUnknown},
			{coded(event.ErrFailed, "store_failed"), connect.CodeInternal},
			{coded(event.ErrFull, "disk_full"), connect.CodeResourceExhausted},
			{coded(event.ErrHeld, "store_held"), connect.CodeUnavailable},
			{coded(event.ErrUnavailable, "draining"), connect.CodeUnavailable},
			{coded(event.ErrUnavailable, "too_many_calls"), connect.CodeResourceExhausted},
			{coded(event.ErrDenied, "denied"), connect.CodePermissionDenied},
			{coded(event.ErrDenied, "token_expired"), connect.CodeUnauthenticated},
			{coded(event.ErrUnsupported, "unsupported"), connect.CodeUnimplemented},
			{coded(event.ErrFormat, "unknown_format"), connect.CodeInternal},
			{coded(event.ErrCorrupt, "corrupt"), connect.CodeDataLoss},
			{context.Canceled, connect.CodeCanceled},
			{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
		} {
			failure = fmt.Errorf("read page: %w", c.err)
			_, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{}))
			got := parsed(t, err)
			code, fine, kind := connect.CodeOf(err), event.Code(got), wire.Kind(got)
			if code != c.want || fine != wire.Error(c.err).GetCode() || kind != wire.Kind(c.err) {
				t.Errorf("%s: %v came as %s, code %s, class %s", name, c.err, code, fine, kind)
			}
			if got.Error() != failure.Error() {
				t.Errorf("%s: %q came as %q", name, failure, got)
			}
			sameDetail(t, c.err, got)
		}
	}
	if text := w.log.String(); strings.Contains(text, "error=") {
		t.Errorf("errors that were returned are logged too: %s", text)
	}
}

func sameDetail(t *testing.T, sent, got error) {
	t.Helper()
	var version, version2 *event.VersionConflict
	var condition, condition2 *event.ConditionFailed
	var forked, forked2 *event.Forked
	if errors.As(sent, &version) && (!errors.As(got, &version2) || *version != *version2) ||
		errors.As(sent, &condition) && (!errors.As(got, &condition2) || *condition != *condition2) ||
		errors.As(sent, &forked) && (!errors.As(got, &forked2) || *forked != *forked2) {
		t.Errorf("%v lost its detail: %v", sent, got)
	}
}

// TestUnknownErrorsStayHere are errors of no class, and panics: the caller gets an incident, the log has the rest.
func TestUnknownErrorsStayHere(t *testing.T) {
	var fail func() error
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{Fail: func(op string) error {
		if op == memory.OpPage {
			return fail()
		}
		return nil
	}})
	client := w.logClient(t, inLoans())
	for _, c := range []struct {
		fail         func() error
		told, logged string
	}{
		{func() error { return errors.New("disk is on fire") }, "", "disk is on fire"},
		{func() error { panic("secret payload") }, "secret payload", "panic with a string"},
		{func() error { return []error{}[len(t.Name())*0] }, "", "index out of range"},
	} {
		fail = c.fail
		before := len(w.log.String())
		_, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{}))
		var e *connect.Error
		if !errors.As(err, &e) || e.Code() != connect.CodeInternal || len(e.Details()) != 1 {
			t.Fatalf("got %v", err)
		}
		detail, _ := e.Details()[0].Value()
		m := detail.(*lethev1.Error)
		logged := w.log.String()[before:]
		if m.GetKind() != "internal" || len(m.GetIncident()) != 16 || strings.Contains(err.Error(), c.logged) {
			t.Errorf("the caller is told %v", m)
		}
		if !strings.Contains(logged, m.GetIncident()) || !strings.Contains(logged, c.logged) ||
			strings.Count(logged, "call failed") != 1 || c.told != "" && strings.Contains(logged, c.told) {
			t.Errorf("logged for %s: %s", m.GetIncident(), logged)
		}
	}
}

// raw sends bytes as they are and gives the detail of the refusal.
func raw(t *testing.T, url, contentType string, body io.Reader, headers map[string]string) (*lethev1.Error, int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Lethe-Store", "loans")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("CANARYBIRD")) {
		t.Errorf("the answer quotes what was sent: %s", text)
	}
	return told(t, text), answer.StatusCode
}

// TestUnreadableCalls are refused by what reads calls, before any method: with a code and a sentence all the same.
func TestUnreadableCalls(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true, Limits: server.Limits{MessageBytes: 1 << 16}}, memory.Options{})
	url := w.listen(t).URL + "/lethe.v1.LogService/Append"
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 4<<20)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	zipped := map[string]string{"Content-Encoding": "gzip"}
	large := strings.Repeat("x", 1<<16+1)
	for _, c := range []struct {
		name, contentType, body string
		headers                 map[string]string
		code                    string
		status                  int
	}{
		{"no JSON", "application/json", `CANARYBIRD`, nil, "invalid_json", 400},
		{"empty", "application/json", ``, nil, "invalid_json", 400},
		{"no protobuf", "application/proto", "CANARYBIRD", nil, "malformed_message", 400},
		{"too large", "application/proto", large, nil, "oversized", 400},
		{"too large JSON", "application/json; charset=utf-8", large, nil, "oversized", 400},
		{"a bomb", "application/proto", bomb.String(), zipped, "oversized", 400},
		{"not zipped", "application/json", "CANARYBIRD", zipped, "malformed_message", 400},
		{"unknown compression", "application/json", "{}", map[string]string{"Content-Encoding": "CANARYBIRD"},
			"unsupported", 501},
		{"other content", "text/CANARYBIRD", "{}", nil, "unsupported", 501},
		{"a timeout of words", "application/json", "{}", map[string]string{"Connect-Timeout-Ms": "CANARYBIRD"},
			"malformed_message", 400},
	} {
		m, status := raw(t, url, c.contentType, strings.NewReader(c.body), c.headers)
		if m.GetCode() != c.code || status != c.status || m.GetMessage() == "" {
			t.Errorf("%s: status %d, %v", c.name, status, m)
		}
	}
	unknown := w.listen(t).URL + "/lethe.v1.LogService/CANARYBIRD"
	m, status := raw(t, unknown, "application/json", strings.NewReader("{}"), nil)
	if m.GetCode() != "procedure_unknown" || status != 501 {
		t.Errorf("a procedure that is not there: status %d, %v", status, m)
	}
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if m := told(t, text); m.GetCode() != "store_missing" {
		t.Errorf("GET: %v", m)
	}
}

// TestTooLargeInEveryProtocol sends a message above the limit with real clients.
func TestTooLargeInEveryProtocol(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true, Limits: server.Limits{MessageBytes: 1 << 12}}, memory.Options{})
	host := w.listen(t).URL
	for name, options := range protocols() {
		for _, zip := range [][]connect.ClientOption{nil, {connect.WithSendGzip()}} {
			options := append(append(options, zip...), inLoans())
			client := lethev1LogClient(host, options...)
			req := &lethev1.FindRequest{Id: strings.Repeat("x", 1<<13)}
			_, err := client.Find(t.Context(), connect.NewRequest(req))
			if got := parsed(t, err); event.Code(got) != "oversized" || !errors.Is(got, event.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
			stream, err := client.Subscribe(t.Context(), connect.NewRequest(&lethev1.SubscribeRequest{After: req.Id}))
			if err == nil {
				if stream.Receive() {
					t.Errorf("%s: subscribed", name)
				}
				err = stream.Err()
			}
			if got := parsed(t, err); event.Code(got) != "oversized" {
				t.Errorf("%s, subscribe: %v", name, err)
			}
		}
	}
}
