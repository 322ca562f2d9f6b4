package server

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

// Server answers the calls of other programs. Safe for concurrent use.
type Server struct {
	tenants map[string]*tenant
	only    *tenant       // where there is one store only: calls need not name it
	nobody  *token.Keeper // knows no token: it answers for stores that are not here, so that they look like any other
	options Options       // with defaults
	limits  Limits        // with defaults
	clock   event.Clock
	rand    io.Reader // safe for concurrent use
	logger  *slog.Logger
	refusal *connect.ErrorWriter

	guard    *guard
	meter    *meter
	spans    []connect.Interceptor // nil: no traces
	openings openings
	ending   chan struct{} // closed: the server ends, subscriptions shall go elsewhere
	end      func()        // closes ending; again: nothing happens

	mux     http.Handler // every procedure, behind admission
	handler http.Handler // mux in its shell
}

// New is a server of stores. It serves nobody until Serve, or until its Handler is used. The stores stay the
// caller's to close. What cannot work is event.ErrInvalid: malformed_store, repeated_store, no_store, no_tokens.
func New(tenants []Tenant, o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.defaults()
	s := &Server{
		tenants: make(map[string]*tenant, len(tenants)), options: o, limits: o.Limits, clock: o.Clock,
		rand: &lockedReader{from: o.Rand}, logger: o.Logger, ending: make(chan struct{}),
	}
	s.end = sync.OnceFunc(func() { close(s.ending) })
	s.nobody = token.New(noTokens{}, s.clock, s.rand)
	for _, t := range tenants {
		if err := s.add(t); err != nil {
			return nil, err
		}
	}
	if len(tenants) == 0 {
		return nil, event.Invalid("no_store", "start server: it has no store").Hint("name at least one")
	}
	err := checkOrigins(o.Origins)
	if err != nil {
		return nil, err
	}
	if s.spans, err = tracing(&s.options); err != nil {
		return nil, err
	}
	if s.guard, err = newGuard(s.limits); err != nil {
		return nil, err
	}
	s.meter = newMeter(s)
	s.refusal = connect.NewErrorWriter(s.speech()...)
	s.mux = s.routes()
	s.handler = s.shell(s.mux)
	return s, nil
}

func (s *Server) add(t Tenant) error {
	switch {
	case !wire.StoreName(t.Name):
		return event.Invalid("malformed_store",
			"start server: want store names of 1 to 64 lower-case letters, digits and -, a letter first")
	case s.tenants[t.Name] != nil:
		return event.Invalid("repeated_store", "start server: store %s is named twice", t.Name)
	case t.Store == nil:
		return event.Invalid("no_store", "start server: %s is only a name, without a store", t.Name)
	case t.Tokens == nil && !s.options.NoTokens:
		return event.Invalid("no_tokens", "start server: store %s keeps no tokens", t.Name)
	}
	s.only = &tenant{Tenant: t}
	if t.Tokens != nil {
		s.only.keeper = token.New(t.Tokens, s.clock, s.rand)
	}
	s.tenants[t.Name] = s.only
	if len(s.tenants) > 1 {
		s.only = nil
	}
	return nil
}

// defaults fills in what is not set.
func (l Limits) defaults() Limits {
	fill(&l.MessageBytes, 20<<20)
	fill(&l.BufferBytes, 256<<20)
	fill(&l.Calls, 1024)
	fill(&l.Streams, 1000)
	fill(&l.StreamsOfToken, 250)
	fill(&l.Burst, max(1, int(l.Rate)))
	fill(&l.Connections, 20_000)
	fill(&l.Header, 10*time.Second)
	fill(&l.Body, 30*time.Second)
	fill(&l.Stall, 10*time.Second)
	fill(&l.Heartbeat, 15*time.Second)
	fill(&l.Drain, 20*time.Second)
	return l
}

func fill[T int | time.Duration](limit *T, standard T) {
	if *limit == 0 {
		*limit = standard
	}
}

// Handler answers everything this server serves, over any transport that speaks HTTP.
func (s *Server) Handler() http.Handler { return s.handler }

// routes is every procedure. What is not here does not exist; what is here runs behind admission.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	unary(s, mux, lethev1connect.LogServiceAppendProcedure, (*caller).append)
	unary(s, mux, lethev1connect.LogServiceAppendEachProcedure, (*caller).appendEach)
	unary(s, mux, lethev1connect.LogServiceReadProcedure, (*caller).read)
	unary(s, mux, lethev1connect.LogServiceQueryProcedure, (*caller).query)
	unary(s, mux, lethev1connect.LogServiceFindProcedure, (*caller).find)
	unary(s, mux, lethev1connect.LogServiceOpenProcedure, (*caller).openEvents)
	unary(s, mux, lethev1connect.LogServiceHeadProcedure, (*caller).head)
	streaming(s, mux, lethev1connect.LogServiceSubscribeProcedure, (*caller).subscribe)

	unary(s, mux, lethev1connect.StreamServiceListProcedure, (*caller).listStreams)
	unary(s, mux, lethev1connect.StreamServiceCloseProcedure, (*caller).closeStream)
	unary(s, mux, lethev1connect.StreamServiceTruncateProcedure, (*caller).truncateStream)
	unary(s, mux, lethev1connect.StreamServiceListMaxAgesProcedure, (*caller).listMaxAges)
	unary(s, mux, lethev1connect.StreamServiceSetMaxAgeProcedure, (*caller).setMaxAge)
	unary(s, mux, lethev1connect.StreamServiceExpireProcedure, (*caller).expire)

	unary(s, mux, lethev1connect.StoreServiceWhoamiProcedure, (*caller).whoami)
	unary(s, mux, lethev1connect.StoreServiceSizesProcedure, (*caller).sizes)
	unary(s, mux, lethev1connect.StoreServiceImportKeyProcedure, (*caller).importKey)
	streaming(s, mux, lethev1connect.StoreServiceVerifyProcedure, (*caller).verify)

	unary(s, mux, lethev1connect.FollowerServiceCheckpointProcedure, (*caller).checkpoint)
	unary(s, mux, lethev1connect.FollowerServiceAdvanceProcedure, (*caller).advance)
	unary(s, mux, lethev1connect.FollowerServiceListProcedure, (*caller).listCheckpoints)

	unary(s, mux, lethev1connect.TokenServiceCreateProcedure, (*caller).createToken)
	unary(s, mux, lethev1connect.TokenServiceListProcedure, (*caller).listTokens)
	unary(s, mux, lethev1connect.TokenServiceRevokeProcedure, (*caller).revokeToken)

	s.desks(mux)
	events := procedure{name: eventsPath, needs: lethev1.Permission_PERMISSION_READ}
	mux.Handle("GET "+eventsPath, s.admitted(events, http.HandlerFunc(s.serveEvents)))
	mux.Handle("POST "+eventsPath, s.admitted(events, http.HandlerFunc(s.serveEvents)))
	s.describe(mux)
	mux.HandleFunc("/", s.serveUnknown)
	return mux
}

// unary lets callers call a method that answers with one message.
func unary[Req, Res any, In message[Req], Out message[Res]](
	s *Server, mux *http.ServeMux, name string, method func(*caller, context.Context, In) (Out, error),
) {
	p, options := s.procedure(name)
	call := func(ctx context.Context, req *incoming[Req, In]) (*Res, error) {
		c := callerOf(ctx)
		var answer Out
		err := c.run(req.err, func() (err error) {
			if c.get {
				err = c.inAddress(ctx, In(&req.message))
			}
			if err == nil {
				answer, err = method(c, ctx, &req.message)
			}
			return err
		})
		return answer, err
	}
	mux.Handle(name, s.admitted(p, connect.NewUnaryHandlerSimple(name, call, options...)))
}

// streaming lets callers call a method that answers with many messages.
func streaming[Req, Res any, In message[Req], Out message[Res]](
	s *Server, mux *http.ServeMux, name string, method func(*caller, context.Context, In, func(Out) error) error,
) {
	p, options := s.procedure(name)
	call := func(ctx context.Context, req *incoming[Req, In], stream *connect.ServerStream[Res]) error {
		c := callerOf(ctx)
		send := func(m Out) error { return c.reply.within(s.limits.Stall, func() error { return stream.Send(m) }) }
		err := c.run(req.err, func() error { return method(c, ctx, &req.message, send) })
		if c != nil {
			expire(c.reply.ResponseWriter, s.limits.Stall) // for what connect writes at the end
		}
		return err
	}
	mux.Handle(name, s.admitted(p, connect.NewServerStreamHandlerSimple(name, call, options...)))
}

// procedure is what the protobuf sources say of a method, and how it is spoken.
func (s *Server) procedure(name string) (procedure, []connect.HandlerOption) {
	method := methodOf(name)
	p := procedure{name: name, connect: true, needs: needsOf(method)}
	options := append(s.speech(), connect.WithSchema(method), connect.WithInterceptors(s.spans...),
		connect.WithReadMaxBytes(s.limits.messageBytes(name)))
	if declared, ok := method.Options().(*descriptorpb.MethodOptions); ok {
		options = append(options, connect.WithIdempotency(connect.IdempotencyLevel(declared.GetIdempotencyLevel())))
	}
	return p, options
}

// methodOf finds the descriptor of a procedure, /service/method. The generated names and descriptors come from the
// same sources.
func methodOf(name string) protoreflect.MethodDescriptor {
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
	method, ok := found.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		panic("server: a procedure is not in the descriptors")
	}
	return method
}

// needsOf is PERMISSION_UNSPECIFIED for a method that names nothing: then nobody may call it.
func needsOf(method protoreflect.MethodDescriptor) lethev1.Permission {
	needs, _ := proto.GetExtension(method.Options(), lethev1.E_Needs).(lethev1.Permission)
	return needs
}

// lockedReader makes a source of randomness safe for concurrent use.
type lockedReader struct {
	mu   sync.Mutex
	from io.Reader
}

func (r *lockedReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from.Read(b)
}
