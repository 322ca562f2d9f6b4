package sealing_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// opened reads all cards for an opening.
func (p *process) opened(ctx context.Context, o event.Opening) (list []event.Event, err error) {
	q := lethe.Query{Filter: event.Filter{{Types: []string{"Carded"}}}}
	for e, err := range p.For(o).Query(ctx, q) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

// release is of whom a box or reference was opened, and of which group.
type release struct {
	krid  event.KRID
	group string
}

// released counts what opened cards show: boxes, and references, by person and group.
func released(events []event.Event) (map[release]storage.UseEntry, error) {
	all := map[release]storage.UseEntry{}
	for i := range events {
		e := &events[i]
		boxes, err := sealed.Parse(e.Boxes)
		if err != nil {
			return nil, err
		}
		for j := range boxes {
			if b := &boxes[j]; shows(e, b) {
				for _, o := range b.Owners {
					note(all, release{o.KRID, b.Group}, e.Position)
				}
			}
		}
		named := map[event.KRID]bool{}
		for _, n := range e.Names {
			if !named[n.KRID] {
				named[n.KRID] = true
				note(all, release{n.KRID, policy.Reference}, e.Position)
			}
		}
	}
	return all, nil
}

func note(all map[release]storage.UseEntry, key release, at event.Position) {
	entry, ok := all[key]
	if !ok {
		entry = storage.UseEntry{KRID: key.krid, Group: key.group, First: at}
	}
	entry.Count, entry.Last = entry.Count+1, at
	all[key] = entry
}

// shows tells whether a value of a box is in the event: what the box holds follows from the card, its group and how
// many own it; of two boxes of group identity, the guest's holds what the guest's alias stands before.
func shows(e *event.Event, b *sealed.Box) bool {
	c := cardOf(e.ID)
	for _, f := range c.fields() {
		holds := f.group == b.Group && len(ownersOf(f)) == len(b.Owners) && (f.path == "/email") == (b.Class == "short")
		if f.group == "identity" {
			holds = holds && owns(e, b, f.path)
		}
		if holds && bytes.Contains(e.Data, []byte(f.text)) {
			return true
		}
	}
	return b.Group == "identity" && e.Metadata["x-auth"] != "" && issuer(e) == b.Owners[0].KRID.String()
}

func ownersOf(f field) []int { return slices.Compact(slices.Clone(f.owners)) }

func owns(e *event.Event, b *sealed.Box, path string) bool {
	pointer := map[string]string{"/name": "/customer", "/guests/0/dish": "/guests/0/who"}[path]
	text, _ := event.Text(e.Data, pointer)
	return text == b.Owners[0].KRID.String()
}

func issuer(e *event.Event) string {
	for _, r := range e.Relations {
		if r.Role == event.RoleIssuer && r.Kind == "clerk" {
			return r.ID
		}
	}
	return ""
}

// accounted says how what an opening released differs from what the use log says of it. Its reason is its own.
func (p *process) accounted(ctx context.Context, reason string, events []event.Event) error {
	want, err := released(events)
	if err != nil {
		return err
	}
	last, err := p.lastUse(ctx, reason)
	if err != nil {
		return err
	}
	if last == nil {
		if len(want) > 0 {
			return fmt.Errorf("%q released %d things, and no use is recorded", reason, len(want))
		}
		return nil
	}
	got := map[release]storage.UseEntry{}
	for _, entry := range last.Entries {
		got[release{entry.KRID, entry.Group}] = entry
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(release{})); diff != "" {
		return fmt.Errorf("%q was recorded otherwise than it released:\n%s", reason, diff)
	}
	return nil
}

// lastUse is the newest use with a reason.
func (p *process) lastUse(ctx context.Context, reason string) (*storage.Use, error) {
	q := storage.UseQuery{Limit: 500}
	for {
		page, err := p.keys.PageUses(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Uses {
			if page.Uses[i].Reason == reason {
				return &page.Uses[i], nil
			}
		}
		if page.Done {
			return nil, nil
		}
		q.Before = page.Scanned
	}
}

// intact checks all that is kept: every card is there once and opens whole, every keyring of a box is there, the log
// verifies, and no event outside of want is in it.
func (p *process) intact(ctx context.Context, reason string, want []card) error {
	records, err := cards(ctx, p.engine)
	if err != nil {
		return err
	}
	if err := p.keyed(ctx, records); err != nil {
		return err
	}
	var missing []card
	seen := map[card]int{}
	for i := range records {
		seen[cardOf(records[i].ID)]++
	}
	for _, c := range want {
		if seen[c] != 1 {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 || len(seen) != len(want) {
		return fmt.Errorf("%d cards are in the log, want %d; not there once: %v", len(records), len(want), missing)
	}
	events, err := p.opened(ctx, all(reason))
	if err != nil {
		return fmt.Errorf("open all: %w", err)
	}
	if len(events) != len(want) {
		return fmt.Errorf("%d cards open, want %d", len(events), len(want))
	}
	for i := range events {
		if err := whole(&events[i]); err != nil {
			return err
		}
	}
	if len(events) <= 100 { // else it is more than one page, and as many uses
		if err := p.accounted(ctx, reason, events); err != nil {
			return err
		}
	}
	report, err := p.Verify(ctx, nil)
	if err == nil && !report.OK() {
		err = fmt.Errorf("the log does not verify: %+v", report.Findings)
	}
	return err
}

// keyed: the keyring of every box's owner, and of everybody spoken of, is in the keystore.
func (p *process) keyed(ctx context.Context, records []storage.Record) error {
	need := map[event.KRID]bool{}
	for i := range records {
		boxes, err := sealed.Parse(records[i].Boxes)
		if err != nil {
			return err
		}
		for j := range boxes {
			for _, o := range boxes[j].Owners {
				need[o.KRID] = true
			}
		}
		e, err := records[i].Event()
		if err != nil {
			return err
		}
		for _, r := range append(e.Relations, event.Relation{ID: e.Stream.ID}) {
			if strings.HasPrefix(r.ID, "krid_") {
				k, err := event.ParseKRID(r.ID)
				if err != nil {
					return err
				}
				need[k] = true
			}
		}
	}
	for k := range need {
		found, err := p.keys.Keyrings(ctx, []event.KRID{k})
		if err != nil {
			return err
		}
		if found[0].State != storage.KeyLive {
			return fmt.Errorf("the log speaks of %s, and its keyring is in state %d", k, found[0].State)
		}
	}
	return nil
}
