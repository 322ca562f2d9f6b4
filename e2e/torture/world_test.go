package torture_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// world is one store in which a programme runs. Worlds of one seed have the same clock, randomness and identity, so
// every answer, down to ids and leaves, must be the same in all of them.
type world struct {
	name  string
	open  func() (storage.Store, error) // the engine, again and again
	batch int
	clock *stepClock
	rand  io.Reader

	engine storage.Store
	store  *lethe.Store
}

// identity is what a new store draws, in the order in which each engine draws it.
func identity(seed uint64) (store, incarnation, secret []byte) {
	all := make([]byte, 56)
	if _, err := io.ReadFull(randomness(seed), all); err != nil {
		panic("randomness ran dry")
	}
	return all[:16], all[16:24], all[24:]
}

func metadataKeys() []string { return []string{"channel", "branch"} }

func memoryWorld(seed uint64, batch int) *world {
	store, life, secret := identity(seed)
	s := memory.Open(memory.Options{
		Rand: strings.NewReader(string(slices.Concat(store, secret, life))), Indexed: metadataKeys(),
	})
	return &world{name: "memory", open: func() (storage.Store, error) { return kept{s}, nil }, batch: batch,
		clock: newStepClock(), rand: randomness(seed + 1)}
}

func sqliteWorld(seed uint64, dir string, batch, flush int) *world {
	store, life, secret := identity(seed)
	open := func() (storage.Store, error) {
		return sqlite.Open(context.Background(), dir, &sqlite.Options{
			Rand: strings.NewReader(string(slices.Concat(store, life, secret))), Indexed: metadataKeys(), Flush: flush,
		})
	}
	return &world{name: "sqlite", open: open, batch: batch, clock: newStepClock(), rand: randomness(seed + 1)}
}

// postgresWorld paces its engine with the machine's clock: a wait on the world's own is no wait.
func postgresWorld(seed uint64, address string, batch, flush int) *world {
	store, life, secret := identity(seed)
	open := func() (storage.Store, error) {
		return postgres.Open(context.Background(), address, &postgres.Options{
			Rand: strings.NewReader(string(slices.Concat(store, life, secret))), Indexed: metadataKeys(), Flush: flush,
			Create: true,
		})
	}
	return &world{name: "postgres", open: open, batch: batch, clock: newStepClock(), rand: randomness(seed + 1)}
}

// reopen closes the store, if it is open, and opens it.
func (w *world) reopen(ctx context.Context) error {
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			return err
		}
	}
	var err error
	if w.engine, err = w.open(); err != nil {
		return err
	}
	w.store, err = lethe.Open(ctx, w.engine, kms.None, &lethe.Options{Clock: w.clock, Rand: w.rand, Batch: w.batch})
	return err
}

// close closes the store, or what is left of one that did not open again.
func (w *world) close() error {
	if w.store == nil {
		return w.engine.Close()
	}
	return w.store.Close()
}

// deed is one step of a programme; what it returns must be the same in every world.
type deed struct {
	name string
	do   func(ctx context.Context, w *world) string
}

// shown is an error as both worlds must give it: its code and, where it says where the log stands, that.
func shown(err error) string {
	var version *event.VersionConflict
	var failed *event.ConditionFailed
	var forked *event.Forked
	switch {
	case err == nil:
		return ""
	case errors.As(err, &version):
		return version.Error()
	case errors.As(err, &failed):
		return failed.Error()
	case errors.As(err, &forked):
		return forked.Error()
	}
	return event.Code(err)
}

func showResult(res log.Result, err error) string {
	return fmt.Sprintf("%v repeated=%t %s", res.Events, res.Repeated, shown(err))
}

func showEvent(b *strings.Builder, e *event.Event) {
	text, err := json.Marshal(e)
	if err != nil {
		text = []byte(err.Error())
	}
	fmt.Fprintf(b, "%s %x %t %v\n", text, e.Leaf, e.Pruned, e.RecordedAt)
}

func showEvents(events func(func(event.Event, error) bool)) string {
	var b strings.Builder
	for e, err := range events {
		if err != nil {
			b.WriteString(shown(err))
			break
		}
		showEvent(&b, &e)
	}
	return b.String()
}

func showHead(h storage.Head, err error) string {
	return fmt.Sprintf("%d %d %d %x %v %s", h.Position, h.System, h.Fence, h.Frontier, h.Lineage, shown(err))
}

// everything is all that can be read of a world.
func (w *world) everything(ctx context.Context) string {
	var b strings.Builder
	b.WriteString(showHead(w.store.Head(ctx)))
	b.WriteString(showEvents(w.store.As(event.Actor{}).Query(ctx, lethe.Query{Pruned: true})))
	streams, err := w.store.Streams(ctx, storage.StreamQuery{Limit: 1000})
	fmt.Fprintf(&b, "%v %s\n", streams, shown(err))
	checkpoints, err := w.engine.Checkpoints(ctx)
	fmt.Fprintf(&b, "%v %s\n", checkpoints, shown(err))
	report, err := log.Verify(ctx, w.engine, nil)
	fmt.Fprintf(&b, "%+v %s\n", report, shown(err))
	return b.String()
}
