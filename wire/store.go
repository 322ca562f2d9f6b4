package wire

import (
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// Head is the message of a log's state; the store's secret has no place in it.
func Head(h *storage.Head) *lethev1.HeadResponse {
	cursor := event.Cursor{Store: h.Store, Incarnation: h.Incarnation, Position: h.Position}
	m := &lethev1.HeadResponse{
		Store: h.Store.String(), Incarnation: uint64(h.Incarnation), Indexed: h.Indexed, Position: uint64(h.Position),
		System: uint64(h.System), Fence: h.Fence, Frontier: h.Frontier, Cursor: cursor.String(),
	}
	for _, f := range h.Lineage {
		m.Lineage = append(m.Lineage, &lethev1.Fork{Incarnation: uint64(f.Incarnation), First: uint64(f.First)})
	}
	return m
}

// ParseHead reads a log's state.
func ParseHead(m *lethev1.HeadResponse) (storage.Head, error) {
	h := storage.Head{
		Identity: storage.Identity{Incarnation: event.Incarnation(m.GetIncarnation()), Indexed: m.GetIndexed()},
		Position: event.Position(m.GetPosition()), System: event.Position(m.GetSystem()), Fence: m.GetFence(),
		Frontier: m.GetFrontier(),
	}
	store, err := hex.DecodeString(m.GetStore())
	if copy(h.Store[:], store); err != nil || len(store) != len(h.Store) {
		return h, event.Invalid("malformed_message", "read head: the store's id is not %d hexadecimal digits", 2*len(h.Store))
	}
	for _, f := range m.GetLineage() {
		h.Lineage = append(h.Lineage, storage.Fork{
			Incarnation: event.Incarnation(f.GetIncarnation()), First: event.Position(f.GetFirst())})
	}
	return h, nil
}

// Checkpoint is the message of a checkpoint.
func Checkpoint(c storage.Checkpoint) *lethev1.Checkpoint {
	return &lethev1.Checkpoint{Revision: c.Revision, Cursor: c.Cursor.String(), Note: c.Note}
}

// ParseCheckpoint reads a checkpoint.
func ParseCheckpoint(m *lethev1.Checkpoint) (storage.Checkpoint, error) {
	cursor, err := event.ParseCursor(m.GetCursor())
	c := storage.Checkpoint{Revision: m.GetRevision(), Cursor: cursor, Note: m.GetNote()}
	if len(c.Note) == 0 {
		c.Note = nil
	}
	return c, err
}

// StreamState is the message of a stream's state.
func StreamState(s storage.StreamState) *lethev1.StreamState {
	return &lethev1.StreamState{Stream: s.Stream.String(), Version: uint64(s.Version), Closed: s.Closed,
		Truncated: uint64(s.Truncated), Pruned: uint64(s.Pruned)}
}

// ParseStreamState reads a stream's state.
func ParseStreamState(m *lethev1.StreamState) (storage.StreamState, error) {
	stream, err := event.ParseEntity(m.GetStream())
	return storage.StreamState{Stream: stream, Version: event.Version(m.GetVersion()), Closed: m.GetClosed(),
		Truncated: event.Version(m.GetTruncated()), Pruned: event.Version(m.GetPruned())}, err
}

// MaxAge is the message of how long the events of a kind are kept.
func MaxAge(kind string, age time.Duration) *lethev1.MaxAge {
	return &lethev1.MaxAge{Kind: kind, Age: durationpb.New(age)}
}

// Report is the message of what a verification found.
func Report(r *log.Report) *lethev1.VerifyReport {
	m := &lethev1.VerifyReport{Events: r.Events, Pruned: r.Pruned, Tiles: r.Tiles, Root: r.Root[:], More: r.More}
	for _, f := range r.Findings {
		m.Findings = append(m.Findings, &lethev1.Finding{Position: uint64(f.Position), Cause: f.Cause})
	}
	return m
}

// ParseReport reads what a verification found.
func ParseReport(m *lethev1.VerifyReport) (log.Report, error) {
	r := log.Report{Events: m.GetEvents(), Pruned: m.GetPruned(), Tiles: m.GetTiles(), More: m.GetMore()}
	if copy(r.Root[:], m.GetRoot()) != len(ledger.Hash{}) || len(m.GetRoot()) != len(ledger.Hash{}) {
		return r, event.Invalid("malformed_message", "read report: its root is not a hash")
	}
	for _, f := range m.GetFindings() {
		r.Findings = append(r.Findings, log.Finding{Position: event.Position(f.GetPosition()), Cause: f.GetCause()})
	}
	return r, nil
}
