package torture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// order is what a victim is told to do, in its environment.
type order struct {
	mode  string // one of tasks
	dir   string // the folder of the store, or its address
	run   uint32 // how often a victim worked there before, from 1: part of its event ids
	flush int
	steps int // 0: until it is killed
}

func (o order) environment() []string {
	return []string{"LETHE_VICTIM=" + o.mode, "LETHE_VICTIM_DIR=" + o.dir, "LETHE_VICTIM_RUN=" + fmt.Sprint(o.run),
		"LETHE_VICTIM_FLUSH=" + fmt.Sprint(o.flush), "LETHE_VICTIM_STEPS=" + fmt.Sprint(o.steps)}
}

func number(name string) int {
	n, err := strconv.Atoi(os.Getenv("LETHE_VICTIM_" + name))
	if err != nil {
		panic("a victim was started without its orders")
	}
	return n
}

// A victim tells one line for each answer it gets, in one write each:
//
//	opened
//	ack WORKER SEQUENCE POSITION   the request is in the log, its first event at POSITION
//	maybe WORKER SEQUENCE CODE     event.ErrUnknown: it may come to be, at the latest when the store is opened again
//	no WORKER SEQUENCE CODE        any other error: nothing of it may ever be in the log
//	checkpoint REVISION POSITION   a follower's checkpoint is stored
//	ended CODE                     a task ended, with an error's code or ok
type speaker struct{ mu sync.Mutex }

func (s *speaker) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...)); err != nil {
		os.Exit(3)
	}
}

func code(err error) string {
	if err == nil {
		return "ok"
	}
	return event.Code(err)
}

// work is what a task of a victim works with.
type work struct {
	order
	speaker
	engine storage.Store
	store  *lethe.Store
}

func tasks() map[string]func(context.Context, *work) {
	return map[string]func(context.Context, *work){
		"storm": storm, "append": appendAlone, "follow": followAlone, "import": importAlone, "truncate": truncateAlone,
		"bulk": bulk, "hold": hold, "read": readAlone, "fill": fill, "liar": liar, "serve": serveAlone,
	}
}

// exitFailed is the exit status of a victim whose store did not open or close. It is not the one of a panic.
const exitFailed = 9

// victim is the process that is killed, or whose system calls fail.
func victim(ctx context.Context, mode string) int {
	runtime.LockOSThread() // so that calls of the file system are counted on one thread, as far as one can
	w := &work{order: order{mode: mode, dir: os.Getenv("LETHE_VICTIM_DIR"), run: uint32(number("RUN")),
		flush: number("FLUSH"), steps: number("STEPS")}}
	var err error
	if w.engine, err = openEngine(ctx, w.dir, w.flush); err == nil {
		w.store, err = lethe.Open(ctx, w.engine, kms.None, nil)
	}
	if err != nil {
		w.tell("ended %s", code(err))
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	w.tell("opened")
	tasks()[mode](ctx, w)
	err = w.store.Close()
	w.tell("ended %s", code(err))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}

// openEngine opens the store in a folder, or at an address of PostgreSQL.
func openEngine(ctx context.Context, place string, flush int) (storage.Store, error) {
	if strings.HasPrefix(place, "postgres://") {
		return postgres.Open(ctx, place, &postgres.Options{Flush: flush, Create: true})
	}
	return sqlite.Open(ctx, place, &sqlite.Options{Flush: flush})
}

// ticket names one request: its ids and drafts follow from it, so that who finds an event knows what it must be.
type ticket struct {
	run      uint32
	worker   uint16
	sequence uint32
}

const (
	importer = 99 // the worker whose requests come from an import
	bulky    = 7  // the worker whose events are so large that the write-ahead log is soon full
)

func (k ticket) size() int { return 1 + int(k.sequence+uint32(k.worker))%3 }

func (k ticket) id(i int) (id event.ID) {
	binary.BigEndian.PutUint32(id[:], k.run)
	binary.BigEndian.PutUint16(id[4:], k.worker)
	binary.BigEndian.PutUint32(id[8:], k.sequence)
	binary.BigEndian.PutUint16(id[14:], uint16(i))
	return id
}

func ticketOf(id event.ID) (ticket, int) {
	return ticket{binary.BigEndian.Uint32(id[:]), binary.BigEndian.Uint16(id[4:]), binary.BigEndian.Uint32(id[8:])},
		int(binary.BigEndian.Uint16(id[14:]))
}

// request writes the first event to one stream and the others to a second one.
func (k ticket) request() log.Request {
	var req log.Request
	for i := range k.size() {
		at := min(i, 1)
		if at == len(req.Writes) {
			s := event.Stream("s", fmt.Sprint((int(k.worker)+int(k.sequence)*(1+2*at)+at)%5))
			if at == 1 {
				s.Kind = "r"
			}
			req.Writes = append(req.Writes, log.Write{Stream: s, Expected: event.Any})
		}
		req.Writes[at].Events = append(req.Writes[at].Events, k.draft(i))
	}
	if k.sequence%4 == 1 { // it holds always, but has to be looked up
		req.Condition = &event.Condition{Filter: event.Filter{{Types: []string{"Never"}, Kinds: []string{"s"}}}}
	}
	return req
}

func (k ticket) draft(i int) event.Draft {
	n := int(k.sequence) + i
	padding := bytes.Repeat([]byte{'x'}, n*n%700)
	if k.worker == bulky {
		padding = bytes.Repeat([]byte{'x'}, 150_000)
	}
	return event.Draft{
		ID: k.id(i), Type: fmt.Sprintf("T%d", n%7),
		Data:      fmt.Appendf(nil, `{"run":%d,"worker":%d,"sequence":%d,"i":%d,"x":"%s"}`, k.run, k.worker, k.sequence, i, padding),
		Relations: []event.Relation{{Role: fmt.Sprintf("role%d", n%2), Kind: "thing", ID: fmt.Sprint(n % 11)}},
	}
}

// submit appends what the ticket says and tells the answer. It reports whether it makes sense to go on.
func (w *work) submit(ctx context.Context, k ticket) bool {
	res, err := w.store.As(event.Actor{}).AppendAll(ctx, k.request())
	w.answer(k, res, err)
	return err == nil || errors.Is(err, event.ErrFull)
}

func (w *work) answer(k ticket, res log.Result, err error) {
	switch {
	case err == nil:
		w.tell("ack %d %d %d", k.worker, k.sequence, res.Events[0].Position)
	case errors.Is(err, event.ErrUnknown):
		w.tell("maybe %d %d %s", k.worker, k.sequence, code(err))
	default:
		w.tell("no %d %d %s", k.worker, k.sequence, code(err))
	}
}

func (w *work) worker(ctx context.Context, n uint16) {
	for seq := uint32(1); w.steps == 0 || seq <= uint32(w.steps); seq++ {
		ok := w.submit(ctx, ticket{w.run, n, seq})
		if !ok && w.steps == 0 {
			return
		}
	}
}

// storm does everything at once.
func storm(ctx context.Context, w *work) {
	var wg sync.WaitGroup
	for n := range uint16(4) {
		wg.Go(func() { w.worker(ctx, n) })
	}
	wg.Go(func() { w.follow(ctx) })
	wg.Go(func() { importAlone(ctx, w) })
	wg.Go(func() { w.tell("ended %s", code(w.truncate(ctx))) })
	wg.Wait()
}

// truncate prunes one stream event by event, as fast as it grows.
func (w *work) truncate(ctx context.Context) error {
	pruned := event.Stream("s", "0")
	for {
		head, err := w.store.Head(ctx)
		if err != nil {
			return err
		}
		listed, err := w.store.Streams(ctx, storage.StreamQuery{Kind: "s", Limit: 1})
		if err != nil {
			return err
		}
		if len(listed) == 1 && listed[0].Stream == pruned && listed[0].Truncated < listed[0].Version {
			before := max(listed[0].Truncated, 1) + 1
			err = w.store.As(event.Actor{}).TruncateStream(ctx, pruned, before)
		} else {
			err = w.engine.Wait(ctx, head.Position)
		}
		if err != nil {
			return err
		}
	}
}

func appendAlone(ctx context.Context, w *work) { w.worker(ctx, 0) }

func bulk(ctx context.Context, w *work) { w.worker(ctx, bulky) }

// liar acknowledges before it appends: what the checkers must find.
func liar(ctx context.Context, w *work) {
	head, err := w.store.Head(ctx)
	if err != nil {
		return
	}
	next := head.Position + 1
	for seq := uint32(1); ; seq++ {
		k := ticket{w.run, 0, seq}
		w.tell("ack %d %d %d", k.worker, k.sequence, next)
		if _, err := w.store.As(event.Actor{}).AppendAll(ctx, k.request()); err != nil {
			return
		}
		next += event.Position(k.size())
	}
}

// follower tells every checkpoint that was stored.
type follower struct{ w *work }

func (follower) Name() string         { return "torture" }
func (follower) Filter() event.Filter { return event.Filter{{Kinds: []string{"s"}}} }

// Apply is called again only after the checkpoint of the batch before it was stored.
func (f follower) Apply(ctx context.Context, _ follow.Batch) error {
	c, err := f.w.store.Cursors().Checkpoint(ctx, "torture")
	if err == nil && c.Revision > 0 {
		f.w.tell("checkpoint %d %d", c.Revision, c.Cursor.Position)
	}
	return err
}

func (w *work) follow(ctx context.Context) {
	err := follow.Run(ctx, w.store.As(event.Actor{}), w.store.Cursors(), follower{w}, &follow.Options{Sparse: 1})
	if ctx.Err() == nil {
		w.tell("ended %s", code(err))
	}
}

// followAlone stores checkpoints one by one, as a follower's run does.
func followAlone(ctx context.Context, w *work) {
	for range w.steps {
		from, err := w.store.Cursors().Checkpoint(ctx, "torture")
		if err == nil {
			to := from
			to.Cursor = w.store.Cursor(from.Cursor.Position + 1)
			to.Note = []byte(`{}`)
			if to, err = w.store.Cursors().Advance(ctx, "torture", from, to); err == nil {
				w.tell("checkpoint %d %d", to.Revision, to.Cursor.Position)
			}
		}
		if err != nil {
			w.tell("ended %s", code(err))
		}
	}
}

// importRecords is an input of which every record gives one event.
const importRecords = 120

func importInput() []byte {
	var b bytes.Buffer
	for n := range importRecords {
		fmt.Fprintf(&b, `{"n":%d,"s":"%d","x":"%s"}`+"\n", n, n%4, bytes.Repeat([]byte{'y'}, n%50))
	}
	return b.Bytes()
}

const importMap = "{source: torture, format: jsonl, " +
	"events: [{key: n, stream: 'i/{s}', type: 'I{s}', data: {all: true}}]}"

// told is a session that tells what it answers to an import.
type told struct {
	*lethe.Session
	w *work
}

func (t told) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	outcomes := t.Session.AppendEach(ctx, requests)
	for i, o := range outcomes {
		record := bytes.TrimPrefix(requests[i].Writes[0].Events[0].Data, []byte(`{"n":`))
		n, err := strconv.Atoi(string(record[:bytes.IndexByte(record, ',')]))
		if err != nil {
			os.Exit(3)
		}
		t.w.answer(ticket{t.w.run, importer, uint32(n)}, o.Result, o.Err)
	}
	return outcomes
}

func importAlone(ctx context.Context, w *work) {
	m, err := ingest.ParseMap([]byte(importMap))
	key, failure := w.store.ImportKey(ctx)
	if err = errors.Join(err, failure); err == nil {
		input := ingest.Input{Name: "torture.jsonl", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(importInput())), nil
		}}
		_, err = ingest.Run(ctx, told{Session: w.store.As(event.Actor{}), w: w}, key, m,
			[]ingest.Input{input}, ingest.Options{BatchEvents: 10})
	}
	w.tell("ended %s", code(err))
}

// truncateAlone appends, and prunes what it appended before.
func truncateAlone(ctx context.Context, w *work) {
	for seq := range uint32(w.steps) {
		w.submit(ctx, ticket{w.run, 0, seq + 1})
		if seq%3 == 2 {
			s := event.Stream("s", fmt.Sprint(seq%5))
			err := w.store.As(event.Actor{}).TruncateStream(ctx, s, event.Version(2+seq/5))
			w.tell("truncated %s", code(err))
		}
	}
}

// readAlone reads the log.
func readAlone(ctx context.Context, w *work) {
	_, err := gather(w.store.As(event.Actor{}), ctx, lethe.Query{})
	w.tell("ended %s", code(err))
}

// hold keeps the store until its input ends.
func hold(_ context.Context, _ *work) {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		os.Exit(3)
	}
}
