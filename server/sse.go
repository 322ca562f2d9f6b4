package server

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// eventsPath is the subscription for browsers and curl.
//
//	GET /v1/events?kind=application&type=ApplicationRegistered&after=CURSOR
//	Lethe-Store: loans
//	Authorization: Bearer lethe_…
//
// Parameters are those of one alternative of a filter: type, kind, relation as [role=]kind/id and metadata as
// key=value, each as often as wanted; stream, correlation and causation once. after is a cursor, over which header
// Last-Event-ID goes, as browsers send it when they connect again. limit ends the answer after so many events,
// follow=false where it has caught up; present=true gives events in the present form of their types. Header Accept:
// application/jsonl asks for lines of JSON instead of server-sent events.
//
//	POST /v1/events?follow=false
//	{"filter": [{"kinds": ["application"]}], "after": "CURSOR", "opening": {"purpose": "support", "reason": "ticket 7"}}
//
// What opens personal data, or refers to a person, comes in the body of a POST: the message of LogService.Subscribe as
// JSON, but for its limit. Parameters are then limit and follow alone.
const eventsPath = "/v1/events"

// pushFrom is how many bytes are gathered before they are sent.
const pushFrom = 32 << 10

// feed is one answer of eventsPath.
type feed struct {
	*caller
	subscription
	face    face
	left    int // events until it ends; not above 0: it does not
	out     bytes.Buffer
	started bool
}

// face is how a feed is written down.
type face interface {
	contentType() string
	opening() string
	write(out *bytes.Buffer, kind, cursor string, data []byte)
}

func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	if c == nil {
		s.refuse(w, r, event.Errorf(event.ErrDenied, "call: it was not admitted"))
		return
	}
	err := guarded(func() error {
		f := &feed{caller: c, face: faceOf(r.Header.Get("Accept"))}
		if err := f.receive(w, r); err != nil {
			return err
		}
		f.send = f.batch
		err := c.follow(r.Context(), &f.subscription)
		if err == nil || !f.started {
			return err
		}
		m := s.tell(c.procedure.name, err)
		c.code = m.Code
		if text, err := (jsonCodec{}).Marshal(m); err == nil {
			f.face.write(&f.out, "error", "", text)
			_ = f.push() // it fails when the caller is gone
		}
		return nil
	})
	if err != nil {
		if event.Code(err) == codeUsePost {
			c.reply.useOther(http.MethodPost)
		}
		c.code = s.refuse(w, r, err)
	}
}

// receive takes in what is asked for.
func (f *feed) receive(w http.ResponseWriter, r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return event.Invalid("malformed_query", "read events: the query of the address is malformed")
	}
	if r.Method == http.MethodPost {
		err = f.parseBody(w, r, values)
	} else if err = f.parse(values); err == nil {
		err = f.inAddress(r.Context(), &lethev1.SubscribeRequest{Filter: wire.Filter(f.filter)})
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" && err == nil {
		f.after, err = event.ParseCursor(last)
	}
	return err
}

// parseBody reads the message of a subscription, and of the address what it has no words for.
func (f *feed) parseBody(w http.ResponseWriter, r *http.Request, values url.Values) error {
	form, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || form != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return event.Errorf(event.ErrUnsupported, "read events: the body is not application/json, or it is compressed")
	}
	for name, list := range values {
		if name != "limit" && name != "follow" || len(list) > 1 {
			return event.Invalid("unknown_field", "read events: with a body, parameters are limit and follow=false, once each").
				Hint("put the rest into the body")
		}
		if _, err := f.parameter(name, list[0], new(event.Match)); err != nil {
			return err
		}
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return refusalOf(w, r, err)
	}
	m := &lethev1.SubscribeRequest{}
	if err := parseJSON(text, m); err != nil {
		return err
	}
	if m.GetLimit() != 0 {
		return event.Invalid("malformed_limit", "read events: limit is a parameter of the address")
	}
	return f.ask(f.caller, m)
}

// parse reads what is asked for. What is not known is refused: a filter that was mistyped would mean every event.
func (f *feed) parse(values url.Values) error {
	var m event.Match
	for name, list := range values {
		repeatable := slices.Contains([]string{"type", "kind", "relation", "metadata"}, name)
		if len(list) > 1 && !repeatable {
			return event.Invalid("malformed_query", "read events: parameter %s is given twice", name)
		}
		for _, value := range list {
			known, err := f.parameter(name, value, &m)
			if err != nil {
				return err
			}
			if !known && !f.match(name, value, &m) {
				return event.Invalid("unknown_field", "read events: unknown or malformed parameter").Hint("known are type, kind, " +
					"stream, relation=[role=]kind/id, correlation, causation, metadata=key=value, after, limit, present=true, " +
					"follow=false")
			}
		}
	}
	if f.filter = (event.Filter{m}); !narrows(&m) {
		f.filter = nil
	}
	return nil
}

// narrows tells whether anything is asked for: a filter of one empty alternative means every event as well, but costs
// the engine a comparison.
func narrows(m *event.Match) bool {
	return len(m.Types) > 0 || len(m.Kinds) > 0 || !m.Stream.IsZero() || m.NeedsBody()
}

// match reads a parameter that is a part of a filter and can be taken as it is.
func (f *feed) match(name, value string, m *event.Match) bool {
	switch name {
	case "type":
		m.Types = append(m.Types, value)
	case "kind":
		m.Kinds = append(m.Kinds, value)
	case "correlation":
		m.Correlation = value
	case "relation":
		role, entity, ok := strings.Cut(value, "=")
		if !ok || strings.Contains(role, "/") {
			role, entity = "", value
		}
		kind, id, ok := strings.Cut(entity, "/")
		m.Relations = append(m.Relations, event.Relation{Role: role, Kind: kind, ID: id})
		return ok
	case "metadata":
		key, text, ok := strings.Cut(value, "=")
		if m.Metadata == nil {
			m.Metadata = make(map[string]string)
		}
		if _, twice := m.Metadata[key]; twice {
			return false
		}
		m.Metadata[key] = text
		return ok
	default:
		return false
	}
	return true
}

// parameter reads a parameter that has a form of its own.
func (f *feed) parameter(name, value string, m *event.Match) (known bool, err error) {
	switch name {
	case "stream":
		m.Stream, err = event.ParseEntity(value)
	case "causation":
		m.Causation, err = event.ParseID(value)
	case "after":
		f.after, err = event.ParseCursor(value)
	case "limit":
		if f.left, err = strconv.Atoi(value); err != nil || f.left < 1 {
			err = event.Invalid("malformed_limit", "read events: the limit is not a number above 0")
		}
	case "present":
		if f.reads.Present, err = strconv.ParseBool(value); err != nil {
			err = event.Invalid("malformed_query", "read events: present is neither true nor false")
		}
	case "follow":
		f.once = value == "false"
		if !f.once && value != "true" {
			err = event.Invalid("malformed_query", "read events: follow is true or false")
		}
	default:
		return false, nil
	}
	return true, err
}

// batch writes a batch of the subscription, and how far it is where the events do not say it.
func (f *feed) batch(b lethe.Batch) error {
	if !f.started {
		f.begin()
	}
	for i := range b.Events {
		if err := f.over(); err != nil {
			return err
		}
		text, err := json.Marshal(&b.Events[i])
		if err != nil {
			return err
		}
		f.face.write(&f.out, "event", f.Store.Cursor(b.Events[i].Position).String(), text)
		if f.left--; f.left == 0 {
			f.done = true
			return f.push()
		}
		if f.out.Len() >= pushFrom {
			if err := f.push(); err != nil {
				return err
			}
		}
	}
	if len(b.Events) == 0 || b.Live && !f.caughtUp {
		cursor := b.Cursor.String()
		f.face.write(&f.out, "cursor", cursor, cursorJSON(cursor, b.Live))
	}
	return f.push()
}

func cursorJSON(cursor string, live bool) []byte {
	text := `{"cursor":"` + cursor + `"`
	if live {
		text += `,"live":true`
	}
	return []byte(text + "}")
}

func (f *feed) begin() {
	f.started = true
	h := f.reply.Header()
	h.Set("Content-Type", f.face.contentType())
	h.Set("X-Accel-Buffering", "no") // a proxy that gathers would hold events back
	f.reply.WriteHeader(http.StatusOK)
	f.out.WriteString(f.face.opening())
}

// push sends what was gathered.
func (f *feed) push() error {
	defer f.out.Reset()
	return f.reply.within(f.caller.server.limits.Stall, func() error {
		if _, err := f.reply.Write(f.out.Bytes()); err != nil {
			return err
		}
		return http.NewResponseController(f.reply.ResponseWriter).Flush()
	})
}

func faceOf(accept string) face {
	if strings.Contains(accept, "application/jsonl") {
		return lines{}
	}
	return sentEvents{}
}

// sentEvents is the form of server-sent events (HTML Living Standard, 9.2). The id of each is the cursor behind it.
// Where there are no events for a while, a comment keeps proxies from closing the connection, and an event cursor
// moves the place from which browsers resume.
type sentEvents struct{}

func (sentEvents) contentType() string { return "text/event-stream" }

func (sentEvents) opening() string { return "retry: 2000\n\n" }

func (sentEvents) write(out *bytes.Buffer, kind, cursor string, data []byte) {
	if kind == "cursor" {
		out.WriteString(":\n")
	}
	if cursor != "" {
		out.WriteString("id: " + cursor + "\n")
	}
	out.WriteString("event: " + kind + "\ndata: ")
	out.Write(data)
	out.WriteString("\n\n")
}

// lines is one JSON object per line: {"cursor": …, "event": …}, {"cursor": …} alone for how far it is, and at last
// maybe {"error": …}.
type lines struct{}

func (lines) contentType() string { return "application/jsonl" }

func (lines) opening() string { return "" }

func (lines) write(out *bytes.Buffer, kind, cursor string, data []byte) {
	switch kind {
	case "event":
		out.WriteString(`{"cursor":"` + cursor + `","event":`)
		out.Write(data)
		out.WriteString("}\n")
	case "error":
		out.WriteString(`{"error":`)
		out.Write(data)
		out.WriteString("}\n")
	default:
		out.Write(data)
		out.WriteByte('\n')
	}
}
