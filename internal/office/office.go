// Package office holds the commands about what may be held of persons, why and by whom: schemas, purposes, consents,
// persons, their keys, and tokens. One file is one noun.
//
//	o := &office.Office{Out: &out, Stdin: stdin, Clock: clock, Open: open, …}
//	root.AddCommand(o.Commands()...)
//
// A command reads what it was given, calls the services of the store, which are a server's or run in this process, and
// shows the answer. It opens no personal data but references, and only for a purpose. A reference that identifies
// somebody directly, such as an e-mail address, comes from a file, standard input or a prompt (person.go): command
// lines stay in histories and can be seen by others on the machine.
package office

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/schema"
)

// Office is what the commands need of the program.
type Office struct {
	Out       *show.Output
	Stdin     io.Reader
	Clock     event.Clock
	Notations []schema.Notation
	Languages []schema.Language // of upcasters; the first is that of files

	// Open opens the store, hands it to do, and closes it; with create it makes the one that is not there.
	Open func(ctx context.Context, create bool, do func(c *client.Client) error) error
	// Absent tells from an error of Open that there is no store.
	Absent func(err error) bool
	// Opening finds out what flags open, and who opens it.
	Opening func(flags *phrase.Opening) (event.Opening, error)
	// Events shows events as the commands about events do, and says once that the use is recorded.
	Events func(o event.Opening, events func(yield func(event.Event, error) bool)) error
	// Group makes a command that holds others, Want checks the number of arguments.
	Group func(use, short, long string, children ...*cobra.Command) *cobra.Command
	Want  func(names ...string) cobra.PositionalArgs
}

// Commands are the nouns.
func (o *Office) Commands() []*cobra.Command {
	return []*cobra.Command{o.schemaCommand(), o.purposeCommand(), o.subjectCommand(), o.consentCommand(), o.keyCommand(),
		o.tokenCommand()}
}

// ask makes a call with one answer.
func ask[In, Out any](ctx context.Context,
	call func(context.Context, *connect.Request[In]) (*connect.Response[Out], error), m *In,
) (*Out, error) {
	answer, err := call(ctx, connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return answer.Msg, nil
}

// tell makes a call that tells how far it came; the last message is what it came to.
func tell[In, Out any](ctx context.Context,
	call func(context.Context, *connect.Request[In]) (*connect.ServerStreamForClient[Out], error), m *In, each func(*Out),
) (last *Out, err error) {
	stream, err := call(ctx, connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for stream.Receive() {
		last = stream.Msg()
		each(last)
	}
	return last, stream.Err()
}

// actorFlag adds --as to a command that changes the store. What it gives is empty, or kind/id.
func actorFlag(cmd *cobra.Command) func() (string, error) {
	text := cmd.Flags().String("as", "", "who acts, `kind/id`")
	return func() (string, error) {
		if *text == "" {
			return "", nil
		}
		_, err := phrase.ParseActor(*text)
		return *text, err
	}
}

// newID is the id of an event that is made once, however often it is sent.
func (o *Office) newID() (string, error) {
	id, err := event.NewIDs(o.Clock, rand.Reader).Next()
	return id.String(), err
}

// Input opens a file for reading; - is standard input. A folder is refused.
func (o *Office) Input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(o.Stdin), nil
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, event.Invalid("usage", "read input: %s is a folder", name).Hint("name a file in it")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read input: %w", err)
	}
	return f, nil
}

// read reads a file; - is standard input. More than most bytes are refused.
func (o *Office) read(name string, most int64) ([]byte, error) {
	in, err := o.Input(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("read input: %w", err)
	}
	if int64(len(text)) > most {
		return nil, event.Invalid("oversized", "read input: it has more than %d bytes", most)
	}
	return text, nil
}

func usage(cmd *cobra.Command, format string, args ...any) error {
	return event.Invalid("usage", "%s: %s", cmd.CommandPath(), fmt.Sprintf(format, args...)).
		Hint("see: %s --help", cmd.CommandPath())
}

// needed refuses a command without a flag that it cannot do without.
func needed(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			return usage(cmd, "--%s is needed", name)
		}
	}
	return nil
}

// fields shows the lines of a table that have something to say.
func fields(all ...show.Field) []show.Field {
	given := all[:0]
	for _, f := range all {
		if f[1] != "" {
			given = append(given, f)
		}
	}
	return given
}

// at is a time of a message; nil: none.
func at(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	when := t.AsTime()
	return &when
}

// second is a time to the second, as people read it; empty: none.
func second(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// yes is a word where something holds.
func yes(holds bool, word string) string {
	if holds {
		return word
	}
	return ""
}

func list(names []string) string { return strings.Join(names, ", ") }
