package wire

import (
	"math"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Request is the message of an append.
func Request(req *log.Request) *lethev1.AppendRequest {
	m := &lethev1.AppendRequest{Writes: make([]*lethev1.Write, len(req.Writes))}
	for i := range req.Writes {
		w := &req.Writes[i]
		write := &lethev1.Write{Stream: Stream(w.Stream), Events: make([]*lethev1.Draft, len(w.Events))}
		if w.Expected != event.Any {
			version := uint64(w.Expected)
			write.ExpectedVersion = &version
		}
		for j := range w.Events {
			write.Events[j] = Draft(&w.Events[j])
		}
		m.Writes[i] = write
	}
	if c := req.Condition; c != nil {
		m.Condition = &lethev1.Condition{Filter: Filter(c.Filter), After: uint64(c.After)}
	}
	return m
}

// ParseRequest reads an append.
func ParseRequest(m *lethev1.AppendRequest) (req log.Request, err error) {
	req.Writes = make([]log.Write, len(m.GetWrites()))
	for i, write := range m.GetWrites() {
		if req.Writes[i], err = parseWrite(write); err != nil {
			return req, err
		}
	}
	if c := m.GetCondition(); c != nil {
		req.Condition = &event.Condition{After: event.Position(c.GetAfter())}
		req.Condition.Filter, err = ParseFilter(c.GetFilter())
	}
	return req, err
}

func parseWrite(m *lethev1.Write) (w log.Write, err error) {
	if w.Stream, err = event.ParseEntity(m.GetStream()); err != nil {
		return w, err
	}
	w.Expected = event.Any
	if v := m.ExpectedVersion; v != nil {
		if *v > math.MaxInt64 {
			return w, event.Invalid("malformed_version", "append to a stream of kind %s: version %d is beyond every stream",
				w.Stream.Kind, *v)
		}
		w.Expected = event.At(event.Version(*v))
	}
	w.Events = make([]event.Draft, len(m.GetEvents()))
	for i, d := range m.GetEvents() {
		if w.Events[i], err = ParseDraft(d); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Result is the message of what an append came to.
func Result(r log.Result) *lethev1.AppendResponse {
	m := &lethev1.AppendResponse{Events: make([]*lethev1.Placed, len(r.Events)), Repeated: r.Repeated}
	for i, p := range r.Events {
		m.Events[i] = &lethev1.Placed{
			Id: p.ID.String(), Stream: p.Stream.String(), Position: uint64(p.Position), Version: uint64(p.Version),
		}
	}
	return m
}

// ParseResult reads what an append came to.
func ParseResult(m *lethev1.AppendResponse) (r log.Result, err error) {
	r = log.Result{Events: make([]log.Placed, len(m.GetEvents())), Repeated: m.GetRepeated()}
	for i, p := range m.GetEvents() {
		placed := log.Placed{Position: event.Position(p.GetPosition()), Version: event.Version(p.GetVersion())}
		if placed.ID, err = event.ParseID(p.GetId()); err != nil {
			return r, err
		}
		if placed.Stream, err = event.ParseEntity(p.GetStream()); err != nil {
			return r, err
		}
		r.Events[i] = placed
	}
	return r, nil
}

// Outcome is the message of an outcome; its error is shown as fault makes it.
func Outcome(o log.Outcome, fault func(error) *lethev1.Error) *lethev1.Outcome {
	if o.Err != nil {
		return &lethev1.Outcome{Kind: &lethev1.Outcome_Error{Error: fault(o.Err)}}
	}
	return &lethev1.Outcome{Kind: &lethev1.Outcome_Result{Result: Result(o.Result)}}
}

// ParseOutcome reads an outcome.
func ParseOutcome(m *lethev1.Outcome) (o log.Outcome) {
	switch kind := m.GetKind().(type) {
	case *lethev1.Outcome_Result:
		o.Result, o.Err = ParseResult(kind.Result)
	case *lethev1.Outcome_Error:
		o.Err = ParseError(kind.Error)
	default:
		o.Err = event.Errorf(event.ErrUnknown, "append: the server's answer has no outcome").
			Hint("retry with the same event ids")
	}
	return o
}
