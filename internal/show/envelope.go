package show

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// DataWidth is how much of an event's data a table shows where no terminal sets the limit.
const DataWidth = 100

// Events lists events: all of the envelope as JSON and csv, what fits a line as table.
type Events struct {
	*List
	out  *Output
	full bool // a column for every part of the envelope
}

// Events begins a list of events.
func (o *Output) Events() *Events {
	if o.Format == CSV {
		return &Events{out: o, full: true, List: o.List("position", "id", "stream", "version", "type", "recorded_at",
			"occurred_at", "relations", "correlation", "causation", "traceparent", "metadata", "data", "pruned",
			"withheld", "names")}
	}
	return &Events{
		out: o, List: o.List("position", "recorded at", "stream", "version", "type", "relations", "data"),
	}
}

// Event adds one.
func (l *Events) Event(e *event.Event) error {
	if !l.full {
		return l.Add(e, number(e.Position), moment(e.RecordedAt.Truncate(time.Second)),
			Entities(e.Stream.String(), e), number(e.Version), e.Type, Entities(relations(e), e),
			Cut(l.out.dataOf(e), DataWidth))
	}
	metadata, err := metadataOf(e)
	if err != nil {
		return err
	}
	return l.Add(e, number(e.Position), e.ID.String(), e.Stream.String(), number(e.Version), e.Type,
		moment(e.RecordedAt), moment(e.OccurredAt), relations(e), e.Correlation, Causation(e), e.Traceparent,
		metadata, rawData(e), strconv.FormatBool(e.Pruned),
		l.out.WithheldOf(e, "; "), NamesOf(e, "; "))
}

// EventFields are all parts of one event that are there.
func (o *Output) EventFields(e *event.Event) ([]Field, error) {
	metadata, err := metadataOf(e)
	if err != nil {
		return nil, err
	}
	all := []Field{
		{"id", e.ID.String()}, {"type", e.Type}, {"stream", Entities(e.Stream.String(), e)},
		{"version", number(e.Version)}, {"position", number(e.Position)},
		{"recorded at", moment(e.RecordedAt)}, {"occurred at", moment(e.OccurredAt)},
		{"relations", strings.ReplaceAll(Entities(relations(e), e), " ", "\n")}, {"correlation", e.Correlation},
		{"causation", Causation(e)}, {"traceparent", e.Traceparent}, {"metadata", metadata},
		{"producer", strings.TrimSpace(e.Producer.Name + " " + e.Producer.Version + " " + e.Producer.Commit)},
		{"collection", e.Collection}, {"data", o.dataOf(e)}, {"withheld", o.WithheldOf(e, "\n")},
		{"names", NamesOf(e, "\n")},
	}
	given := all[:0]
	for _, f := range all {
		if f[1] != "" {
			given = append(given, f)
		}
	}
	return given, nil
}

func number[N ~uint64](n N) string { return strconv.FormatUint(uint64(n), 10) }

// moment is a time as people and programs read it; empty: none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func relations(e *event.Event) string {
	all := make([]string, len(e.Relations))
	for i, r := range e.Relations {
		all[i] = r.String()
	}
	return strings.Join(all, " ")
}

// Causation is what caused an event; empty: nothing is named.
func Causation(e *event.Event) string {
	if e.Causation.IsZero() {
		return ""
	}
	return e.Causation.String()
}

func metadataOf(e *event.Event) (string, error) {
	if len(e.Metadata) == 0 {
		return "", nil
	}
	text, err := Marshal(e.Metadata)
	return strings.TrimSpace(string(text)), err
}

// dataOf is an event's data on one line, for people; of a truncated one it says so.
func (o *Output) dataOf(e *event.Event) string {
	switch {
	case e.Pruned:
		return "(truncated)"
	case e.Format != event.JSON:
		return fmt.Sprintf("(protobuf, %d bytes)", len(e.Data))
	}
	return o.Data(e.Data, "", e)
}

// rawData is an event's data on one line, for programs.
func rawData(e *event.Event) string {
	if e.Format != event.JSON {
		return base64.StdEncoding.EncodeToString(e.Data)
	}
	return Compact(e.Data)
}
