// Package privacy is the one room that sees plaintext and keys together. On the way in it turns references to persons
// into their aliases and seals what a schema declares personal; on the way out it opens boxes for an actor, a purpose
// and a reason, once the use is recorded durably, and says of everything else why it is withheld.
//
//	p, err := privacy.New(ctx, journal, keeper, uses, privacy.Options{Notations: notations})
//	sealed, errs := p.Seal(ctx, requests)             // what the log may keep; of each request, why not
//	events, err := p.Open(ctx, opening, page.Records) // what this reader may see
//
// It fails closed: without the key service, without a durable record of the use, or without the head of the log nothing
// is opened, and nothing declared personal is ever written in clear.
package privacy

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"sync/atomic"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/storage"
)

// Options of a privacy room; the zero value is ready to use.
type Options struct {
	Clock     event.Clock       // nil: the machine's
	Rand      io.Reader         // nil: crypto/rand
	Notations []schema.Notation // in which schemas may be written
	Languages []schema.Language // in which their upcasters may be
}

// Privacy seals and opens for one log. Safe for concurrent use.
type Privacy struct {
	log    *log.Log
	keeper *keyring.Keeper // nil: the store holds no personal data
	uses   storage.Uses
	clock  event.Clock
	rand   io.Reader
	store  event.StoreID
	ids    *event.IDs

	mu      sync.Mutex // held by who folds
	schemas *schema.Registry
	now     atomic.Pointer[state]

	works    sync.Pool // of *work
	benches  sync.Pool // of *bench
	readings sync.Pool // of *readingParts
}

// New is the privacy room of a log. Without a keeper everything personal is refused.
func New(ctx context.Context, l *log.Log, keeper *keyring.Keeper, uses storage.Uses, o Options) (*Privacy, error) {
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	p := &Privacy{
		log: l, keeper: keeper, uses: uses, clock: o.Clock, rand: o.Rand, store: l.Identity().Store,
		ids: event.NewIDs(o.Clock, o.Rand), schemas: schema.NewRegistry(o.Notations...).With(o.Languages...),
	}
	p.benches.New = func() any { return new(bench) }
	p.readings.New = func() any { return new(readingParts) }
	if _, err := p.follow(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// ring is the keeper, or why there is none.
func (p *Privacy) ring() (*keyring.Keeper, error) {
	if p.keeper == nil {
		return nil, event.Errorf(event.ErrUnsupported, "use keys: the store was opened without a key service").
			Hint("open it with one to hold personal data: --kms")
	}
	return p.keeper, nil
}
