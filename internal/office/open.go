package office

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
)

// OpenCommand opens events that somebody holds; it is one of the commands about events.
func (o *Office) OpenCommand() *cobra.Command {
	var f phrase.Opening
	var name string
	cmd := &cobra.Command{
		Use: "open --file FILE", Short: "Open events that were read sealed", Args: o.Want(),
		Long: `Opens events that you hold, one JSON object a line, as event query and event tail print them with
-o jsonl; - is standard input. The log must have each of them and say the same, or none is opened.
What the policy does not allow is withheld, and says why; the use is recorded first.`,
		Example: `  lethe event query --kind application -o jsonl > held.jsonl
  lethe event open --file held.jsonl --purpose support --reason "ticket 7"
  lethe event open --file - --purpose support --reason "ticket 7" -o jsonl < held.jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needed(cmd, "file", "purpose"); err != nil {
				return err
			}
			opening, err := o.Opening(&f)
			if err != nil {
				return err
			}
			in := o.Stdin
			if name != "-" {
				file, err := os.Open(name)
				if err != nil {
					return fmt.Errorf("read events: %w", err)
				}
				defer file.Close()
				in = file
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				return o.Events(opening, opened(cmd.Context(), c.For(opening), in))
			})
		},
	}
	cmd.Flags().StringVar(&name, "file", "", "the events, one JSON object a line; - is standard input")
	f.Register(cmd.Flags())
	return cmd
}

// openedAtOnce is how many events are opened together: a use is recorded for each time.
const openedAtOnce = 256

// opened opens events as they are read.
func opened(ctx context.Context, s *lethe.Session, in io.Reader) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		lines := newLines(in)
		for {
			batch, err := lines.next(openedAtOnce)
			if len(batch) > 0 && err == nil {
				batch, err = s.Open(ctx, batch)
			}
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			if len(batch) == 0 {
				return
			}
			for i := range batch {
				if !yield(batch[i], nil) {
					return
				}
			}
		}
	}
}

// lineBytes is the longest line: data of an event, its boxes in base64, and the rest of it.
const lineBytes = 8 << 20

// eventLines reads events, one a line.
type eventLines struct {
	*bufio.Scanner
	number int
}

func newLines(in io.Reader) *eventLines {
	l := &eventLines{Scanner: bufio.NewScanner(in)}
	l.Buffer(make([]byte, 64<<10), lineBytes)
	return l
}

// next are the events of the next lines, at most n; none: it was the last. Blank lines are passed over; errors name the
// line.
func (l *eventLines) next(n int) (events []event.Event, err error) {
	for len(events) < n && l.Scan() {
		l.number++
		text := bytes.TrimSpace(l.Bytes())
		if len(text) == 0 {
			continue
		}
		e, err := event.ParseEvent(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.number, err)
		}
		events = append(events, e)
	}
	switch err := l.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, event.Invalid("oversized", "line %d: it has more than %d bytes", l.number+1, lineBytes)
	case err != nil:
		return nil, fmt.Errorf("read events: line %d: %w", l.number+1, err)
	}
	return events, nil
}
