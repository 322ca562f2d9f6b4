// Package archive keeps logs beyond the store they were written in. So far it moves one into another store, of
// whatever engine:
//
//	report, err := archive.Copy(ctx, from, to, archive.CopyOptions{Place: "postgres://lethe@db/bank"})
//
// Positions, ids, versions, times, leaves and bodies come over as they are, and with them closed and truncated streams,
// fences, checkpoints with their revisions, and tokens: a cursor, a receipt or a proof of the old store holds for the
// new one.
// Tree and index of the copy are computed anew, from its own rows, and the copy counts only if they give the root of
// the source. At no time can both stores be appended to:
//
//	             source                  copy
//	before       live                    new and empty
//	copying      live                    filling: no log opens on it
//	handing over moving: sealed          filling
//	then         moving                  live
//	in the end   moved, naming the copy  live
//
// The source is written to until the copy is proven and close behind it; only the rest is copied while it is sealed.
// Whatever interrupts a copy, calling Copy again with the same stores and the same Place goes on where it ended. Before
// the source is sealed, it can also be left as it is: it never noticed.
package archive

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// CopyOptions of a Copy.
type CopyOptions struct {
	// Place is where the target is, as a person would name it: a folder, or an address without a password. The source
	// tells it to everyone who wants to append. It is required, and the same in every try.
	Place string
	// Progress, which may be nil, is told now and then how far a step is.
	Progress func(step Step, done, head event.Position)
}

// Step is what a copy is at.
type Step string

// The steps that take long.
const (
	Copying   Step = "copy"
	Verifying Step = "verify"
)

// Report is what a store held when it had moved.
type Report struct {
	Events  uint64      `json:"events"`
	Streams int         `json:"streams"` // Lethe's own among them
	Cursors int         `json:"cursors"` // of followers
	Tokens  int         `json:"tokens"`
	Root    ledger.Hash `json:"-"`       // of the Merkle tree, of the source and of the copy
	Already bool        `json:"already"` // an earlier call had finished it; this one changed nothing
}

// Copy moves the log of one store to another one, which is new and empty, or was begun to be filled by an earlier
// Copy. It returns when the copy is proven and live and the source is sealed.
//
// Errors: event.ErrConflict, if the source moved elsewhere, the target is in use, or another copy into it runs;
// event.ErrCorrupt, if the source is damaged, which is found before it is sealed; and those of the stores. After any
// of them call it again when the cause is gone.
func Copy(ctx context.Context, from, to storage.Store, o CopyOptions) (Report, error) {
	if o.Place == "" {
		return Report{}, event.Invalid("malformed_place", "copy store: the place it moves to is not named")
	}
	c := &copier{from: from, to: to, place: o.Place, progress: o.Progress, verifier: log.NewVerifier(to)}
	if c.progress == nil {
		c.progress = func(Step, event.Position, event.Position) {}
	}
	stage, err := c.begin(ctx)
	if err != nil {
		return Report{}, err
	}
	if stage == atCopying {
		if err := c.copy(ctx); err != nil {
			return Report{}, err
		}
	}
	if stage != atEnd {
		if err := c.finish(ctx); err != nil {
			return Report{}, err
		}
	}
	report, err := c.report(ctx)
	report.Already = stage == atEnd
	return report, err
}

// copier is one Copy.
type copier struct {
	from, to storage.Store
	place    string
	progress func(step Step, done, head event.Position)

	source   storage.Identity
	terms    *storage.Terms // of the target
	at       event.Position // how far the target is
	tree     ledger.Tiler   // of the target
	verifier *log.Verifier  // of the target
}

// stage is how far earlier copies came.
type stage int

const (
	atCopying stage = iota
	atFinish        // the copy is live, but the source does not know
	atEnd
)

// begin looks at both stores, and changes neither.
func (c *copier) begin(ctx context.Context) (stage, error) {
	source, err := departs(ctx, c.from, c.place)
	if err != nil {
		return 0, err
	}
	target, err := c.to.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("copy store: %w", err)
	}
	c.source = source.Identity
	arrived := c.ours(&target) && target.Life.State == storage.Live && target.Position >= source.Position
	switch l := source.Life; {
	case l.State == storage.Moving && arrived:
		return atFinish, nil
	case l.State == storage.Moved && arrived:
		return atEnd, nil
	case l.State == storage.Moved:
		return 0, event.Errorf(event.ErrConflict, "copy store %s: it moved to %s before, but is not there any more",
			source.Store, l.Place).Hint("restore a backup of what was there: it may hold later events")
	}
	return atCopying, nil
}

// CheckSource says whether a store can be copied to a place at all, before one is made there: otherwise the error is
// what Copy would return.
func CheckSource(ctx context.Context, from storage.Log, place string) error {
	_, err := departs(ctx, from, place)
	return err
}

func departs(ctx context.Context, from storage.Log, place string) (storage.Head, error) {
	head, err := from.Head(ctx)
	switch l := head.Life; {
	case err != nil:
		return head, fmt.Errorf("copy store: %w", err)
	case l.State == storage.Filling:
		return head, l.Check("copy store " + head.Store.String())
	case l.Sealed() && l.Place != place:
		return head, elsewhere(&head)
	}
	return head, nil
}

// ours tells whether a head is one of the log that is copied.
func (c *copier) ours(h *storage.Head) bool {
	return h.Store == c.source.Store && h.Incarnation == c.source.Incarnation
}

func elsewhere(h *storage.Head) error {
	if h.Life.State == storage.Moving {
		return event.Errorf(event.ErrConflict, "copy store %s: it is moving to %s", h.Store, h.Life.Place).
			Hint("finish that, naming the place just so")
	}
	return event.Errorf(event.ErrConflict, "copy store %s: it moved to %s", h.Store, h.Life.Place).
		Hint("copy it from there")
}

// copy brings the target up to the source, seals the source, and makes the target live.
func (c *copier) copy(ctx context.Context) error {
	if err := c.adopt(ctx); err != nil {
		return err
	}
	if err := c.approach(ctx); err != nil {
		return err
	}
	head, err := c.seal(ctx)
	if err != nil {
		return err
	}
	if err := c.fill(ctx, &head); err != nil {
		return err
	}
	if err := c.streams(ctx); err != nil {
		return err
	}
	if err := c.inherit(ctx, &head); err != nil {
		return err
	}
	if err := c.prove(ctx, &head); err != nil {
		return err
	}
	_, err = c.commit(ctx, storage.Batch{Life: new(storage.Life)})
	if err != nil {
		return fmt.Errorf("copy store: make the copy live: %w", err)
	}
	return nil
}

// adopt makes the target a copy of the source, and finds out how far it is.
func (c *copier) adopt(ctx context.Context) error {
	head, err := c.from.Head(ctx)
	if err == nil {
		err = c.to.Adopt(ctx, head)
	}
	if err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	if head, err = c.to.Head(ctx); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	c.terms, c.at = storage.NewTerms(head.Identity), head.Position
	if c.tree, err = recoverTree(ctx, c.to, &head); err != nil {
		return fmt.Errorf("copy store: go on at position %d of the copy: %w", head.Position, err)
	}
	return nil
}

// What is left when the source is sealed: at most closeBehind events, unless more than that arrive during each of
// approaches rounds.
const (
	closeBehind = 8192
	approaches  = 16
)

// approach copies and proves what the source has while it is written to, until the copy is close behind it. Damage of
// the source is found here, where it can go on as it is.
func (c *copier) approach(ctx context.Context) error {
	for range approaches {
		head, err := c.from.Head(ctx)
		if err != nil {
			return fmt.Errorf("copy store: %w", err)
		}
		behind := head.Position - min(c.at, head.Position)
		if err := c.fill(ctx, &head); err != nil {
			return err
		}
		if err := c.verify(ctx); err != nil {
			return err
		}
		if behind <= closeBehind {
			break
		}
	}
	return nil
}

func (c *copier) verify(ctx context.Context) error {
	report, err := c.verifier.Run(ctx, func(done, head event.Position) { c.progress(Verifying, done, head) })
	if err != nil {
		return fmt.Errorf("copy store: verify the copy: %w", err)
	}
	if !report.OK() {
		f := report.Findings[0]
		return event.Errorf(event.ErrCorrupt, "copy store: verify the copy: position %d: %s", f.Position, f.Cause).
			Hint("see what lethe doctor says of the source")
	}
	return nil
}

// seal ends all writing to the source, and returns what it holds for ever.
func (c *copier) seal(ctx context.Context) (storage.Head, error) {
	return c.mark(ctx, storage.Moving)
}

// finish tells the source that its copy lives.
func (c *copier) finish(ctx context.Context) error {
	_, err := c.mark(ctx, storage.Moved)
	return err
}

func (c *copier) mark(ctx context.Context, state storage.State) (storage.Head, error) {
	life := storage.Life{State: state, Place: c.place}
	head, err := c.from.Commit(ctx, storage.Probe{}, func(h storage.Head, _ storage.Found) (storage.Batch, error) {
		switch {
		case !c.ours(&h) || h.Life.State == storage.Filling:
			return storage.Batch{}, event.Errorf(event.ErrConflict, "another log took its place").Hint("run it again")
		case h.Life.Sealed() && h.Life.Place != c.place:
			return storage.Batch{}, elsewhere(&h)
		case h.Life == life || h.Life.State == storage.Moved:
			return storage.Batch{}, nil
		}
		return storage.Batch{Life: &life}, nil
	})
	if err != nil {
		return head, fmt.Errorf("copy store: seal the source as %s: %w", state, err)
	}
	return head, nil
}

// prove compares the copy with the sealed source: every row with its leaf, and the tree of all of them with the
// source's.
func (c *copier) prove(ctx context.Context, source *storage.Head) error {
	if err := c.verify(ctx); err != nil {
		return err
	}
	target, err := c.to.Head(ctx)
	if err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	if target.Position != source.Position || target.System != source.System || target.Fence != source.Fence ||
		!bytes.Equal(target.Frontier, source.Frontier) {
		return event.Errorf(event.ErrCorrupt, "copy store: the copy ends at position %d with another root or head than "+
			"the source at %d", target.Position, source.Position).Hint("delete the copy and run it again")
	}
	return nil
}

// report counts what the source holds.
func (c *copier) report(ctx context.Context) (Report, error) {
	head, err := c.from.Head(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("copy store: %w", err)
	}
	r := Report{Events: uint64(head.Position), Root: new(ledger.Frontier).Root()}
	if len(head.Frontier) > 0 {
		frontier, err := ledger.ParseFrontier(head.Frontier)
		if err != nil {
			return r, fmt.Errorf("copy store: %w", err)
		}
		r.Root = frontier.Root()
	}
	err = c.eachStreams(ctx, func(list []storage.StreamState) error {
		r.Streams += len(list)
		return nil
	})
	if err != nil {
		return r, err
	}
	checkpoints, tokens, err := c.heritage(ctx)
	r.Cursors, r.Tokens = len(checkpoints), len(tokens)
	return r, err
}
