package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/show"
)

func (a *app) eventWhyCommand() *cobra.Command {
	var limit, depth uint32
	cmd := &cobra.Command{
		Use: "why ID", Short: "Show what caused an event, and what it caused", Args: want("ID"),
		Long: `Follows the causation of an event up to where it began, and from there shows as a tree
everything that came of it. The event that was asked for is marked.

The tree is bounded by --limit events and --depth levels up and down; what the event itself
comes from and leads to is looked up first. Notes on stderr say what was left out.`,
		Example: "  lethe event why 0198c0de-7c1f-7000-8000-000000000001\n" +
			"  lethe event why 0198c0de-7c1f-7000-8000-000000000001 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := event.ParseID(args[0])
			if err != nil {
				return err
			}
			if limit == 0 || depth == 0 || depth > 1000 {
				return event.Invalid("usage", "event why: want --limit above 0 and --depth from 1 to 1000")
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				t := tree{session: a.reader(s), limit: int(limit), depth: int(depth), nodes: map[event.ID]*node{}}
				root, err := t.grow(cmd.Context(), id)
				if err != nil {
					return err
				}
				for _, n := range t.nodes {
					a.seen(&n.Event)
				}
				for _, note := range t.notes {
					a.out.Say("note: %s", note)
				}
				return a.showTree(root)
			})
		},
	}
	a.mayOpen(cmd)
	cmd.Flags().Uint32Var(&limit, "limit", 500, "at most so many events")
	cmd.Flags().Uint32Var(&depth, "depth", 50, "at most so many levels up, and down")
	return cmd
}

// node is an event in a tree of causes.
type node struct {
	Event  event.Event `json:"event"`
	Asked  bool        `json:"asked,omitempty"`
	Cause  string      `json:"cause_not_in_log,omitempty"` // of the root: a command, or an event of elsewhere
	Caused []*node     `json:"caused,omitempty"`
	More   bool        `json:"more,omitempty"` // it caused events that are not shown
	level  int         // from the root
}

// tree grows from the event that was asked for.
type tree struct {
	session      *lethe.Session
	limit, depth int
	nodes        map[event.ID]*node // each event once, so that a cycle of causes ends
	notes        []string
	cut          bool // some node has more than is shown
}

func (t *tree) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// grow gives the root.
func (t *tree) grow(ctx context.Context, id event.ID) (*node, error) {
	e, err := t.session.Event(ctx, id)
	if err != nil {
		return nil, err
	}
	asked := &node{Event: e, Asked: true}
	t.nodes[e.ID] = asked
	path, err := t.climb(ctx, asked)
	if err != nil {
		return nil, err
	}
	root := path[len(path)-1]
	for i, n := range path {
		n.level = len(path) - 1 - i
	}
	most := asked.level + t.depth
	for queue := path; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		fresh, err := t.spread(ctx, n, n.level < most)
		if err != nil {
			return nil, err
		}
		queue = append(queue, fresh...)
	}
	if t.cut {
		t.note("the tree is cut at %d events; see more with --limit and --depth", len(t.nodes))
	}
	return root, nil
}

// climb follows causes up. The path begins with the event that was asked for.
func (t *tree) climb(ctx context.Context, asked *node) ([]*node, error) {
	path := []*node{asked}
	for {
		n := path[len(path)-1]
		cause := n.Event.Causation
		if cause.IsZero() {
			return path, nil
		}
		if t.nodes[cause] != nil {
			t.note("event %s and its causes lead back to themselves", cause)
			return path, nil
		}
		if len(path) > t.depth || len(t.nodes) >= t.limit {
			t.note("event %s has a cause that is not shown; see more with --depth", n.Event.ID)
			return path, nil
		}
		e, err := t.session.Event(ctx, cause)
		if errors.Is(err, event.ErrNotFound) {
			n.Cause = cause.String()
			return path, nil
		}
		if err != nil {
			return nil, err
		}
		up := &node{Event: e, Caused: []*node{n}}
		t.nodes[e.ID] = up
		path = append(path, up)
	}
}

// spread adds what an event caused, in order of position, and gives the nodes that are new.
func (t *tree) spread(ctx context.Context, n *node, deeper bool) (fresh []*node, err error) {
	q := lethe.Query{Filter: event.Filter{{Causation: n.Event.ID}}}
	for e, err := range t.session.Query(ctx, q) {
		if err != nil {
			return nil, err
		}
		if t.nodes[e.ID] != nil {
			continue
		}
		if !deeper || len(t.nodes) >= t.limit {
			n.More, t.cut = true, true
			break
		}
		child := &node{Event: e, level: n.level + 1}
		t.nodes[e.ID] = child
		n.Caused = append(n.Caused, child)
		fresh = append(fresh, child)
	}
	slices.SortFunc(n.Caused, func(a, b *node) int {
		return int(int64(a.Event.Position) - int64(b.Event.Position))
	})
	return fresh, nil
}

// showTree writes the tree, as it is nested or as lines.
func (a *app) showTree(root *node) error {
	switch a.settings.Output {
	case show.JSON, show.JSONL:
		return a.out.Single(root)
	case show.CSV:
		list := a.out.List("level", "id", "position", "stream", "version", "type", "causation", "asked")
		if err := root.each(func(n *node) error {
			return list.Add(nil, fmt.Sprint(n.level), n.Event.ID.String(), number(n.Event.Position),
				n.Event.Stream.String(), number(n.Event.Version), n.Event.Type, show.Causation(&n.Event), fmt.Sprint(n.Asked))
		}); err != nil {
			return err
		}
		return list.Close()
	}
	var b strings.Builder
	if root.Cause != "" {
		fmt.Fprintf(&b, "%s (not an event of this log)\n", root.Cause)
		root.draw(&b, "└─ ", "   ")
	} else {
		root.draw(&b, "", "")
	}
	if _, err := a.Stdout.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func (n *node) each(visit func(*node) error) error {
	if err := visit(n); err != nil {
		return err
	}
	for _, child := range n.Caused {
		if err := child.each(visit); err != nil {
			return err
		}
	}
	return nil
}

// draw writes the node behind head, and everything below it behind indent.
func (n *node) draw(b *strings.Builder, head, indent string) {
	e := &n.Event
	fmt.Fprintf(b, "%s%s  %s@%d  position %d  %s", head, show.Printable(e.Type),
		show.Printable(show.Entities(e.Stream.String(), e)), e.Version, e.Position, e.ID)
	if n.Asked {
		b.WriteString("  ← asked")
	}
	b.WriteByte('\n')
	for i, child := range n.Caused {
		if i == len(n.Caused)-1 && !n.More {
			child.draw(b, indent+"└─ ", indent+"   ")
			continue
		}
		child.draw(b, indent+"├─ ", indent+"│  ")
	}
	if n.More {
		b.WriteString(indent + "└─ …\n")
	}
}
