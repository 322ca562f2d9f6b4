package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/log"
)

// appendFlags are the flags of event append.
type appendFlags struct {
	stream, typ, id, data, dataFile string
	expect, correlation, causation  string
	occurred, traceparent, actor    string
	file                            string
	relations, metadata, ifNone     []string
	collection                      string
	ref                             phrase.Referred
	after                           uint64
	atomic                          bool
}

func (a *app) eventAppendCommand() *cobra.Command {
	var f appendFlags
	cmd := &cobra.Command{
		Use: "append", Short: "Append an event, or a file of events", Args: want(),
		Long: `Appends one event and says where it came to lie: its id, its position in the log and its
version in its stream. When the command ends with exit code 0 the event is durable.

Data is one JSON object. What the schema of its type declares personal is sealed (lethe schema),
and the answer says what and under which group; what nobody declared stays readable for ever. So
do ids, but those of persons, which become aliases. An id that identifies directly, such as an
e-mail address, does not belong on a command line: customer/- stands for that of a person, and
--ref-file FILE gives it, - from standard input; --file may hold it.

--expect N appends only if the stream is at version N, none only if it has no events.
--if-none appends only if no event that matches exists after position --after (0: at all);
its words are type=, kind=, stream=, relation=[role=], metadata=key=, correlation=,
causation=, which must all hold; given more than once, no alternative may match.
A refused append ends with exit code 4 and changes nothing. Give --id to make a retry
safe: the same append under the same id is there once.

--file reads JSON Lines, one event a line:

  {"stream": "application/1", "expect": 0, "type": "Registered", "data": {"amount": 20000}}

Fields: stream, type, expect ("any", "none" or a version), id, data, relations (a list of
{"role", "kind", "id"}), metadata, correlation, causation, occurred_at, traceparent,
producer, collection, schema, data_base64 (protobuf). Others are refused. Each line is an
append of its own, in order, up to the first that is refused; --atomic makes one append of all.
A file is checked to its end before anything is appended, a pipe only with --atomic.`,
		Example: `  lethe event append --stream application/1 --type ApplicationRegistered --data '{"amount": 20000}'
  lethe event append --stream application/1 --type Approved --expect 1 --relation issuer=employee/112
  lethe event append --stream seat/12A --type SeatTaken --if-none 'type=SeatTaken relation=flight/LH1' \
      --relation on=flight/LH1
  lethe event append --file events.jsonl --atomic`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.append(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.stream, "stream", "", "the stream, `kind/id`")
	flags.StringVar(&f.typ, "type", "", "the event's type")
	flags.StringVar(&f.id, "id", "", "the event's id, a `UUID`; without it a new one is made")
	flags.StringVar(&f.data, "data", "", "the event's data, a `JSON` object")
	flags.StringVar(&f.dataFile, "data-file", "", "read the data from this `file`; -: standard input")
	flags.StringVar(&f.expect, "expect", "any", "the stream's version before: any, none or a `version`")
	flags.StringArrayVar(&f.relations, "relation", nil, "an entity it relates to, `role=kind/id`; may be repeated")
	flags.StringArrayVar(&f.metadata, "metadata", nil, "`key=value`; may be repeated")
	flags.StringVar(&f.correlation, "correlation", "", "the operation it belongs to")
	flags.StringVar(&f.causation, "causation", "", "the event or command that caused it, a `UUID`")
	flags.StringVar(&f.occurred, "occurred-at", "", "when it happened, an RFC 3339 `time`")
	flags.StringVar(&f.traceparent, "traceparent", "", "W3C trace context")
	flags.StringVar(&f.collection, "collection", "", "`name` of the context in which its personal data was collected")
	f.ref.Register(flags)
	flags.StringVar(&f.actor, "as", "", "who acts, `kind/id`: becomes the relation issuer")
	flags.StringArrayVar(&f.ifNone, "if-none", nil, "append only if no event matches this `filter`; may be repeated")
	flags.Uint64Var(&f.after, "after", 0, "with --if-none: look only after this position")
	flags.StringVar(&f.file, "file", "", "append the events of this `file` of JSON Lines; -: standard input")
	flags.BoolVar(&f.atomic, "atomic", false, "with --file: all lines as one append")
	return cmd
}

func (a *app) append(cmd *cobra.Command, f *appendFlags) error {
	for _, alone := range []string{"stream", "type", "id", "data", "data-file", "expect", "relation", "metadata",
		"correlation", "causation", "occurred-at", "traceparent", "collection", "ref-file"} {
		if err := atMostOne(cmd.Flags(), "file", alone); err != nil {
			return err
		}
	}
	if f.atomic && f.file == "" {
		return event.Invalid("usage", "--atomic goes with --file only").Hint("see: lethe event append --help")
	}
	if f.ref.File == "-" && f.dataFile == "-" {
		return event.Invalid("usage", "--ref-file and --data-file cannot both be standard input").Hint("put one into a file")
	}
	if err := a.refer(&f.ref); err != nil {
		return err
	}
	condition, err := f.condition(cmd)
	if err != nil {
		return err
	}
	actor := event.Actor{}
	if f.actor != "" {
		if actor, err = phrase.ParseActor(f.actor); err != nil {
			return err
		}
	}
	if f.file != "" {
		return a.appendFile(cmd.Context(), f, actor, condition)
	}
	if err := atMostOne(cmd.Flags(), "data", "data-file"); err != nil {
		return err
	}
	write, err := a.write(f)
	if err != nil {
		return err
	}
	return a.with(cmd.Context(), opening.Creating, func(s *opened) error {
		req := log.Request{Writes: []log.Write{write}, Condition: condition}
		res, err := s.As(actor).AppendAll(cmd.Context(), req)
		if err != nil {
			return err
		}
		places := placed(res)
		a.describeSealed(cmd.Context(), s, places)
		return a.out.Single(places[0], places[0].fields()...)
	})
}

func (f *appendFlags) condition(cmd *cobra.Command) (*event.Condition, error) {
	if len(f.ifNone) == 0 {
		if cmd.Flags().Changed("after") {
			return nil, event.Invalid("usage", "--after goes with --if-none only").Hint("see: lethe event append --help")
		}
		return nil, nil
	}
	c := &event.Condition{After: event.Position(f.after)}
	for _, text := range f.ifNone {
		filter, err := f.ref.Match(text)
		if err != nil {
			return nil, err
		}
		c.Filter = append(c.Filter, filter...)
	}
	return c, nil
}

// write makes the one write of the command line, and checks it before a store is opened or made.
func (a *app) write(f *appendFlags) (w log.Write, err error) {
	if f.stream == "" || f.typ == "" {
		return w, event.Invalid("usage", "event append: --stream and --type are needed, or --file").
			Hint("see: lethe event append --help")
	}
	if w.Stream, err = f.ref.Stream(f.stream); err != nil {
		return w, err
	}
	if w.Expected, err = phrase.ParseExpected(f.expect); err != nil {
		return w, err
	}
	d := event.Draft{Type: f.typ, Correlation: f.correlation, Traceparent: f.traceparent, Collection: f.collection,
		Data: json.RawMessage(f.data)}
	if f.dataFile != "" {
		if d.Data, err = a.readData(f.dataFile); err != nil {
			return w, err
		}
	}
	if f.id != "" {
		if d.ID, err = event.ParseID(f.id); err != nil {
			return w, err
		}
	}
	if f.causation != "" {
		if d.Causation, err = event.ParseID(f.causation); err != nil {
			return w, err
		}
	}
	if f.occurred != "" {
		if d.OccurredAt, err = time.Parse(time.RFC3339Nano, f.occurred); err != nil {
			return w, event.Invalid("malformed_time", "parse --occurred-at: want an RFC 3339 time, such as 2026-01-31T08:00:00Z")
		}
	}
	if d.Metadata, err = phrase.ParsePairs("metadata", f.metadata); err != nil {
		return w, err
	}
	if err := d.Validate(); err != nil {
		return w, err
	}
	for _, text := range f.relations { // checked as they are read: one may be a reference that becomes an alias
		r, err := f.ref.Relation(text)
		if err != nil {
			return w, err
		}
		d.Relations = append(d.Relations, r)
	}
	w.Events = []event.Draft{d}
	return w, f.ref.Left()
}

// readData reads the data of one event and no more than one may have.
func (a *app) readData(name string) ([]byte, error) {
	in, err := a.office().Input(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, event.MaxDataBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	return data, nil
}

// place is where an event came to lie.
type place struct {
	ID       event.ID       `json:"id"`
	Stream   string         `json:"stream"`
	Position event.Position `json:"position"`
	Version  event.Version  `json:"version"`
	Repeated bool           `json:"repeated"` // it was in the log before, from the same append
	Sealed   []show.Sealed  `json:"sealed,omitempty"`
	Persons  []string       `json:"persons,omitempty"` // kind/alias of those it speaks of
}

func placed(res log.Result) []place {
	places := make([]place, len(res.Events))
	for i, p := range res.Events {
		places[i] = place{ID: p.ID, Stream: p.Stream.String(), Position: p.Position, Version: p.Version,
			Repeated: res.Repeated}
	}
	return places
}

func (p place) fields() []show.Field {
	fields := []show.Field{{"id", p.ID.String()}, {"stream", p.Stream}, {"position", number(p.Position)},
		{"version", number(p.Version)}}
	if p.Repeated {
		fields = append(fields, show.Field{"repeated", "it was in the log already"})
	}
	return append(fields, show.SealedFields(p.Sealed, p.Persons)...)
}

// appendFile appends the lines of a file.
func (a *app) appendFile(ctx context.Context, f *appendFlags, actor event.Actor, condition *event.Condition) error {
	info, err := os.Stat(f.file)
	if again := err == nil && info.Mode().IsRegular(); again || f.atomic {
		all, err := a.checkFile(f)
		if err != nil {
			return err
		}
		if f.atomic {
			all.Condition = condition
			return a.with(ctx, opening.Creating, func(s *opened) error {
				list := a.places(s, actor)
				return list.End(list.append(ctx, all))
			})
		}
	}
	in, err := a.office().Input(f.file)
	if err != nil {
		return err
	}
	defer in.Close()
	next, stop := iter.Pull2(phrase.Lines(in))
	defer stop()
	first, err, ok := next()
	if err != nil || !ok {
		return err // before a store is made
	}
	return a.with(ctx, opening.Creating, func(s *opened) error {
		list := a.places(s, actor)
		for line := first; ok && err == nil; line, err, ok = next() {
			req := log.Request{Writes: []log.Write{line.Write}, Condition: condition}
			if err = list.append(ctx, req); err != nil {
				err = fmt.Errorf("line %d: %w", line.Number, err)
				break
			}
		}
		if err != nil {
			a.out.Say("events appended before it: %d", list.Items())
		}
		return list.End(err)
	})
}

// placeList appends requests, and lists where their events came to lie and what was sealed in them.
type placeList struct {
	*show.List
	app     *app
	store   *opened
	session *lethe.Session
	sealed  show.Tally
}

func (a *app) places(s *opened, actor event.Actor) *placeList {
	list := a.out.List("id", "stream", "position", "version", "sealed")
	return &placeList{list, a, s, s.As(actor), show.Tally{}}
}

func (l *placeList) append(ctx context.Context, req log.Request) error {
	res, err := l.session.AppendAll(ctx, req)
	if err != nil {
		return err
	}
	places := placed(res)
	l.app.describeSealed(ctx, l.store, places)
	for _, p := range places {
		tally := show.Tally{}
		tally.Add(p.Sealed)
		if !p.Repeated {
			l.sealed.Add(p.Sealed)
		}
		if err := l.Add(p, p.ID.String(), p.Stream, number(p.Position), number(p.Version), tally.String()); err != nil {
			return err
		}
	}
	return l.Flush()
}

// End ends the list, and says what was sealed in all.
func (l *placeList) End(err error) error {
	err = l.List.End(err)
	if len(l.sealed) > 0 {
		l.app.out.Say("events: %d; values sealed: %s", l.Items(), l.sealed)
	}
	return err
}

// checkFile reads a file to its end without appending; what it gives is the request of --atomic.
func (a *app) checkFile(f *appendFlags) (log.Request, error) {
	in, err := a.office().Input(f.file)
	if err != nil {
		return log.Request{}, err
	}
	defer in.Close()
	var all log.Request
	count := 0
	for line, err := range phrase.Lines(in) {
		if count++; err == nil && f.atomic {
			err = line.Join(&all, count)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}
