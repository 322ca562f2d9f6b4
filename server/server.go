// Package server opens stores to other programs: one port that speaks gRPC, gRPC-Web, Connect and plain JSON for the
// services of package api, and server-sent events for browsers and curl.
//
//	s, err := server.New([]server.Tenant{{Name: "loans", Store: store, Tokens: engine}}, server.Options{})
//	err = s.Serve(ctx, listener, nil) // until ctx ends; then open calls are finished
//
// The road of a call: limit.go bounds what it may cost, access.go finds the store it names and the token it brings and
// compares the token's scope with what the method needs (the option needs in the protobuf sources; a method that names
// nothing is refused), a method of caller does the work on the store, fault.go turns its error into the caller's
// protocol. No method gets to run without a caller, and there is no caller without admission.
package server

import (
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Tenant is one store that is served. Its tokens open it and no other.
type Tenant struct {
	Name   string // 1 to 64 lower-case letters, digits and -, a letter first
	Store  *lethe.Store
	Tokens storage.Tokens
}

// Options of a server; the zero value works.
type Options struct {
	NoTokens bool                 // every caller may do everything: for calls in process, or from the machine itself only
	Version  string               // of the program, told to callers
	Origins  []string             // whose pages may call from a browser, such as https://console.example.org
	Logger   *slog.Logger         // nil: nothing is logged
	Tracer   trace.TracerProvider // nil: no traces
	Clock    event.Clock          // nil: the machine's
	Rand     io.Reader            // nil: crypto/rand
	Limits   Limits
}

// Limits of what callers may cost. Zero means the default.
type Limits struct {
	MessageBytes   int           // of one message, unpacked; 0: 20 MiB, what the largest append needs
	BufferBytes    int           // of all messages being read and answered at once; 0: 256 MiB
	Calls          int           // unary calls at once; 0: 1,024
	Streams        int           // subscriptions at once; 0: 1,000
	StreamsOfToken int           // of them with one token; 0: 250
	Rate           float64       // calls per second with one token; 0: no limit
	Burst          int           // calls above the rate at once; 0: a second's worth
	Connections    int           // at once; 0: 20,000
	Header         time.Duration // for sending the headers of a call; 0: 10 s
	Body           time.Duration // for sending the rest of it; 0: 30 s
	Stall          time.Duration // a subscriber that takes nothing for so long is cut; 0: 10 s
	Heartbeat      time.Duration // a subscription says at least so often how far it looked; 0: 15 s
	Drain          time.Duration // for finishing open calls at the end; 0: 20 s
}
