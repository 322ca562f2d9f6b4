package privacy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Upcast brings events, as Open returned them, to the present version of their types' schemas: by the upcaster of each
// version between, and as they are where it has none. Personal values move without being looked at, what Withheld says
// moves with them, and what an upcaster drops leaves Withheld too. Event.Schema becomes the present version, and Boxes
// are left out: they open in the event as it was written only. Events without a schema, pruned ones, and those of the
// present version come back as they are. An error is about one event, which it names, and returns none.
//
// The events given stay as they are.
func (p *Privacy) Upcast(ctx context.Context, events []event.Event) ([]event.Event, error) {
	if !slices.ContainsFunc(events, func(e event.Event) bool { return e.Schema != (event.SchemaID{}) }) {
		return events, nil
	}
	if _, err := p.follow(ctx); err != nil {
		return nil, fmt.Errorf("upcast: %w", err)
	}
	chains := map[event.SchemaID]*schema.Chain{}
	out := slices.Clone(events)
	for i := range out {
		e := &out[i]
		if e.Schema == (event.SchemaID{}) {
			continue
		}
		chain := chains[e.Schema]
		if chain == nil {
			var err error
			if chain, err = p.schemas.Chain(e.Schema); err != nil {
				return nil, fmt.Errorf("upcast event %s: %w", e.ID, err)
			}
			chains[e.Schema] = chain
		}
		if chain.Done() {
			continue
		}
		if err := upcast(e, chain); err != nil {
			return nil, fmt.Errorf("upcast event %s: %w", e.ID, err)
		}
	}
	return out, nil
}

func upcast(e *event.Event, chain *schema.Chain) error {
	paths := make([]string, len(e.Withheld))
	for i, w := range e.Withheld {
		if !strings.HasPrefix(w.Path, metadataPath) {
			paths[i] = w.Path
		}
	}
	data, paths, err := chain.Upcast(e.Data, paths)
	if err != nil {
		return err
	}
	var withheld []event.Withheld
	for i, w := range e.Withheld {
		if paths[i] == "" && !strings.HasPrefix(w.Path, metadataPath) {
			continue
		}
		if paths[i] != "" {
			w.Path = paths[i]
		}
		withheld = append(withheld, w)
	}
	e.Data, e.Withheld, e.Boxes, e.Schema = data, withheld, nil, chain.Present().ID
	return nil
}

// metadataPath begins the path of a value that is in the metadata.
const metadataPath = "metadata/"
