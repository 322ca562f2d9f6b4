package log_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// clock stands until a test moves it; waiting on it ends at once.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	done := make(chan time.Time, 1)
	done <- c.Now().Add(d)
	return done
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, engine storage.Store) (*log.Log, *clock) {
	t.Helper()
	c := &clock{now: noon}
	l, err := log.Open(t.Context(), engine, log.Options{Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func id(n int) event.ID { return event.ID{6: 0x80, 8: 0x80, 14: byte(n >> 8), 15: byte(n)} }

func draft(n int) event.Draft {
	return event.Draft{ID: id(n), Type: "Noted", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

func write(s string, x event.Expected, events ...event.Draft) log.Write {
	return log.Write{Stream: event.Stream("note", s), Expected: x, Events: events}
}

func request(writes ...log.Write) *log.Request { return &log.Request{Writes: writes} }

func must(t testing.TB, l *log.Log, req *log.Request) log.Result {
	t.Helper()
	res, err := l.Append(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func fails(t testing.TB, l *log.Log, req *log.Request, code string) {
	t.Helper()
	before, _ := l.Head(t.Context())
	_, err := l.Append(t.Context(), req)
	if event.Code(err) != code {
		t.Fatalf("got %v (code %q), want code %q", err, event.Code(err), code)
	}
	after, _ := l.Head(t.Context())
	if diff := cmp.Diff(before, after); diff != "" {
		t.Fatalf("a refused append changed the log:\n%s", diff)
	}
}

func TestExpectations(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{}))
	must(t, l, request(write("a", event.None, draft(1))))
	fails(t, l, request(write("a", event.None, draft(2))), "version_conflict")
	fails(t, l, request(write("a", event.At(2), draft(2))), "version_conflict")
	fails(t, l, request(write("b", event.At(1), draft(2))), "version_conflict")
	fails(t, l, request(write("b", event.Any, draft(2)), write("a", event.At(7), draft(3))), "version_conflict")
	fails(t, l, request(write("b", -5, draft(2))), "malformed_version")
	res := must(t, l, request(write("a", event.At(1), draft(2), draft(3)), write("b", event.Any, draft(4))))
	want := log.Result{Events: []log.Placed{
		{ID: id(2), Stream: event.Stream("note", "a"), Position: 2, Version: 2},
		{ID: id(3), Stream: event.Stream("note", "a"), Position: 3, Version: 3},
		{ID: id(4), Stream: event.Stream("note", "b"), Position: 4, Version: 1},
	}}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Error(diff)
	}
	var conflict *event.VersionConflict
	_, err := l.Append(t.Context(), request(write("a", event.None, draft(9))))
	if !errors.As(err, &conflict) || conflict.Actual != 3 || !errors.Is(err, event.ErrConflict) {
		t.Errorf("got %v, want a VersionConflict at 3", err)
	}
}

func TestConditions(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{Indexed: []string{"branch"}}))
	first := must(t, l, request(write("a", event.None, draft(1))))
	conditional := func(n int, after event.Position, f event.Filter) *log.Request {
		return &log.Request{
			Writes:    []log.Write{write("b", event.Any, draft(n))},
			Condition: &event.Condition{Filter: f, After: after},
		}
	}
	noted := event.Filter{{Types: []string{"Noted"}}}
	fails(t, l, conditional(2, 0, noted), "condition_failed")
	fails(t, l, conditional(2, 0, nil), "condition_failed")
	fails(t, l, conditional(2, 0, event.Filter{{Metadata: map[string]string{"colour": "red"}}}), "not_indexed")
	must(t, l, conditional(2, first.Last(), noted))
	must(t, l, conditional(3, 0, event.Filter{{Types: []string{"Other"}}}))
	must(t, l, conditional(4, 0, event.Filter{{Metadata: map[string]string{"branch": "north"}}}))
}

// TestConditionsAmongCallers lets callers race for the same condition: exactly one of each round may win, also when
// several are decided in one batch.
func TestConditionsAmongCallers(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{}))
	for round := range 50 {
		typ := fmt.Sprintf("Claimed%d", round)
		var wg sync.WaitGroup
		won := make(chan int, 16)
		for caller := range 16 {
			wg.Go(func() {
				_, err := l.Append(t.Context(), &log.Request{
					Writes:    []log.Write{write(fmt.Sprint(caller), event.Any, event.Draft{Type: typ})},
					Condition: &event.Condition{Filter: event.Filter{{Types: []string{typ}}}},
				})
				switch {
				case err == nil:
					won <- caller
				case !errors.Is(err, event.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d callers won", round, len(won))
		}
	}
}

func TestIdempotency(t *testing.T) {
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	first := must(t, l, request(write("a", event.None, draft(1), draft(2))))
	l, _ = open(t, engine) // also by another process
	again := must(t, l, request(write("a", event.None, draft(1), draft(2))))
	if !again.Repeated {
		t.Error("the repetition should say so")
	}
	if diff := cmp.Diff(first.Events, again.Events); diff != "" {
		t.Errorf("a repetition gets the first result:\n%s", diff)
	}
	traced := draft(1)
	traced.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if res := must(t, l, request(write("a", event.None, traced, draft(2)))); !res.Repeated {
		t.Error("who repeats an append does so in a new span")
	}
	other := draft(1)
	other.Data = []byte(`{"n":99}`)
	fails(t, l, request(write("a", event.Any, other, draft(2))), "id_conflict")
	fails(t, l, request(write("a", event.Any, draft(1))), "id_conflict")
	fails(t, l, request(write("a", event.Any, draft(1), draft(3))), "id_conflict")
	fails(t, l, request(write("a", event.Any, draft(3), draft(2))), "id_conflict")
	fails(t, l, request(write("b", event.Any, draft(1), draft(2))), "id_conflict")
	fails(t, l, request(write("a", event.Any, draft(5), draft(5))), "repeated_id")
}

func TestRepetitionInOneBatch(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{}))
	outcomes := l.AppendEach(t.Context(), []log.Request{
		*request(write("a", event.Any, draft(1))),
		*request(write("a", event.Any, draft(1))),
		*request(write("b", event.Any, draft(1))),
		*request(write("a", event.At(1), draft(2))),
		*request(write("a", event.At(1), draft(3))),
		*request(write("a@b.example", event.Any, draft(4))),
	})
	var codes []string
	for _, o := range outcomes {
		codes = append(codes, event.Code(o.Err))
	}
	want := []string{"", "", "id_conflict", "", "version_conflict", "personal_reference"}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Error(diff)
	}
	if !outcomes[1].Result.Repeated || outcomes[1].Result.Last() != 1 || outcomes[0].Result.Repeated {
		t.Errorf("the second is a repetition of the first: %+v", outcomes[:2])
	}
}

// TestUnknownOutcome makes the engine lose its answers: every append is resolved by its ids, none is doubled.
func TestUnknownOutcome(t *testing.T) {
	lost := 0
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if op == memory.OpCommitAck {
			if lost++; lost%3 != 0 {
				return errors.New("the answer is lost")
			}
		}
		return nil
	}})
	l, _ := open(t, engine)
	for n := 1; n <= 50; n++ {
		d := draft(n)
		if n%2 == 0 {
			d.ID = event.ID{} // minted ids are asked for as well
		}
		res := must(t, l, request(write("a", event.At(event.Version(n-1)), d)))
		if res.Last() != event.Position(n) || res.Repeated {
			t.Fatalf("append %d: %+v", n, res)
		}
	}
}

func TestFailureStopsTheCall(t *testing.T) {
	commits := 0
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if op == memory.OpCommit {
			if commits++; commits == 2 {
				return event.Errorf(event.ErrFull, "write: full")
			}
		}
		return nil
	}})
	l, err := log.Open(t.Context(), engine, log.Options{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	var requests []log.Request
	for n := range 8 {
		requests = append(requests, *request(write("a", event.Any, draft(n+1))))
	}
	for i, o := range l.AppendEach(t.Context(), requests) {
		if full := errors.Is(o.Err, event.ErrFull); full != (i >= 2) {
			t.Errorf("request %d: %v", i, o.Err)
		}
	}
	for i, o := range l.AppendEach(t.Context(), requests) { // room again
		if o.Err != nil || o.Result.Repeated != (i < 2) {
			t.Errorf("request %d again: %+v", i, o)
		}
	}
}

func TestFailedStoreStaysFailed(t *testing.T) {
	broken := true
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if op == memory.OpCommit && broken {
			return event.Errorf(event.ErrFailed, "write: the disk failed")
		}
		return nil
	}})
	l, _ := open(t, engine)
	fails(t, l, request(write("a", event.Any, draft(1))), "store_failed")
	broken = false
	fails(t, l, request(write("a", event.Any, draft(1))), "store_failed")
}

func TestCancelled(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, request(write("a", event.Any, draft(1)))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if head, _ := l.Head(t.Context()); head.Position != 0 {
		t.Error("a cancelled append was made")
	}
}

func TestRefusedRequests(t *testing.T) {
	l, _ := open(t, memory.Open(memory.Options{}))
	d := draft(1)
	many := make([]event.Draft, log.MaxRequestEvents+1)
	for code, req := range map[string]*log.Request{
		"empty_or_oversized": {},
		"repeated_stream":    request(write("a", event.Any, d), write("a", event.Any, draft(2))),
		"reserved": request(log.Write{
			Stream: event.Stream("lethe", "streams"), Expected: event.Any, Events: []event.Draft{d}}),
		"personal_reference": request(write("jo@example.org", event.Any, d)),
		"malformed_type":     request(write("a", event.Any, event.Draft{})),
		"invalid_json":       request(write("a", event.Any, event.Draft{Type: "T", Data: []byte("{")})),
	} {
		fails(t, l, req, code)
	}
	fails(t, l, request(write("a", event.Any, many...)), "empty_or_oversized")
	for _, readable := range []event.Draft{{Type: "jo@example.org"},
		{Type: "T", Metadata: map[string]string{"user": "jo%40example.org"}}} {
		fails(t, l, request(write("a", event.Any, readable)), "personal_reference")
	}
	fails(t, l, request(write("a", event.Any, event.Draft{Type: "lethe.X"})), "reserved")
}

func TestCloseAndTruncate(t *testing.T) {
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	by := event.Actor{Kind: "employee", ID: "7"}
	a := event.Stream("note", "a")
	for n := 1; n <= 5; n++ {
		must(t, l, request(write("a", event.Any, draft(n))))
	}
	if err := l.Truncate(t.Context(), by, a, 4); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context(), by, a); err != nil {
		t.Fatal(err)
	}
	fails(t, l, request(write("a", event.Any, draft(6))), "stream_closed")
	must(t, l, request(write("a", event.None, draft(1)))) // a repetition, answered as the first time
	for code, err := range map[string]error{
		"stream_closed":     l.Close(t.Context(), by, a),
		"not_found":         l.Close(t.Context(), by, event.Stream("note", "none")),
		"malformed_version": l.Truncate(t.Context(), by, a, 4),
		"reserved":          l.Close(t.Context(), by, event.Stream("lethe", "streams")),
	} {
		if event.Code(err) != code {
			t.Errorf("got %v, want code %s", err, code)
		}
	}
	page, err := l.Page(t.Context(), storage.Query{Stream: a, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Records {
		if pruned := r.Body == nil; pruned != (r.Version < 4) {
			t.Errorf("version %d: pruned is %t", r.Version, pruned)
		}
	}
	report, err := log.Verify(t.Context(), engine, nil)
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("truncation must not break the tree: %+v, %v", report, err)
	}
}

// TestTruncationIsFinished interrupts the pruning after it was recorded; opening the log finishes it.
func TestTruncationIsFinished(t *testing.T) {
	broken := false
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if op == memory.OpRewrite && broken {
			return event.Errorf(event.ErrUnavailable, "rewrite: not now")
		}
		return nil
	}})
	l, _ := open(t, engine)
	for n := 1; n <= 5; n++ {
		must(t, l, request(write("a", event.Any, draft(n))))
	}
	broken = true
	if err := l.Truncate(t.Context(), event.Actor{}, event.Stream("note", "a"), 3); !errors.Is(err, event.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	broken = false
	l, _ = open(t, engine)
	page, _ := l.Page(t.Context(), storage.Query{Stream: event.Stream("note", "a"), Limit: 10})
	for _, r := range page.Records {
		if pruned := r.Body == nil; pruned != (r.Version < 3) {
			t.Errorf("version %d: pruned is %t", r.Version, pruned)
		}
	}
}

func TestMaxAge(t *testing.T) {
	l, c := open(t, memory.Open(memory.Options{}))
	must(t, l, request(write("a", event.Any, draft(1))))
	c.set(noon.Add(time.Hour))
	must(t, l, request(write("a", event.Any, draft(2))))
	must(t, l, request(write("b", event.Any, draft(3))))
	if err := l.SetMaxAge(t.Context(), event.Actor{}, "note", 30*time.Minute); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Expire(t.Context(), event.Actor{}); n != 1 || err != nil {
		t.Fatalf("expired %d streams, %v; want 1", n, err)
	}
	if n, err := l.Expire(t.Context(), event.Actor{}); n != 0 || err != nil {
		t.Fatalf("expired %d streams more, %v", n, err)
	}
	page, _ := l.Page(t.Context(), storage.Query{Stream: event.Stream("note", "a"), Limit: 10})
	if page.Records[0].Body != nil || page.Records[1].Body == nil {
		t.Error("the first event is too old, the second is not")
	}
	if err := l.SetMaxAge(t.Context(), event.Actor{}, "note", 0); err != nil {
		t.Fatal(err)
	}
	if ages, err := l.MaxAges(t.Context()); len(ages) != 0 || err != nil {
		t.Errorf("the limit was lifted: %v, %v", ages, err)
	}
}

func TestClockDoesNotOrder(t *testing.T) {
	l, c := open(t, memory.Open(memory.Options{}))
	for n, at := range []time.Duration{0, -10 * 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour, -time.Hour, 0} {
		c.set(noon.Add(at))
		if res := must(t, l, request(write("a", event.At(event.Version(n)), draft(n+1)))); res.Last() != event.Position(n+1) {
			t.Errorf("append %d came to lie at %d", n, res.Last())
		}
	}
}

func TestResume(t *testing.T) {
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	var edge []byte
	for n := 1; n <= 6; n++ {
		must(t, l, request(write("a", event.Any, draft(n))))
		if n == 4 {
			head, _ := l.Head(t.Context())
			edge = head.Frontier
		}
	}
	restored, err := memory.Restore(engine, 4, edge, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := open(t, restored)
	must(t, r, request(write("a", event.Any, draft(7))))
	if p, err := r.Resume(t.Context(), l.Cursor(3)); p != 3 || err != nil {
		t.Errorf("a cursor from before the fork is good: %d, %v", p, err)
	}
	var forked *event.Forked
	if _, err := r.Resume(t.Context(), l.Cursor(6)); !errors.As(err, &forked) || forked.Common != 4 {
		t.Errorf("a cursor from beyond the fork: %v", err)
	}
	if _, err := l.Resume(t.Context(), r.Cursor(5)); !errors.Is(err, event.ErrForked) {
		t.Errorf("the old life does not know the new one: %v", err)
	}
	if _, err := r.Resume(t.Context(), r.Cursor(99)); !errors.Is(err, event.ErrForked) {
		t.Errorf("a cursor beyond the head: %v", err)
	}
	other, _ := open(t, memory.Open(memory.Options{}))
	if _, err := r.Resume(t.Context(), other.Cursor(1)); event.Code(err) != "foreign_cursor" {
		t.Errorf("a cursor of another store: %v", err)
	}
}

// TestTreeGrows crosses the borders of tiles and opens the log anew at each: the frontier must always be the one of
// the rows' leaves.
func TestTreeGrows(t *testing.T) {
	engine := memory.Open(memory.Options{})
	l, _ := open(t, engine)
	n := 0
	for _, size := range []int{1, 254, 1, 1, 255, 300, 1000} {
		drafts := make([]event.Draft, size)
		for i := range drafts {
			n++
			drafts[i] = draft(n)
		}
		must(t, l, request(write(fmt.Sprint(n), event.None, drafts...)))
		l, _ = open(t, engine)
	}
	var f ledger.Frontier
	for from := uint64(1); ; {
		page, err := l.Page(t.Context(), storage.Query{From: from, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			f.Append(r.Leaf)
		}
		if page.Done {
			break
		}
		from = page.Scanned + 1
	}
	head, _ := l.Head(t.Context())
	stored, err := ledger.ParseFrontier(head.Frontier)
	if err != nil || stored != f || f.Size != uint64(n) {
		t.Errorf("the stored frontier is not that of the leaves: %v", err)
	}
}
