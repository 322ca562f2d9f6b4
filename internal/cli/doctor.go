package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// check is one line of doctor's report.
type check struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (a *app) doctorCommand() *cobra.Command {
	reindex := false
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check a store from the ground up", Args: want(),
		Long: `Opens the store and checks it: SQLite and its settings, the structure of the file, the lock,
the head and its lineage, the index, and the tree. The tree is proven from the rows: every
event's leaf is computed anew from what is stored and compared, and all leaves must give the
stored tiles and the right edge of the Merkle tree. It needs little memory, and time in
proportion to the log; it changes nothing, but for --reindex.

Of a server's store it checks head, lineage, index and tree; the rest belongs to the machine on
which the folder is. It needs a token that may read and administer.

What does not fit is named by its position; the exit code is then 7.`,
		Example: "  lethe doctor\n  lethe doctor --reindex\n  lethe doctor --store https://lethe.example.org:7070 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.remote() && reindex:
				return event.Errorf(event.ErrUnsupported, "doctor: a server's index is not built anew from afar").
					Hint("stop the server and run it on the folder")
			case a.remote():
				return a.with(cmd.Context(), existing, func(s *opened) error { return a.examine(cmd.Context(), s) })
			}
			return a.withEngine(cmd.Context(), func(s *opened) error {
				if reindex {
					if err := s.reindex(cmd.Context()); err != nil {
						return err
					}
					a.out.Say("the index was built anew")
				}
				return a.examine(cmd.Context(), s)
			})
		},
	}
	cmd.Flags().BoolVar(&reindex, "reindex", false, "drop the index and build it anew from the rows first")
	return cmd
}

// doctor gathers checks.
type doctor struct {
	app     *app
	store   *opened
	patient patient
	head    storage.Head
	checks  []check
}

func (d *doctor) add(name string, ok bool, format string, args ...any) {
	d.checks = append(d.checks, check{name, ok, fmt.Sprintf(format, args...)})
}

// patient is what is examined: an engine, or a store behind a server.
type patient interface {
	Head(ctx context.Context) (storage.Head, error)
	page(ctx context.Context, q storage.Query) ([]event.Event, error)
	verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error)
}

// bare is an engine: it answers also where a log does not open any more.
type bare struct{ storage.Store }

func (b bare) page(ctx context.Context, q storage.Query) ([]event.Event, error) {
	found, err := b.Page(ctx, q)
	if err != nil || len(found.Records) == 0 || found.Records[0].Body == nil {
		return nil, err
	}
	e, err := found.Records[0].Event()
	return []event.Event{e}, err
}

func (b bare) verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error) {
	return log.Verify(ctx, b.Store, progress)
}

// distant is a store behind a server.
type distant struct{ *lethe.Store }

func (d distant) page(ctx context.Context, q storage.Query) ([]event.Event, error) {
	page, err := d.As(event.Actor{}).Page(ctx, lethe.PageQuery{Query: q})
	return page.Events, err
}

func (d distant) verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error) {
	return d.Verify(ctx, progress)
}

// examine makes every check, shows them all, and then fails if one did.
func (a *app) examine(ctx context.Context, s *opened) (err error) {
	d := &doctor{app: a, store: s}
	looks := []func(context.Context) error{d.log, d.index, d.tree}
	if s.engine != nil {
		d.patient = bare{s.engine}
		looks = slices.Insert(looks, 0, d.engine)
	} else {
		d.patient = distant{s.Store}
		looks = slices.Insert(looks, 0, d.server)
	}
	if d.head, err = d.patient.Head(ctx); err != nil {
		return err
	}
	for _, look := range looks {
		if err := look(ctx); err != nil {
			return err
		}
	}
	bad := 0
	list := a.out.List("check", "result", "detail")
	for _, c := range d.checks {
		result := "ok"
		if !c.OK {
			result = "WRONG"
			bad++
		}
		if a.settings.Output != show.JSON {
			if err := list.Add(c, c.Check, result, c.Detail); err != nil {
				return err
			}
		}
	}
	if a.settings.Output == show.JSON {
		err = a.out.Single(struct {
			OK     bool    `json:"ok"`
			Store  string  `json:"store"`
			Head   uint64  `json:"position"`
			Checks []check `json:"checks"`
		}{bad == 0, s.where, uint64(d.head.Position), d.checks})
	} else {
		err = list.Close()
	}
	if err != nil || bad == 0 {
		return err
	}
	return d.verdict()
}

// verdict is the first check that failed, as an error.
func (d *doctor) verdict() error {
	for _, c := range d.checks {
		if !c.OK {
			return &event.Error{Sentinel: event.ErrCorrupt, Code: "verification_failed",
				Message: fmt.Sprintf("check store %s: %s: %s", d.store.where, c.Check, c.Detail),
				Next:    "keep the store as it is and restore a backup; if only the index is wrong, run: lethe doctor --reindex"}
		}
	}
	return nil
}

// engine looks at what the store lies in.
func (d *doctor) engine(ctx context.Context) error {
	db, ok := d.store.engine.(interface {
		Server(ctx context.Context) (version string, format int, err error)
	})
	if !ok {
		return d.file()
	}
	version, format, err := db.Server(ctx)
	if err != nil {
		return err
	}
	d.add("database", true, "PostgreSQL %s; its settings and its clock were checked when the store opened", version)
	d.add("format", true, "tables of format %d", format)
	return nil
}

func (d *doctor) file() error {
	settings, fault, err := d.store.inspect()
	if err != nil {
		return err
	}
	d.add("sqlite", true, "version %s, built in", sqliteVersion())
	d.add("settings", settings["journal_mode"] == "wal", "journal_mode=%s page_size=%s; synchronous, secure_delete and "+
		"the others were read back when the store opened", settings["journal_mode"], settings["page_size"])
	d.add("format", true, "tables of format %s", settings["user_version"])
	if fault == "" {
		fault = "pages and trees of the file are whole"
		d.add("structure", true, "%s", fault)
	} else {
		d.add("structure", false, "%s", show.OneLine(fault))
	}
	d.add("lock", true, "held by this process, %d", os.Getpid())
	return nil
}

// server asks who answers.
func (d *doctor) server(ctx context.Context) error {
	who, err := d.store.Stores.Whoami(ctx, connect.NewRequest(new(lethev1.WhoamiRequest)))
	if err != nil {
		return err
	}
	d.add("server", true, "version %s, store %s", who.Msg.GetVersion(), who.Msg.GetStore())
	return nil
}

func (d *doctor) log(context.Context) error {
	h := d.head
	d.add("head", true, "position %d, system position %d, fence %d", h.Position, h.System, h.Fence)
	lives := make([]string, len(h.Lineage))
	ok := len(lives) > 0 && h.Lineage[len(lives)-1].Incarnation == h.Incarnation
	for i, fork := range h.Lineage {
		lives[i] = fmt.Sprintf("%016x from position %d", uint64(fork.Incarnation), fork.First)
		ok = ok && fork.First <= h.Position+1 && (i == 0 || h.Lineage[i-1].First <= fork.First)
	}
	d.add("lineage", ok, "store %s, incarnation %s", h.Store, strings.Join(lives, ", then "))
	return nil
}

// sampled is how many events of a log the index is asked for.
const sampled = 1000

// index asks the index for events by all that it should know of them. Events are taken evenly over the log.
func (d *doctor) index(ctx context.Context) error {
	step := max(uint64(d.head.Position)/sampled, 1)
	asked := 0
	for p := uint64(1); p <= uint64(d.head.Position); p += step {
		page, err := d.patient.page(ctx, storage.Query{From: p, To: p, Limit: 1})
		if err != nil {
			return d.damaged("index", event.Position(p), err)
		}
		if len(page) == 0 { // truncated
			continue
		}
		e := page[0]
		asked++
		found, err := d.indexed(ctx, &e)
		if err != nil {
			return d.damaged("index", e.Position, err)
		}
		if !found {
			d.add("index", false, "position %d is not found by all of its terms", e.Position)
			return nil
		}
	}
	keys := "no metadata"
	if len(d.head.Indexed) > 0 {
		keys = "metadata " + strings.Join(d.head.Indexed, ", ")
	}
	d.add("index", true, "reaches position %d; %d events asked for, all found; it knows %s", d.head.Position, asked, keys)
	return nil
}

// damaged turns damage that an engine reports into a check; other errors end the examination.
func (d *doctor) damaged(name string, p event.Position, err error) error {
	if !errors.Is(err, event.ErrCorrupt) && !errors.Is(err, event.ErrFormat) {
		return err
	}
	d.add(name, false, "position %d: %v", p, err)
	return nil
}

// indexed looks an event up by its terms and by its place in its stream.
func (d *doctor) indexed(ctx context.Context, e *event.Event) (bool, error) {
	m := event.Match{Types: []string{e.Type}, Kinds: []string{e.Stream.Kind}, Stream: e.Stream, Relations: e.Relations,
		Correlation: e.Correlation, Causation: e.Causation}
	for _, key := range d.head.Indexed {
		if value, ok := e.Metadata[key]; ok {
			if m.Metadata == nil {
				m.Metadata = make(map[string]string)
			}
			m.Metadata[key] = value
		}
	}
	at := uint64(e.Position)
	page, err := d.patient.page(ctx, storage.Query{Filter: event.Filter{m}, From: at, To: at, Limit: 1})
	if err != nil || len(page) != 1 {
		return false, err
	}
	version := uint64(e.Version)
	page, err = d.patient.page(ctx, storage.Query{Stream: e.Stream, From: version, To: version, Limit: 1})
	return err == nil && len(page) == 1 && page[0].ID == e.ID, err
}

func (d *doctor) tree(ctx context.Context) error {
	m := d.app.out.Meter("verify")
	defer m.Stop()
	report, err := d.patient.verify(ctx, func(done, head event.Position) {
		m.At(int64(done), int64(head), int64(done), "events")
	})
	m.Stop()
	for _, f := range report.Findings {
		d.add("tree", false, "position %d: %s", f.Position, f.Cause)
	}
	if report.More > 0 {
		d.add("tree", false, "%d more places do not fit", report.More)
	}
	if err != nil {
		return d.damaged("tree", event.Position(report.Events)+1, err)
	}
	if report.OK() {
		d.add("tree", true, "%d events proven (%d truncated, by their leaves), %d tiles, root %s",
			report.Events, report.Pruned, report.Tiles, hex.EncodeToString(report.Root[:]))
	}
	return nil
}
