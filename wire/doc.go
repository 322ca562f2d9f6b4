// Package wire turns the words of Lethe into messages of package api, and back: server and client speak through it, so
// that what one says is what the other hears.
//
//	m := wire.Request(&req)            // *lethev1.AppendRequest
//	req, err := wire.ParseRequest(m)   // log.Request
//
// A function named after a word makes its message; Parse… reads one that came over the network, and refuses with
// event.ErrInvalid what is not a word: the checks of content (event.Draft.Validate, event.Filter.Validate) stay where
// they are, at the log. Errors travel whole: what Error makes of an error, ParseError makes an error of again, for
// which errors.Is, errors.As and event.Code give the same answers. docs/format/wire.md lists headers and limits.
package wire

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// HeaderStore names the store a call is for. A server with one store does not need it.
const HeaderStore = "Lethe-Store"

// StoreName tells whether a store may have this name at a server: 1 to 64 lower-case letters, digits and -, a letter
// first.
func StoreName(name string) bool {
	const letters, more = "abcdefghijklmnopqrstuvwxyz", "0123456789-"
	return name != "" && len(name) <= 64 && strings.Contains(letters, name[:1]) && strings.Trim(name, letters+more) == ""
}

// Limits of pages and messages. A message holds as many events as fit into its bytes, one at least.
const (
	PageEvents = 256     // of a page for which no limit is given
	MaxEvents  = 1024    // in a page or a message of a subscription
	PageBytes  = 3 << 20 // gRPC clients refuse messages of 4 MiB unless told otherwise
	MaxAppends = 10_000  // in one AppendEach
)

// Timestamp is the message of a time; the zero time is unset.
func Timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Time is the time of a timestamp; unset is the zero time.
func Time(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
