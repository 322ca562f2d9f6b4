package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/bench"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// engines are what a bench is tried on; each call gives a new store.
func engines(t *testing.T) map[string]func(*testing.T) *bench.Bench {
	t.Helper()
	return map[string]func(*testing.T) *bench.Bench{
		"sqlite": onSQLite,
		"postgres": func(t *testing.T) *bench.Bench {
			place := pgtest.Place(t)
			return &bench.Bench{Clock: event.SystemClock{}, Open: func(ctx context.Context) (storage.Store, error) {
				return postgres.Open(ctx, place, &postgres.Options{Create: true})
			}}
		},
		"memory": func(t *testing.T) *bench.Bench {
			return &bench.Bench{
				Folder: t.TempDir(), Clock: event.SystemClock{},
				Open: func(context.Context) (storage.Store, error) { return memory.Open(memory.Options{}), nil },
			}
		},
	}
}

func onSQLite(t *testing.T) *bench.Bench {
	dir := t.TempDir()
	return &bench.Bench{
		Folder: dir, Clock: event.SystemClock{},
		Open: func(ctx context.Context) (storage.Store, error) { return sqlite.Open(ctx, dir, nil) },
	}
}

func short(o bench.Options) bench.Options {
	o.Duration, o.Payload, o.Relations = 200*time.Millisecond, bench.DefaultPayload, bench.DefaultRelations
	return o
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*math.Abs(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func checkRun(t *testing.T, r bench.Run, name string, clients int) {
	t.Helper()
	if r.Bench != name || r.Clients != clients || r.Events == 0 || r.Interrupted || r.CPU <= 0 {
		t.Errorf("run is %+v", r)
	}
	near(t, "events_per_second", r.EventsPer, float64(r.Events)/r.Seconds)
}

func checkLatency(t *testing.T, l bench.Latency) {
	t.Helper()
	if l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
		t.Errorf("latency is %+v", l)
	}
}

func checkRaw(t *testing.T, b *bench.Bench, r *bench.AppendResult) {
	t.Helper()
	if b.Folder == "" {
		if r.Raw != nil {
			t.Errorf("a disk was measured, which is elsewhere: %+v", r.Raw)
		}
		return
	}
	near(t, "ratio_to_raw", r.RatioToRaw, r.EventsPer/r.RawEventsPer)
	near(t, "raw_events_per_second", r.RawEventsPer, r.RawCommitsPer*r.EventsPerCommit)
	if want := r.Bytes.Total() * r.EventsPerCommit; math.Abs(float64(r.RawBytesPerCommit)-want) > 1 {
		t.Errorf("raw_bytes_per_commit is %d, want %v", r.RawBytesPerCommit, want)
	}
}

func TestAppend(t *testing.T) {
	for name, open := range engines(t) {
		for _, o := range []bench.Options{
			{Clients: 1, Batch: 1}, {Clients: 8, Batch: 1, Condition: bench.Query},
			{Clients: 2, Batch: 100, Condition: bench.None}, {Clients: 3, Batch: 10, Streams: 2},
		} {
			t.Run(name, func(t *testing.T) {
				b := open(t)
				r, err := b.Append(t.Context(), short(o))
				if err != nil {
					t.Fatal(err)
				}
				checkRun(t, r.Run, "append", o.Clients)
				checkLatency(t, r.Latency)
				if r.Events != r.Appends*uint64(o.Batch) || r.Commits == 0 || r.Commits > r.Appends {
					t.Errorf("%d events in %d appends and %d commits", r.Events, r.Appends, r.Commits)
				}
				near(t, "events_per_commit", r.EventsPerCommit, float64(r.Events)/float64(r.Commits))
				near(t, "appends_per_second", r.AppendsPer, float64(r.Appends)/r.Seconds)
				checkRaw(t, b, r)
				if r.Bytes.Payload != bench.DefaultPayload || r.Bytes.Envelope <= 0 {
					t.Errorf("bytes are %+v", r.Bytes)
				}
				if left, err := os.ReadDir(orEmpty(t, b.Folder)); err != nil || name == "memory" && len(left) > 0 {
					t.Errorf("left in the folder: %v, %v", left, err)
				}
			})
		}
	}
}

// TestAppendAddsUp compares the parts of bytes_per_event with what the engine says.
func TestAppendAddsUp(t *testing.T) {
	b := onSQLite(t)
	engine, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := func() (bytes int64) {
		sizes, err := engine.Sizes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sizes {
			bytes += s.Bytes
		}
		return bytes
	}
	before := sum()
	open := bench.Bench{Folder: b.Folder, Clock: b.Clock, Open: func(context.Context) (storage.Store, error) {
		return unclosed{engine}, nil
	}}
	r, err := open.Append(t.Context(), bench.Options{Batch: 50, Events: 1000, Payload: 500, Duration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 1000 {
		t.Errorf("%d events, want 1000", r.Events)
	}
	near(t, "total of bytes_per_event", r.Bytes.Total(), float64(sum()-before)/1000)
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
}

type unclosed struct{ storage.Store }

func (unclosed) Close() error { return nil }

// TestAppendAgain: a store that only a bench has written to is measured again and again.
func TestAppendAgain(t *testing.T) {
	b := onSQLite(t)
	for range 3 {
		o := bench.Options{Clients: 4, Events: 100, Duration: time.Minute, Payload: 64}
		if r, err := b.Append(t.Context(), o); err != nil || r.Events != 100 {
			t.Fatal(r, err)
		}
	}
}

func TestForeignStore(t *testing.T) {
	for _, kind := range []string{"application", "zebra", "lethe-bencher"} {
		b := onSQLite(t)
		if _, err := b.Append(t.Context(), bench.Options{Events: 10, Duration: time.Minute, Payload: 64}); err != nil {
			t.Fatal(err)
		}
		before := foreign(t, b, kind)
		for name, run := range map[string]func(o bench.Options) error{
			"append": func(o bench.Options) error { _, err := b.Append(t.Context(), o); return err },
			"follow": func(o bench.Options) error { _, err := b.Follow(t.Context(), o); return err },
			"growth": func(bench.Options) error { _, err := b.Growth(t.Context(), bench.GrowthOptions{}); return err },
		} {
			if err := run(short(bench.Options{})); !errors.Is(err, event.ErrInvalid) {
				t.Errorf("%s beside kind %s: %v", name, kind, err)
			}
		}
		if after := position(t, b); after != before {
			t.Errorf("position is %d, want %d", after, before)
		}
		if r, err := b.Read(t.Context(), short(bench.Options{})); err != nil || r.Log != uint64(before) {
			t.Errorf("read: %+v, %v", r, err)
		}
		b.IntoExisting = true
		if _, err := b.Append(t.Context(), bench.Options{Events: 10, Duration: time.Minute, Payload: 64}); err != nil {
			t.Error(err)
		}
		if after := position(t, b); after != before+10 {
			t.Errorf("position is %d, want %d", after, before+10)
		}
	}
}

func use(t *testing.T, b *bench.Bench, do func(s *lethe.Store)) {
	t.Helper()
	engine, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	do(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func foreign(t *testing.T, b *bench.Bench, kind string) (p event.Position) {
	t.Helper()
	use(t, b, func(s *lethe.Store) {
		r, err := s.As(event.Actor{}).Append(t.Context(), event.Stream(kind, "1"), event.Any, event.Draft{Type: "Real"})
		if err != nil {
			t.Fatal(err)
		}
		p = r.Last()
	})
	return p
}

func position(t *testing.T, b *bench.Bench) (p event.Position) {
	t.Helper()
	use(t, b, func(s *lethe.Store) {
		head, err := s.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p = head.Position
	})
	return p
}

func TestRead(t *testing.T) {
	for name, open := range engines(t) {
		t.Run(name, func(t *testing.T) {
			r, err := open(t).Read(t.Context(), short(bench.Options{Clients: 2, Events: 5500}))
			if err != nil {
				t.Fatal(err)
			}
			checkRun(t, r.Run, "read", 2)
			if r.Log != 5500 || r.Events < r.Scans*5500 || r.Events > (r.Scans+2)*5500 {
				t.Errorf("%d events in %d scans of %d", r.Events, r.Scans, r.Log)
			}
			near(t, "mb_per_second", r.MBPer, r.EventsPer*bench.DefaultPayload/1e6)
		})
	}
}

func TestStream(t *testing.T) {
	for name, open := range engines(t) {
		t.Run(name, func(t *testing.T) {
			r, err := open(t).Stream(t.Context(), short(bench.Options{Clients: 2, Batch: 7, Events: 7000, Streams: 90}))
			if err != nil {
				t.Fatal(err)
			}
			checkRun(t, r.Run, "stream", 2)
			checkLatency(t, r.Latency)
			if r.PerStream != 7 || r.Streams != 90 || r.Events != 7*r.Loads {
				t.Errorf("%d loads of %v events from %d streams", r.Loads, r.PerStream, r.Streams)
			}
		})
	}
}

// TestStreamShort: where no stream is as long as wanted, what there is is loaded.
func TestStreamShort(t *testing.T) {
	b := onSQLite(t)
	foreign(t, b, "application")
	r, err := b.Stream(t.Context(), short(bench.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if r.PerStream != 1 || r.Streams != 1 {
		t.Errorf("loads of %v events from %d streams", r.PerStream, r.Streams)
	}
}

func TestFollow(t *testing.T) {
	for name, open := range engines(t) {
		t.Run(name, func(t *testing.T) {
			r, err := open(t).Follow(t.Context(), short(bench.Options{Clients: 2, Events: 3000, Rate: 500, Batch: 3}))
			if err != nil {
				t.Fatal(err)
			}
			checkRun(t, r.Run, "follow", 2)
			checkLatency(t, r.Latency)
			if r.Events != 2*3000 || r.Live == 0 || r.Live%3 != 0 || r.Delivered != 2*r.Live {
				t.Errorf("%d events caught up with, %d live, %d delivered", r.Events, r.Live, r.Delivered)
			}
		})
	}
}

func TestGrowth(t *testing.T) {
	b := onSQLite(t)
	r, err := b.Growth(t.Context(), bench.GrowthOptions{Events: 5000, Every: 2000, Relations: 2, Payload: 64})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 5000 || len(r.Rows) != 3 {
		t.Fatalf("growth is %+v", r)
	}
	for i, row := range r.Rows {
		if want := min(5000, 2000*(i+1)); row.Events != uint64(want) {
			t.Errorf("row %d is at %d events, want %d", i, row.Events, want)
		}
		if row.AppendPer <= 0 || row.Stream <= 0 || row.Query <= 0 || row.Open <= 0 || row.Bytes < int64(row.Events)*64 {
			t.Errorf("row %d is %+v", i, row)
		}
	}
}

// TestInterrupted: the end of the context is no error, and the result holds what was measured.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := onSQLite(t)
	b.Progress = func(p bench.Progress) {
		if p.Phase == "append" && p.Events > 0 {
			cancel()
		}
	}
	r, err := b.Append(ctx, bench.Options{Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Events == 0 || r.RawEventsPer == 0 {
		t.Errorf("result is %+v", r)
	}
}

func TestOptionsRefused(t *testing.T) {
	b := bench.Bench{Clock: event.SystemClock{}, Open: func(context.Context) (storage.Store, error) {
		t.Error("the store was opened")
		return nil, event.ErrFailed
	}}
	for _, o := range []bench.Options{
		{Clients: -1}, {Clients: 100_000}, {Batch: 10_001}, {Payload: 8}, {Payload: 2 << 20}, {Relations: 101},
		{Streams: -1}, {Rate: -1}, {Events: -1}, {Duration: -1}, {Condition: "maybe"},
	} {
		if _, err := b.Append(t.Context(), o); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("append with %+v: %v", o, err)
		}
		if _, err := b.Read(t.Context(), o); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("read with %+v: %v", o, err)
		}
	}
	if _, err := b.Growth(t.Context(), bench.GrowthOptions{Events: 10}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("growth: %v", err)
	}
}

func TestJSON(t *testing.T) {
	r, err := onSQLite(t).Append(t.Context(), bench.Options{Events: 10, Duration: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, name := range []string{
		"bench", "events_per_second", "appends_per_second", "p50_ms", "p99_ms", "max_ms", "clients", "batch", "events",
		"seconds", "raw_events_per_second", "ratio_to_raw", "cpu_seconds", "go", "cores", "commits", "interrupted",
	} {
		if _, ok := fields[name]; !ok {
			missing = append(missing, name)
		}
	}
	parts, _ := fields["bytes_per_event"].(map[string]any)
	for _, name := range []string{"payload", "envelope", "ids", "postings", "streams", "commitments", "tree", "other"} {
		if _, ok := parts[name].(float64); !ok {
			missing = append(missing, "bytes_per_event."+name)
		}
	}
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Error(diff)
	}
}

// orEmpty is a folder, or an empty one.
func orEmpty(t *testing.T, folder string) string {
	if folder == "" {
		return t.TempDir()
	}
	return folder
}
