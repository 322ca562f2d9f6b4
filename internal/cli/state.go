package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/storage"
)

// property is a value of a stream's data, and the event that set it.
type property struct {
	Value   json.RawMessage `json:"value"`
	Version event.Version   `json:"version"`
	Type    string          `json:"type"`
	Event   event.ID        `json:"event"`

	Withheld []withheld `json:"withheld,omitempty"` // of the value, or in it
	shown    string     // for people
}

// withheld is a personal value that is not shown, and why.
type withheld struct {
	Path    string            `json:"path"`
	Group   string            `json:"group"`
	Reason  event.Withholding `json:"reason"`
	Receipt string            `json:"receipt,omitempty"`
}

// snapshot is a stream as of some version: of each top-level property of its events' data the last value.
type snapshot struct {
	Stream     string              `json:"stream"`
	Version    event.Version       `json:"version"`
	Position   event.Position      `json:"position"`
	RecordedAt *time.Time          `json:"recorded_at,omitempty"`
	Truncated  int                 `json:"truncated,omitempty"` // events whose data is gone
	Properties map[string]property `json:"properties"`

	app *app
}

func (a *app) snapshot(stream event.StreamID) *snapshot {
	return &snapshot{app: a, Stream: stream.String(), Properties: make(map[string]property)}
}

// apply is one step of the fold.
func (s *snapshot) apply(e *event.Event) error {
	s.Version, s.Position, s.RecordedAt = e.Version, e.Position, &e.RecordedAt
	if e.Pruned {
		s.Truncated++
		return nil
	}
	if e.Format != event.JSON {
		return event.Errorf(event.ErrUnsupported, "read %s as it was: the data of version %d is not JSON",
			s.Stream, e.Version).Hint("look at its events: lethe stream show %s", s.Stream)
	}
	return event.Properties(e.Data, func(name string, value []byte) {
		value = slices.Clone(value)
		path := below("", name)
		p := property{Value: value, Version: e.Version, Type: e.Type, Event: e.ID, shown: s.app.out.Data(value, path, e)}
		for _, w := range e.Withheld {
			if w.Path == path || strings.HasPrefix(w.Path, path+"/") {
				p.Withheld = append(p.Withheld, withheld(w))
			}
		}
		s.Properties[name] = p
	})
}

func (s *snapshot) names() []string { return slices.Sorted(maps.Keys(s.Properties)) }

// replay folds the events of a stream as long as they are meant.
func (a *app) replay(ctx context.Context, s *opened, stream event.StreamID,
	visit func(*event.Event) (bool, error),
) error {
	for e, err := range a.reader(s).Read(ctx, stream, lethe.Range{Pruned: true}) {
		if err != nil {
			return err
		}
		a.seen(&e)
		if more, err := visit(&e); err != nil || !more {
			return err
		}
	}
	return nil
}

func (a *app) streamAtCommand() *cobra.Command {
	var version, position uint64
	var at string
	var ref phrase.Referred
	cmd := &cobra.Command{
		Use: "at STREAM", Short: "Show a stream as it was", Args: want("STREAM"),
		Long: `Shows a stream as of a version, a position of the log or a time, or as it is now: its version
then, and its state by the simplest rule: of each top-level property of its events' data the
last value, with the event that set it. A property set to null is null, not gone. Events that
were truncated since no longer take part; a note says how many.`,
		Example: "  lethe stream at application/1 --version 2\n" +
			"  lethe stream at application/1 --time 2026-01-31T12:00:00Z -o json\n" +
			"  lethe stream at application/1 --position 1044",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := atMostOne(cmd.Flags(), "version", "position", "time"); err != nil {
				return err
			}
			stream, err := a.stream(&ref, args[0])
			if err != nil {
				return err
			}
			until, err := phrase.ParseTime(a.Clock.Now(), "time", at)
			if err != nil {
				return err
			}
			meant := func(e *event.Event) bool {
				return (!cmd.Flags().Changed("version") || e.Version <= event.Version(version)) &&
					(!cmd.Flags().Changed("position") || e.Position <= event.Position(position)) &&
					(until.IsZero() || !e.RecordedAt.After(until))
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				state, err := s.state(cmd.Context(), stream)
				if err == nil {
					err = within(state, event.Version(version))
				}
				if err != nil {
					return err
				}
				return a.showAt(cmd.Context(), s, state.Stream, meant)
			})
		},
	}
	ref.Register(cmd.Flags())
	a.mayOpen(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "as of this version")
	cmd.Flags().Uint64Var(&position, "position", 0, "as of this position of the log")
	cmd.Flags().StringVar(&at, "time", "", "as of this `time`: RFC 3339, a date, or how long ago (24h)")
	return cmd
}

// within refuses a version that the stream does not have yet.
func within(s storage.StreamState, v event.Version) error {
	if v > s.Version {
		return event.Invalid("malformed_version", "read %s: version %d is beyond its end at %d", s.Stream, v, s.Version)
	}
	return nil
}

func (a *app) showAt(ctx context.Context, s *opened, stream event.StreamID, meant func(*event.Event) bool) error {
	snap := a.snapshot(stream)
	err := a.replay(ctx, s, stream, func(e *event.Event) (bool, error) {
		if !meant(e) {
			return false, nil
		}
		return true, snap.apply(e)
	})
	if err != nil {
		return err
	}
	if snap.Truncated > 0 {
		a.out.Say("note: truncated events: %d; what they said no longer takes part", snap.Truncated)
	}
	if a.settings.Output == show.JSON {
		return a.out.Single(snap)
	}
	if a.settings.Output == show.Table {
		if snap.Version == 0 {
			a.out.Say("%s had no events yet", stream)
			return nil
		}
		a.out.Say("%s at version %d, position %d, recorded at %s", stream, snap.Version,
			snap.Position, snap.RecordedAt.UTC().Format(time.RFC3339Nano))
	}
	list := a.out.List("property", "value", "version", "type", "event")
	for _, name := range snap.names() {
		p := snap.Properties[name]
		line := struct {
			Property string `json:"property"`
			property
		}{name, p}
		if err := list.Add(line, name, a.cell(p), number(p.Version), p.Type, p.Event.String()); err != nil {
			return err
		}
	}
	return list.Close()
}

// cell is a value in a table or csv.
func (a *app) cell(p property) string {
	if a.settings.Output == show.Table {
		return show.Cut(p.shown, show.DataWidth)
	}
	return show.Compact(p.Value)
}

// change is a property that differs between two versions; nil: it was not there.
type change struct {
	Property string          `json:"property"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`

	before, after property
}

func (a *app) streamDiffCommand() *cobra.Command {
	var ref phrase.Referred
	cmd := &cobra.Command{
		Use: "diff STREAM V1 V2", Short: "Show what changed between two versions of a stream",
		Args: want("STREAM", "V1", "V2"),
		Long: `Shows the events after version V1 up to V2, and the top-level properties of the data that
differ between the two, by the rule of stream at. Version 0 is before the first event. Values that
are withheld are not compared; it says how many.

With -o json it is one object; csv and jsonl hold the changed properties only.`,
		Example: "  lethe stream diff application/1 2 5\n  lethe stream diff application/1 0 1 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, err := a.stream(&ref, args[0])
			if err != nil {
				return err
			}
			from, err := phrase.ParseVersion(args[1])
			if err != nil {
				return err
			}
			to, err := phrase.ParseVersion(args[2])
			if err != nil {
				return err
			}
			if from > to {
				return event.Invalid("malformed_version", "compare versions: %d is after %d", from, to).
					Hint("give the older one first")
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				state, err := s.state(cmd.Context(), stream)
				if err == nil {
					err = within(state, to)
				}
				if err != nil {
					return err
				}
				return a.showDiff(cmd.Context(), s, state.Stream, from, to)
			})
		},
	}
	ref.Register(cmd.Flags())
	a.mayOpen(cmd)
	return cmd
}

func (a *app) showDiff(ctx context.Context, s *opened, stream event.StreamID, from, to event.Version) error {
	before, after := a.snapshot(stream), a.snapshot(stream)
	events := []event.Event{}
	err := a.replay(ctx, s, stream, func(e *event.Event) (bool, error) {
		if e.Version > to {
			return false, nil
		}
		if e.Version > from {
			events = append(events, *e)
		} else if err := before.apply(e); err != nil {
			return false, err
		}
		return true, after.apply(e)
	})
	if err != nil {
		return err
	}
	changed, hidden := compare(before, after)
	if after.Truncated > 0 {
		a.out.Say("note: truncated events: %d; what they said no longer takes part", after.Truncated)
	}
	if a.settings.Output == show.JSON {
		return a.out.Single(struct {
			Stream  string        `json:"stream"`
			From    event.Version `json:"from"`
			To      event.Version `json:"to"`
			Events  []event.Event `json:"events"`
			Changed []change      `json:"changed"`
			Hidden  int           `json:"not_compared"` // values that are withheld
		}{stream.String(), from, to, events, changed, hidden})
	}
	if a.settings.Output == show.Table {
		list := a.events()
		for i := range events {
			if err := list.event(&events[i]); err != nil {
				return err
			}
		}
		if err := list.Close(); err != nil {
			return err
		}
		fmt.Fprintf(a.Stdout, "\nproperties changed: %d\n", len(changed))
	}
	switch note := fmt.Sprintf("values withheld, and so not compared: %d; --purpose opens them", hidden); {
	case hidden == 0:
	case a.settings.Output == show.Table:
		fmt.Fprintln(a.Stdout, note)
	default:
		a.out.Say("note: %s", note)
	}
	list := a.out.List("property", "before", "after")
	for _, c := range changed {
		if err := list.Add(c, c.Property, a.cell(c.before), a.cell(c.after)); err != nil {
			return err
		}
	}
	return list.Close()
}

// compare lists the properties whose values differ, by name, and counts the values that cannot be told to differ, since
// they are withheld before or after.
func compare(before, after *snapshot) (changed []change, hidden int) {
	changed = []change{}
	for _, name := range after.names() { // a property never goes away
		old, now := before.Properties[name], after.Properties[name]
		if old.Version == now.Version { // nobody set it in between
			continue
		}
		places := make(map[string]bool)
		for _, w := range slices.Concat(old.Withheld, now.Withheld) {
			places[w.Path] = true
		}
		if old.Value == nil {
			places = nil // that it is new is seen
		}
		hidden += len(places)
		if old.Value == nil || masked(old.Value, name, places) != masked(now.Value, name, places) {
			changed = append(changed, change{name, old.Value, now.Value, old, now})
		}
	}
	return changed, hidden
}

// masked is the value of a property on one line, without what lies at places.
func masked(value json.RawMessage, name string, places map[string]bool) string {
	var v any
	in := json.NewDecoder(bytes.NewReader(value))
	in.UseNumber()
	if len(places) == 0 || in.Decode(&v) != nil {
		return show.Compact(value)
	}
	text, _ := json.Marshal(mask(v, below("", name), places))
	return string(text)
}

func mask(v any, path string, places map[string]bool) any {
	if places[path] {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = mask(v[name], below(path, name), places)
		}
	case []any:
		for i := range v {
			v[i] = mask(v[i], below(path, fmt.Sprint(i)), places)
		}
	}
	return v
}

// below is the JSON pointer of a member.
func below(path, name string) string {
	return path + "/" + event.EscapePointer(name)
}
