// Package follow is the one way by which anything learns from the log: it runs a Follower over the events that
// match its filter, keeps how far it came, and stops loudly at an event that cannot be applied.
//
//	err := follow.Run(ctx, store.As(event.Actor{}), store.Cursors(), totals, nil)
//	if poisoned, ok := errors.AsType[*follow.Poisoned](err); ok { … } // mend it, then Resume or Skip
//
// What a follower may rely on:
//
//   - Events come in the order of the log, and none is skipped: not by a crash, not by an error, not by a restart.
//   - The checkpoint is stored after Apply returned nil. In one run no event comes again after that; after a crash
//     between the two the batch comes again, so what Apply does must bear repetition.
//   - An error of Apply means that nothing of the batch counts. It comes again after a growing pause, event by event,
//     until the one that fails is known. After Options.Tries that event is poison: everything before it is applied,
//     the run ends with Poisoned, and so does every later run until somebody calls Resume or Skip.
//   - Errors that are not the event's fault (event.ErrUnavailable, ErrFull, ErrUnknown: tried again; ErrFailed,
//     ErrForked, ErrHeld, ErrCorrupt: not) end the run as they are. Nothing is poison; run it again.
//   - Of two runs of one follower the one whose checkpoint was overtaken ends with event.ErrConflict.
//
// The checkpoint's form is docs/format/checkpoint.md.
package follow

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Follower derives something from the log.
type Follower interface {
	// Name names the follower, and its checkpoint, for ever: a letter, then letters, digits and _ . - :, at most 64.
	Name() string
	// Filter says which events it wants; the empty Filter wants all. It is asked once per run. A filter that changed
	// holds from the checkpoint on; the past is not read again.
	Filter() event.Filter
	// Apply takes events in. nil means that all of them count for good. Its error never reaches a message, only its
	// event.Code does. With several partitions it is called from as many goroutines.
	Apply(ctx context.Context, b Batch) error
}

// Source is where events come from and where a follower's own appends go; *lethe.Session is one.
type Source interface {
	Batches(ctx context.Context, f event.Filter, after event.Cursor) iter.Seq2[lethe.Batch, error]
	CausedBy(e event.Event) *lethe.Session
}

var _ Source = (*lethe.Session)(nil)

// Batch is what is to be applied at once.
type Batch struct {
	Events []event.Event // at least one, in order; read-only, since they may come again
	Cursor event.Cursor  // where the follower stands when the batch is applied
	Live   bool          // the batch reaches the end of the log as it was when it was read
	Source Source
}

// CausedBy is a session whose appends are consequences of e: they inherit its correlation and trace context.
func (b Batch) CausedBy(e event.Event) *lethe.Session { return b.Source.CausedBy(e) }

// Options of a run; nil means the defaults.
type Options struct {
	Clock      event.Clock   // nil: the machine's
	Rand       io.Reader     // of the jitter; nil: crypto/rand
	Tries      int           // of one event before it is poison; 0: 5
	Backoff    time.Duration // wait before the second try, doubled for each further one; 0: 100 ms
	MaxBackoff time.Duration // longest wait; 0: 30 s. Of each wait at least half is waited, the rest is jitter
	Poll       time.Duration // how often an idle or paused run looks at its checkpoint; 0: 1 s
	Sparse     int           // positions without a match after which the checkpoint moves at once; 0: 1000
	Partitions int           // streams are spread over so many lanes that apply concurrently; 0: 1, at most 64
}

// MaxPartitions bounds Options.Partitions: each one reads the log for itself.
const MaxPartitions = 64

// Run applies what follows the checkpoint, then what is appended, until ctx ends, which is its error then. Other
// errors: *Poisoned; event.ErrConflict when another run overtook this one; event.ErrForked, with the last common
// position in event.Forked, when the checkpoint is from beyond a fork of the log; event.ErrInvalid for a bad name,
// filter or number of partitions; what the source, the checkpoints or the follower's store failed with.
//
// A paused follower waits until it is resumed. Where nothing matches, the checkpoint moves every Options.Sparse
// positions, when the end of the log is reached, and then every Options.Poll.
func Run(ctx context.Context, source Source, cursors storage.Cursors, f Follower, o *Options) error {
	r := &runner{
		source: source, cursors: cursors, follower: f, name: f.Name(), filter: f.Filter(), options: defaults(o),
	}
	r.pacer = &pacer{options: &r.options}
	if err := r.check(); err != nil {
		return err
	}
	lanes, err := r.arrange(ctx)
	if err == nil {
		err = together(ctx, lanes)
	}
	return fmt.Errorf("follow %s: %w", r.name, err)
}

// runner is what the lanes of one run share.
type runner struct {
	source   Source
	cursors  storage.Cursors
	follower Follower
	name     string
	filter   event.Filter
	options  Options
	pacer    *pacer
}

func defaults(given *Options) Options {
	var o Options
	if given != nil {
		o = *given
	}
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	o.Tries = positive(o.Tries, 5)
	o.Backoff = positive(o.Backoff, 100*time.Millisecond)
	o.MaxBackoff = positive(o.MaxBackoff, 30*time.Second)
	o.Poll = positive(o.Poll, time.Second)
	o.Sparse = positive(o.Sparse, 1000)
	o.Partitions = positive(o.Partitions, 1)
	return o
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

func (r *runner) check() error {
	if err := checkName(r.name); err != nil {
		return err
	}
	if r.options.Partitions > MaxPartitions {
		return event.Invalid("malformed_partitions", "follow %s: %d partitions are more than %d",
			r.name, r.options.Partitions, MaxPartitions)
	}
	return r.filter.Validate()
}

func checkName(name string) error {
	ok := name != "" && len(name) <= 64 && letter(name[0])
	for i := range len(name) {
		c := name[i]
		ok = ok && (letter(c) || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' || c == ':')
	}
	if !ok {
		return event.Invalid("malformed_follower",
			"check follower name: want 1 to 64 letters, digits or _ . - :, a letter first")
	}
	return nil
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// together runs lanes until all have ended; the first error ends the others.
func together(ctx context.Context, lanes []*lane) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(lanes))
	for _, l := range lanes {
		go func() { ended <- l.run(ctx) }()
	}
	var first error
	for range lanes {
		if err := <-ended; first == nil {
			first = err
			cancel()
		}
	}
	return first
}
