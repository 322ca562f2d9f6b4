package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// printCauses draws events as a tree, each below the one that caused it. A single consequence stays in its column;
// only several consequences of one event branch out.
func printCauses(w io.Writer, events []event.Event) {
	known := make(map[event.ID]bool, len(events))
	for i := range events {
		known[events[i].ID] = true
	}
	consequences := make(map[event.ID][]*event.Event)
	var roots []*event.Event
	for i := range events {
		e := &events[i]
		if known[e.Causation] {
			consequences[e.Causation] = append(consequences[e.Causation], e)
		} else {
			roots = append(roots, e)
		}
	}
	for _, root := range roots {
		drawCause(w, consequences, root, 0, root.OccurredAt)
	}
}

func drawCause(w io.Writer, consequences map[event.ID][]*event.Event, e *event.Event, depth int, start time.Time) {
	mark := "●"
	if depth > 0 {
		mark = strings.Repeat("  ", depth-1) + "└ ●"
	}
	fmt.Fprintf(w, "      %-42s employee/%-5s after %s\n", mark+" "+e.Type, shown(e), spell(e.OccurredAt.Sub(start)))
	for _, consequence := range consequences[e.ID] {
		drawCause(w, consequences, consequence, depth+1, start)
	}
}
