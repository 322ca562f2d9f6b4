package torture_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	remote "github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// patience is how long a client of these tests tries again: longer than any server stays away.
const patience = 60 * time.Second

// serveAlone serves the store until it is killed.
func serveAlone(ctx context.Context, w *work) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		w.tell("listening %s", listener.Addr())
		err = serve(ctx, w.store, w.engine, listener)
	}
	w.tell("ended %s", code(err))
}

func serve(ctx context.Context, store *lethe.Store, tokens storage.Tokens, listener net.Listener) error {
	s, err := server.New([]server.Tenant{{Name: "main", Store: store, Tokens: tokens}}, server.Options{NoTokens: true})
	if err != nil {
		return err
	}
	return s.Serve(ctx, listener, nil)
}

// host is a server in a process of its own.
type host struct {
	cmd     *exec.Cmd
	address string
}

func startHost(ctx context.Context, place string) (*host, error) {
	o := order{mode: "serve", dir: place, run: 1, flush: 16}
	cmd := o.command(ctx)
	complaint := new(bytes.Buffer)
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return &host{cmd: cmd, address: address}, nil
		}
	}
	return nil, fmt.Errorf("the server did not start: %w: %s", cmd.Wait(), complaint)
}

// kill ends the server at once.
func (h *host) kill() error {
	if err := h.cmd.Process.Kill(); err != nil {
		return err
	}
	if err := h.cmd.Wait(); h.cmd.ProcessState.ExitCode() != -1 {
		return fmt.Errorf("the server ended by itself: %w", err)
	}
	return nil
}

// TestLinearizableOverTheWire runs histories of concurrent clients, each over a network of its own that cuts
// connections at random messages, while the server is killed and started again.
func TestLinearizableOverTheWire(t *testing.T) {
	t.Parallel()
	runWire(t, scale(t, "LETHE_WIRE_HISTORIES", 16), 1, func() string { return t.TempDir() })
}

// TestLinearizableOverTwoServers is the same with two servers on one PostgreSQL store. While one of them is away, its
// callers are led to the other, which answers for what the first one left unanswered.
func TestLinearizableOverTwoServers(t *testing.T) {
	t.Parallel()
	runWire(t, max(1, scale(t, "LETHE_WIRE_HISTORIES", 16)/4), 2, func() string { return pgtest.Place(t) })
}

// runWire runs histories, each in a new place that so many servers keep.
func runWire(t *testing.T, histories, servers int, place func() string) {
	from := seed(t)
	counts := make(map[outcome]int)
	kills, cuts := 0, int64(0)
	for n := range histories {
		w := &wireHistory{h: newHistory(chance(from, n).Uint64()), place: place(), chance: chance(from, n)}
		if err := w.run(t.Context(), servers); err != nil {
			t.Fatalf("history %d of LETHE_SEED=%d: %v", n, from, err)
		}
		for o, c := range w.h.counts {
			counts[o] += c
		}
		kills, cuts = kills+w.kills, cuts+w.cuts.Load()
	}
	all := counts[done] + counts[conflict] + counts[hit] + counts[nothing] + counts[unknown]
	t.Logf("%d appends to a stream: %d done, %d conflicts, %d conditions failed, %d without effect, %d unknown; "+
		"%d kills, %d connections cut", all, counts[done], counts[conflict], counts[hit], counts[nothing], counts[unknown],
		kills, cuts)
	if 10*(counts[conflict]+counts[hit]) < all {
		t.Errorf("fewer than 10 %% conflicts")
	}
	if kills == 0 || cuts == 0 {
		t.Error("nothing was killed, or nothing was cut")
	}
}

// wireHistory is one history over the wire.
type wireHistory struct {
	h      *history
	place  string // a folder, or the address of a schema
	chance *rand.Rand
	kills  int
	cuts   atomic.Int64

	mu      sync.Mutex
	hosts   []*host
	cutters []*cutter // each is of the host of its number, modulo
	stores  []*remote.Client
}

func (w *wireHistory) run(ctx context.Context, servers int) error {
	for range servers {
		h, err := startHost(ctx, w.place)
		if err != nil {
			return err
		}
		w.hosts = append(w.hosts, h)
	}
	everyone := make([]*client, clients)
	streams := []event.StreamID{event.Stream("a", "1"), event.Stream("a", "2"), event.Stream("b", "1")}
	for i := range everyone {
		store, err := w.connect(ctx, chance(w.chance.Uint64(), i))
		if err != nil {
			return err
		}
		everyone[i] = &client{number: i, h: w.h, chance: chance(w.chance.Uint64(), i), streams: streams, store: store,
			known: make(map[event.StreamID]known)}
	}
	var crowd []*crowd
	for i := range servers {
		watching, err := w.connect(ctx, chance(w.chance.Uint64(), clients+i))
		if err != nil {
			return err
		}
		crowd = append(crowd, watchAt(ctx, watching, w.chance.Uint64(), i))
	}
	err := w.work(ctx, everyone)
	var watch []*watchers
	for _, c := range crowd {
		if err == nil {
			err = c.drain(ctx, c.store, patience)
		}
		watch = append(watch, c.watchers)
	}
	for _, c := range crowd {
		err = errors.Join(err, c.stop())
	}
	err = errors.Join(err, w.close(), w.h.oddity)
	if err != nil {
		return err
	}
	b := bed{name: w.place, open: func() (storage.Store, error) {
		return openEngine(context.Background(), w.place, 16)
	}}
	return judge(ctx, b, w.h, watch...)
}

// connect is a client with a network of its own, of which about one message in fifty is the last of its connection.
func (w *wireHistory) connect(ctx context.Context, random *rand.Rand) (*lethe.Store, error) {
	var mu sync.Mutex
	c, err := newCutter(w.hosts[len(w.cutters)%len(w.hosts)].address, func(message int) (before, after bool) {
		mu.Lock()
		defer mu.Unlock()
		if n := random.IntN(100); n < 2 && message > 10 { // the first ones let it connect at all
			w.cuts.Add(1)
			return n == 0, true
		}
		return false, false
	})
	if err != nil {
		return nil, err
	}
	w.cutters = append(w.cutters, c)
	store, err := remote.Open(ctx, c.address(), &remote.Options{Retry: patience})
	if err != nil {
		return nil, err
	}
	w.stores = append(w.stores, store)
	return store.Store, nil
}

// work lets all clients make their steps. Twice, when one of them is in the middle of its own, the server is killed.
func (w *wireHistory) work(ctx context.Context, everyone []*client) error {
	errs := make([]error, len(everyone))
	var wg sync.WaitGroup
	for i, c := range everyone {
		wg.Go(func() {
			c.run(ctx, steps)
			if i < 2 {
				errs[i] = w.restart(ctx, i%len(w.hosts))
			}
			c.run(ctx, steps)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *wireHistory) restart(ctx context.Context, n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.hosts[n].kill(); err != nil {
		return err
	}
	w.kills++
	w.lead(n, w.hosts[(n+1)%len(w.hosts)].address)
	next, err := startHost(ctx, w.place)
	if err != nil {
		return err
	}
	w.hosts[n] = next
	w.lead(n, next.address)
	return nil
}

// lead leads the callers of one server somewhere.
func (w *wireHistory) lead(n int, address string) {
	for i, c := range w.cutters {
		if i%len(w.hosts) == n {
			c.lead(address)
		}
	}
}

func (w *wireHistory) close() error {
	var errs []error
	for _, s := range w.stores {
		errs = append(errs, s.Close())
	}
	for _, c := range w.cutters {
		errs = append(errs, c.close())
	}
	for _, h := range w.hosts {
		errs = append(errs, h.kill())
	}
	return errors.Join(errs...)
}

// TestCutAtEveryMessage makes one client do one of everything, again and again, and each time the connection is cut
// before or after another one of its messages. Whatever is lost on the way: what was acknowledged is there, once.
func TestCutAtEveryMessage(t *testing.T) {
	t.Parallel()
	never := func(int) (bool, bool) { return false, false }
	messages, err := errand(t.Context(), never)
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for at := range messages {
		for _, before := range []bool{true, false} {
			fired := atomic.Bool{}
			cut := func(message int) (bool, bool) {
				if message != at {
					return false, false
				}
				fired.Store(true)
				return before, true
			}
			if _, err := errand(t.Context(), cut); err != nil {
				t.Fatalf("message %d of %d, before it %v: %v", at, messages, before, err)
			}
			if fired.Load() {
				points++
			}
		}
	}
	t.Logf("%d messages, cut at %d points: 0 lost, 0 doubled", messages, points)
	if points < messages {
		t.Errorf("only %d points of %d fired", points, 2*messages)
	}
}

// errand does one of everything over a network that is cut, and checks what is in the log afterwards. It returns how
// many messages it took.
func errand(ctx context.Context, cut func(int) (before, after bool)) (messages int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	engine := memory.Open(memory.Options{})
	store, err := lethe.Open(ctx, engine, kms.None, nil)
	if err != nil {
		return 0, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- serve(serving, store, engine, listener) }()
	c, err := newCutter(listener.Addr().String(), cut)
	if err != nil {
		stop()
		return 0, errors.Join(err, <-ended)
	}
	err = runErrand(ctx, c.address(), store)
	messages = int(c.messages.Load())
	err = errors.Join(err, c.close())
	stop()
	return messages, errors.Join(err, <-ended, store.Close())
}

func runErrand(ctx context.Context, address string, store *lethe.Store) (err error) {
	dialled, err := remote.Open(ctx, address, &remote.Options{Retry: patience})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, dialled.Close()) }()
	session := dialled.As(event.Actor{Kind: "employee", ID: "7"})
	first, second := event.Stream("a", "1"), event.Stream("a", "2")
	var acked []log.Placed
	for n := range 3 {
		res, err := session.Append(ctx, first, event.At(event.Version(n)), event.Draft{Type: "T"})
		if err != nil {
			return fmt.Errorf("append %d: %w", n, err)
		}
		acked = append(acked, res.Events...)
	}
	write := func(n int) log.Request {
		return log.Request{Writes: []log.Write{{Stream: second, Expected: event.At(event.Version(n)),
			Events: []event.Draft{{Type: "T"}}}}}
	}
	for n, o := range session.AppendEach(ctx, []log.Request{write(0), write(1), write(2)}) {
		if o.Err != nil {
			return fmt.Errorf("append each %d: %w", n, o.Err)
		}
		acked = append(acked, o.Result.Events...)
	}
	if err := followErrand(ctx, dialled.Store, len(acked)); err != nil {
		return err
	}
	return checkErrand(ctx, store, acked)
}

// followErrand sees every event once, in order, and stores how far it came.
func followErrand(ctx context.Context, store *lethe.Store, events int) error {
	next := event.Position(1)
	for e, err := range store.As(event.Actor{}).Subscribe(ctx, nil, event.Cursor{}) {
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		if e.Position != next {
			return fmt.Errorf("the subscription gave position %d, not %d", e.Position, next)
		}
		if next++; int(next) > events {
			break
		}
	}
	from := storage.Checkpoint{}
	for n := range 2 {
		to, err := store.Cursors().Advance(ctx, "errand", from, storage.Checkpoint{Cursor: store.Cursor(next - 1)})
		if err != nil {
			return fmt.Errorf("advance %d: %w", n, err)
		}
		from = to
	}
	if from.Revision != 2 {
		return fmt.Errorf("the checkpoint is at revision %d after 2 steps", from.Revision)
	}
	return nil
}

// checkErrand: in the log is what was acknowledged, where it was said to be, and nothing else.
func checkErrand(ctx context.Context, store *lethe.Store, acked []log.Placed) error {
	var there []log.Placed
	for e, err := range store.As(event.Actor{}).Query(ctx, lethe.Query{}) {
		if err != nil {
			return err
		}
		there = append(there, log.Placed{ID: e.ID, Stream: e.Stream, Position: e.Position, Version: e.Version})
	}
	if !slices.Equal(there, acked) {
		return fmt.Errorf("acknowledged were %v, in the log are %v", acked, there)
	}
	return nil
}
