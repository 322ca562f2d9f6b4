package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/bench"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/kms/localkms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

func (a *app) benchCommand() *cobra.Command {
	return group("bench", "Measure a store on this machine",
		`Measures a store: appends, scans of the log, loads of streams, followers, and how all of it
changes as the log grows. docs/benchmarks.md says what each figure means.

Without --store a scratch store is made in the folder for temporary files and removed at the
end; see that this folder is on the disk you want to know about. What is appended lies in
streams of kind lethe-bench. A store that holds other events is not appended to, unless
--into-existing is given. With --store http://… a server is measured, network included.

An interrupt ends a measurement early and shows what was measured; the exit code is then 8.`,
		a.benchAppend(), a.benchRead(), a.benchStream(), a.benchFollow(), a.benchGrowth(), a.benchKeys())
}

// benchFlags are the flags of all measurements but growth.
type benchFlags struct {
	bench.Options
	intoExisting bool
	condition    string
}

func (f *benchFlags) register(cmd *cobra.Command, batch, events, streams string) {
	flags := cmd.Flags()
	flags.IntVar(&f.Clients, "clients", 1, "how many work at once")
	flags.DurationVar(&f.Duration, "duration", 5*time.Second, "how long to measure")
	flags.IntVar(&f.Events, "events", 0, events)
	flags.IntVar(&f.Batch, "batch", 0, batch)
	flags.IntVar(&f.Streams, "streams", 0, streams)
	f.content(cmd)
}

func (f *benchFlags) content(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.Payload, "payload", bench.DefaultPayload, "`bytes` of data in each event that is appended")
	cmd.Flags().IntVar(&f.Relations, "relations", bench.DefaultRelations, "relations of each event that is appended")
}

// people are the flags of what is measured with personal data.
func (f *benchFlags) people(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.Personal, "personal", 0, "personal values of each event; their keys end with the bench")
	cmd.Flags().IntVar(&f.Subjects, "subjects", 1000, "with --personal: people whom the events are about")
}

func (f *benchFlags) mayAppend(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.intoExisting, "into-existing", false,
		"append also to a store that holds events which no bench made; they stay there for ever")
}

const (
	fillFlag    = "events to fill an empty store with first (default 200000)"
	streamsFlag = "streams the events are spread over (default 10000)"
)

func (a *app) benchAppend() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "append", Short: "Measure appends, and the disk beside them", Args: want(),
		Long: `Clients append as fast as they can, each to streams of its own. With --condition version every
append names the exact version of its stream; with query it fails if there are events about its
entity since the client's last append; with none it depends on nothing.

Right after it the same bytes are written to a file whose place is reserved, with one sync for
each commit of the same size: ratio_to_raw is the share of that rate which the store reaches.

With --personal the store must be new: people are made known first, and values of theirs sealed.
What that costs shows beside --clear: the same events, about the same people, checked against a
schema that declares the same values business facts.`,
		Example: "  lethe bench append --clients 64\n  lethe bench append --batch 1000 --duration 30s -o json\n" +
			"  lethe bench append --clients 64 --personal 2 --subjects 10000 --new-ratio 0.1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Condition = bench.Condition(f.condition)
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Append(ctx, f.Options)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	f.register(cmd, "events in each append (default 1)", "end after so many events (default: by time only)", streamsFlag)
	f.mayAppend(cmd)
	f.people(cmd)
	cmd.Flags().Float64Var(&f.NewRatio, "new-ratio", 0, "with --personal: `share` of events about somebody new, 0 to 1")
	cmd.Flags().BoolVar(&f.Clear, "clear", false, "with --personal: the same events with their values in clear")
	cmd.Flags().StringVar(&f.condition, "condition", string(bench.Version), "version, query or none")
	return cmd
}

func (a *app) benchRead() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "read", Short: "Measure scans of the whole log", Args: want(),
		Long: `Clients read the whole log from its start, again and again. An empty store is filled first.

With --purpose a new store is filled with sealed values, which are opened for it; the record of
what was opened is durable before it is given out.`,
		Example: "  lethe bench read\n  lethe bench read --clients 2 --store ./data -o json\n" +
			"  lethe bench read --purpose support",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Read(ctx, f.Options)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	f.register(cmd, "not used", fillFlag, "not used")
	hide(cmd, "batch", "streams")
	f.people(cmd)
	cmd.Flags().StringVar(&f.Purpose, "purpose", "", "open what is sealed, --personal 2 unless given, for this purpose")
	return cmd
}

func (a *app) benchStream() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "stream", Short: "Measure loading single streams", Args: want(),
		Long: `Clients load streams chosen at random, each from its first event on. All of them are loaded
once before, so that what is measured is warm. An empty store is filled first.`,
		Example: "  lethe bench stream\n  lethe bench stream --batch 1000 --store ./data -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Stream(ctx, f.Options)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	f.register(cmd, "events to load from each stream (default 100)", fillFlag, "streams to choose from (default 1000)")
	return cmd
}

func (a *app) benchFollow() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "follow", Short: "Measure followers: catching up, and how soon they have what is appended", Args: want(),
		Long: `Followers with durable checkpoints catch up with the log, then events are appended at a fixed
rate. p50_ms and p99_ms are from before an append until a follower applies its event. An empty
store is filled first.`,
		Example: "  lethe bench follow\n  lethe bench follow --clients 4 --rate 500 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Follow(ctx, f.Options)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	f.register(cmd, "events in each append (default 1)", fillFlag, streamsFlag)
	f.mayAppend(cmd)
	cmd.Flags().IntVar(&f.Rate, "rate", 1000, "appends per second")
	cmd.Flags().BoolVar(&f.Plain, "plain", false, "subscriptions that store no checkpoint, instead of followers")
	return cmd
}

func (a *app) benchGrowth() *cobra.Command {
	var f benchFlags
	var o bench.GrowthOptions
	cmd := &cobra.Command{
		Use: "growth", Short: "Measure a store again and again while it grows", Args: want(),
		Long: `Fills a new store with events, in batches of 1,000. At every --every events it shows the rate of
appends since the row before, how long loading a stream of 100 events and a query with 100 hits
take (the median of 200 anywhere in the log), how long opening takes, and the size of the files.`,
		Example: "  lethe bench growth\n  lethe bench growth --events 30000000 --store /big/disk/growth -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Payload, o.Relations = f.Payload, f.Relations
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Growth(ctx, o)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	cmd.Flags().IntVar(&o.Events, "events", 3_000_000, "events to which the store grows")
	cmd.Flags().IntVar(&o.Every, "every", 1_000_000, "events between two rows")
	f.content(cmd)
	return cmd
}

func (a *app) benchKeys() *cobra.Command {
	var f benchFlags
	var o bench.KeysOptions
	cmd := &cobra.Command{
		Use: "keys", Short: "Measure the keys of many people", Args: want(),
		Long: `Makes people known in a new store, asks for their keys, warm and cold, and begins a new epoch of
keys while clients go on to append events with two sealed values.`,
		Example: "  lethe bench keys --people 100000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Payload, o.Relations = f.Payload, f.Relations
			return a.measure(cmd.Context(), &f, func(ctx context.Context, b *bench.Bench) (any, bool, error) {
				r, err := b.Keys(ctx, o)
				return r, r != nil && r.Interrupted, err
			})
		},
	}
	cmd.Flags().IntVar(&o.People, "people", 1_000_000, "how many")
	cmd.Flags().IntVar(&o.Clients, "clients", 64, "how many append")
	cmd.Flags().DurationVar(&o.Duration, "duration", 5*time.Second, "how long they do so before the new epoch")
	f.content(cmd)
	return cmd
}

func hide(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic("a flag that was just made is there")
		}
	}
}

// measure runs one measurement on the store that is named, or on a scratch store, and shows its result.
func (a *app) measure(ctx context.Context, f *benchFlags,
	run func(ctx context.Context, b *bench.Bench) (result any, interrupted bool, err error),
) (err error) {
	progress := &benchMeter{app: a, duration: f.Duration}
	b := &bench.Bench{Clock: a.Clock, IntoExisting: f.intoExisting, Progress: progress.at}
	if a.remote() {
		b.Dial = func(ctx context.Context) (*lethe.Store, error) {
			c, err := a.dial(ctx)
			if err != nil {
				return nil, err
			}
			return c.Store, nil
		}
	} else {
		if b.Folder = a.settings.Store; opening.Database(b.Folder) {
			b.Folder = "" // its disk is elsewhere
		} else if a.settings.Source(setting.Store) == "default" {
			if b.Folder, err = os.MkdirTemp("", "lethe-bench-"); err != nil {
				return fmt.Errorf("make scratch store: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(b.Folder)) }()
			a.out.Say("measuring a scratch store in %s", b.Folder)
		}
		place := cmp.Or(b.Folder, a.settings.Store)
		b.Open = func(ctx context.Context) (storage.Store, error) { // the engine itself: it is what is measured
			engine, _, err := a.opener().Engine(ctx, opening.Place{Name: place}, opening.Creating)
			return engine, err
		}
		keys := &benchKeys{app: a, place: place}
		b.OpenKeys = keys.open
		defer func() { err = errors.Join(err, keys.end()) }()
	}
	result, interrupted, err := run(ctx, b)
	progress.stop()
	if err != nil {
		return err
	}
	if err := a.showBench(result); err != nil {
		return err
	}
	if interrupted {
		return &outcome{errInterrupted, "bench: it was interrupted; the result holds what was measured until then",
			"run it again for the whole time"}
	}
	return nil
}

// benchKeys are the keys of one measurement, and end with it. The wrapped ones lie with the store.
type benchKeys struct {
	app     *app
	place   string // of the store
	folder  string // of the root keys
	service *localkms.KMS
}

func (k *benchKeys) open(ctx context.Context) (_ *bench.Keys, err error) {
	if k.folder, err = os.MkdirTemp("", "lethe-bench-keys-"); err != nil {
		return nil, fmt.Errorf("make key folder: %w", err)
	}
	if k.service, err = localkms.Open(ctx, k.folder, &localkms.Options{Clock: k.app.Clock}); err != nil {
		return nil, err
	}
	keys := &bench.Keys{Service: k.service, Notations: opening.Notations()}
	if opening.Database(k.place) {
		keys.Keystore, err = pgkeys.Open(ctx, k.place, &pgkeys.Options{Clock: k.app.Clock, Create: true})
	} else {
		keys.Keystore, err = sqlitekeys.Open(ctx, k.place, nil)
	}
	return keys, err
}

func (k *benchKeys) end() (err error) {
	if k.service != nil {
		err = k.service.Close()
	}
	if k.folder != "" {
		err = errors.Join(err, os.RemoveAll(k.folder))
	}
	return err
}

// benchMeter shows one bar for each phase of a measurement.
type benchMeter struct {
	app      *app
	duration time.Duration
	phase    string
	meter    *show.Meter
}

func (m *benchMeter) at(p bench.Progress) {
	if p.Phase != m.phase {
		m.stop()
		m.phase, m.meter = p.Phase, m.app.out.Meter(p.Phase)
	}
	done, total := int64(p.Events), int64(p.Total)
	if total == 0 {
		done, total = int64(p.Elapsed), int64(m.duration)
	}
	m.meter.At(done, total, int64(p.Events), "events")
}

func (m *benchMeter) stop() {
	if m.meter != nil {
		m.meter.Stop()
	}
}

// showBench writes a result: growth as rows, the others as one thing.
func (a *app) showBench(result any) error {
	growth, ok := result.(*bench.GrowthResult)
	switch {
	case ok && strings.HasPrefix(a.settings.Output, show.JSON):
		return a.out.Single(result)
	case !ok:
		return a.out.Single(result, a.figures(reflect.ValueOf(result).Elem(), "")...)
	}
	list := a.out.List("events", "events per second", "append p99 ms", "stream p50 ms", "query p50 ms", "open ms",
		"file MB")
	for _, row := range growth.Rows {
		err := list.Add(row, fmt.Sprint(row.Events), fmt.Sprintf("%.0f", row.AppendPer), fmt.Sprintf("%.1f", row.AppendP99),
			fmt.Sprintf("%.3f", row.Stream), fmt.Sprintf("%.3f", row.Query), fmt.Sprintf("%.0f", row.Open),
			fmt.Sprintf("%.1f", float64(row.Bytes)/1e6))
		if err != nil {
			return err
		}
	}
	return list.Close()
}

// figures are the fields of a result, in their order and under the names that its JSON has.
func (a *app) figures(v reflect.Value, prefix string) []show.Field {
	var list []show.Field
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name := prefix + f.Tag.Get("json")
		switch {
		case value.Kind() == reflect.Pointer && value.IsNil(): // not measured
		case f.Anonymous:
			list = append(list, a.figures(reflect.Indirect(value), prefix)...)
		case value.Kind() == reflect.Struct:
			list = append(list, a.figures(value, name+" ")...)
		default:
			list = append(list, show.Field{strings.ReplaceAll(name, "_", " "), a.figure(value)})
		}
	}
	return list
}

// figure writes a number for people, or in CSV for programs.
func (a *app) figure(v reflect.Value) string {
	plain := a.settings.Output == show.CSV
	switch {
	case v.Kind() == reflect.String || v.Kind() == reflect.Bool || plain:
		return fmt.Sprint(v.Interface())
	case v.CanUint():
		return humanize.Comma(int64(v.Uint()))
	case v.CanInt():
		return humanize.Comma(v.Int())
	case v.Float() >= 1000:
		return humanize.Comma(int64(v.Float()))
	}
	return strconv.FormatFloat(v.Float(), 'g', 3, 64)
}
