// Package client is a store over the network: it has the very types of package lethe, whose calls go to a server.
//
//	store, err := client.Open(ctx, "https://lethe.example.org/loans", &client.Options{Token: token})
//	defer store.Close()
//	res, err := store.As(clerk).Append(ctx, stream, event.None, draft)
//
// What a caller may rely on beyond what package lethe says:
//
//   - A call that may be repeated is tried again while the server cannot be reached or is draining, for Options.Retry,
//     with growing pauses. Appends may be repeated: events get their ids here, before the first try, and the log knows
//     an append again by them.
//   - An append whose answer never came is event.ErrUnknown: it may or may not be in the log. Where nothing can have
//     reached the server it is event.ErrUnavailable.
//   - Concurrent appends of one client travel together where that is faster. Each keeps its own result, its own error
//     and its own context.
//   - A subscription resumes by itself, from the last batch it gave out.
//   - Errors are the server's: errors.Is, errors.As and event.Code answer as they do for an embedded store.
//
// client.go opens, address.go reads addresses and guards the token, carry.go is HTTP, fault.go judges failed tries,
// retry.go tries again, append.go and gather.go append, read.go and watch.go read, admin.go is for what governs a
// store, upkeep.go and care.go are the rest.
package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Options of a client; nil means the defaults.
type Options struct {
	Token     string               // sent with every call; never over plain http, but to this machine itself
	Transport http.RoundTripper    // nil: HTTP/1.1, and HTTP/2 where TLS agrees on it
	TLS       *tls.Config          // of https, when Transport is nil; nil: the machine's roots
	Clock     event.Clock          // nil: the machine's
	Rand      io.Reader            // of event ids and pauses; nil: crypto/rand
	Retry     time.Duration        // how long a call is tried again; 0: 10 s, negative: never
	Code      string               // name and version of this program, for the record of uses of personal data
	Tracer    trace.TracerProvider // nil: no spans of its own; the trace context of callers is passed on all the same
}

// Client is an open store of a server. Safe for concurrent use.
type Client struct {
	*lethe.Store
	// What governs a store. Calls that only ask, and records of persons that are given an id, are tried again like all
	// others; the rest are made once. Errors are those of package event. A person is named in a message, never elsewhere.
	Tokens   lethev1connect.TokenServiceClient
	Stores   lethev1connect.StoreServiceClient
	Schemas  lethev1connect.SchemaServiceClient
	Policy   lethev1connect.PolicyServiceClient
	Subjects lethev1connect.SubjectServiceClient
	Consents lethev1connect.ConsentServiceClient
	Keys     lethev1connect.KeyServiceClient
}

// readLimit bounds what one answer may take: a page of the largest events, with room.
const readLimit = 32 << 20

// Open opens the store at address: http(s)://host:port, or http(s)://host:port/name where the server has several. It
// asks the server once, so that a wrong address or token shows here. Errors besides the server's: event.ErrInvalid for
// an address that is none, and insecure_token for a token that would travel unprotected; event.ErrUnavailable where
// nobody answers, with code not_lethe where somebody else does.
func Open(ctx context.Context, address string, given *Options) (*Client, error) {
	o := defaults(given)
	at, err := parseAddress(address)
	if err == nil {
		err = at.guard(o.Token)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	b, err := newBackend(at, &o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	head, err := b.Head(ctx)
	if err != nil {
		b.carrier.closeIdle()
		return nil, fmt.Errorf("open store at %s: %w", at.base, err)
	}
	b.identity = head.Identity
	options := append(b.options, connect.WithInterceptors(admin{b}))
	return &Client{
		Store:    lethe.New(b, head.Identity),
		Tokens:   lethev1connect.NewTokenServiceClient(b.carrier, at.base, options...),
		Stores:   lethev1connect.NewStoreServiceClient(b.carrier, at.base, options...),
		Schemas:  lethev1connect.NewSchemaServiceClient(b.carrier, at.base, options...),
		Policy:   lethev1connect.NewPolicyServiceClient(b.carrier, at.base, options...),
		Subjects: lethev1connect.NewSubjectServiceClient(b.carrier, at.base, options...),
		Consents: lethev1connect.NewConsentServiceClient(b.carrier, at.base, options...),
		Keys:     lethev1connect.NewKeyServiceClient(b.carrier, at.base, options...),
	}, nil
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
	if o.Retry == 0 {
		o.Retry = 10 * time.Second
	}
	return o
}

// backend implements lethe.Backend by calls to a server.
type backend struct {
	log       lethev1connect.LogServiceClient
	streams   lethev1connect.StreamServiceClient
	followers lethev1connect.FollowerServiceClient
	stores    lethev1connect.StoreServiceClient

	identity storage.Identity // as it was when the store was opened
	carrier  *carrier
	options  []connect.ClientOption
	clock    event.Clock
	rand     io.Reader
	retry    time.Duration
	code     string // of the program
	ids      *event.IDs
	gatherer *gatherer
	host     string

	closing sync.Once
	closed  chan struct{}
}

func newBackend(at address, o *Options) (*backend, error) {
	b := &backend{
		carrier: newCarrier(at, o), host: at.host, clock: o.Clock, rand: &sharedReader{from: o.Rand}, retry: o.Retry,
		code:   o.Code,
		closed: make(chan struct{}),
		options: []connect.ClientOption{
			connect.WithReadMaxBytes(readLimit),
			connect.WithAcceptCompression("gzip", nil, nil), // it costs more than the network of most servers
		},
	}
	if o.Tracer != nil {
		tracing, err := otelconnect.NewInterceptor(otelconnect.WithTracerProvider(o.Tracer), otelconnect.WithoutMetrics(),
			otelconnect.WithPropagator(propagation.TraceContext{}))
		if err != nil {
			return nil, fmt.Errorf("set up traces: %w", err)
		}
		b.options = append(b.options, connect.WithInterceptors(tracing))
	}
	b.ids = event.NewIDs(b.clock, b.rand)
	b.gatherer = &gatherer{backend: b}
	b.log = lethev1connect.NewLogServiceClient(b.carrier, at.base, b.options...)
	b.streams = lethev1connect.NewStreamServiceClient(b.carrier, at.base, b.options...)
	b.followers = lethev1connect.NewFollowerServiceClient(b.carrier, at.base, b.options...)
	b.stores = lethev1connect.NewStoreServiceClient(b.carrier, at.base, b.options...)
	return b, nil
}

// sharedReader lets many goroutines read one source of randomness.
type sharedReader struct {
	mu   sync.Mutex
	from io.Reader
}

func (r *sharedReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from.Read(p)
}
