package archive

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// streamsPage and fencesPage are how many streams and fences are listed at once, pruneStep how many events one step of
// pruning looks at.
const (
	streamsPage = 1024
	fencesPage  = 4096
	pruneStep   = 512
)

// eachStreams calls do with the streams of the source, page by page.
func (c *copier) eachStreams(ctx context.Context, do func([]storage.StreamState) error) error {
	for q := (storage.StreamQuery{Limit: streamsPage}); ; {
		list, err := c.from.Streams(ctx, q)
		if err != nil {
			return fmt.Errorf("copy store: list streams of the source: %w", err)
		}
		if len(list) == 0 {
			return nil
		}
		if err := do(list); err != nil {
			return err
		}
		q.After = list[len(list)-1].Stream
	}
}

// streams copies what records do not tell of streams. The source is sealed, so none is closed or truncated any more.
//
// What was pruned while records were being copied has left bodies in the target; they go before the target says that
// they are gone. A truncation that is not finished is none here either: who opens the log finishes it.
func (c *copier) streams(ctx context.Context) error {
	return c.eachStreams(ctx, func(list []storage.StreamState) error {
		var b storage.Batch
		for _, s := range list {
			if s.Version > 0 && !s.Closed && s.Truncated == 0 && s.Pruned == 0 {
				continue
			}
			if err := c.prune(ctx, s); err != nil {
				return fmt.Errorf("copy store: prune stream %s of the copy: %w", s.Stream, err)
			}
			b.Streams = append(b.Streams, s)
		}
		if len(b.Streams) == 0 {
			return nil
		}
		ids := make([]event.StreamID, len(b.Streams))
		for i := range b.Streams {
			ids[i] = b.Streams[i].Stream
		}
		if _, err := c.commit(ctx, b, ids...); err != nil {
			return fmt.Errorf("copy store: write states of streams to the copy: %w", err)
		}
		return nil
	})
}

// prune takes away the bodies that the source has pruned of a stream.
func (c *copier) prune(ctx context.Context, s storage.StreamState) error {
	last := uint64(min(s.Pruned, s.Version+1))
	for from := uint64(1); from < last; {
		head, err := c.to.Head(ctx)
		if err != nil {
			return err
		}
		found, err := c.to.Page(ctx, storage.Query{Stream: s.Stream, From: from, To: last - 1, Limit: pruneStep})
		if err != nil {
			return err
		}
		var edits []storage.Edit
		for i := range found.Records {
			if r := &found.Records[i]; r.Body != nil {
				edits = append(edits, storage.Edit{Position: r.Position, ID: r.ID, Leaf: r.Leaf})
			}
		}
		if len(edits) > 0 {
			if err := c.to.Rewrite(ctx, head.Fence, edits); err != nil {
				return err
			}
		}
		if found.Done {
			break
		}
		from = found.Scanned + 1
	}
	return nil
}

// inherit copies fences, checkpoints and tokens.
func (c *copier) inherit(ctx context.Context, source *storage.Head) error {
	if err := c.fences(ctx, source.Fence); err != nil {
		return err
	}
	checkpoints, tokens, err := c.heritage(ctx)
	if err != nil {
		return err
	}
	if err := c.to.Inherit(ctx, checkpoints, tokens); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	return nil
}

// fences copies the fences of the source, which is sealed, and how far it counted.
func (c *copier) fences(ctx context.Context, upTo uint64) error {
	for after := uint64(0); ; {
		list, err := c.from.Fences(ctx, after, fencesPage)
		if err != nil {
			return fmt.Errorf("copy store: list fences of the source: %w", err)
		}
		if err := c.to.InheritFences(ctx, upTo, list); err != nil {
			return fmt.Errorf("copy store: %w", err)
		}
		if len(list) == 0 {
			return nil
		}
		after = list[len(list)-1].Number
	}
}

// heritage is what the source keeps beside its log.
func (c *copier) heritage(ctx context.Context) ([]storage.NamedCheckpoint, []storage.Token, error) {
	checkpoints, err := c.from.Checkpoints(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("copy store: list checkpoints of the source: %w", err)
	}
	tokens, err := c.from.Tokens(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("copy store: list tokens of the source: %w", err)
	}
	return checkpoints, tokens, nil
}
