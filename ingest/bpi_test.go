package ingest_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
)

const bpiFile = "bpi-challenge-2012.xes.gz"

// bpi is the real log as an input. It lies beside the module or in $LETHE_DATA, and is not part of the project.
func bpi(tb testing.TB) (ingest.Input, bool) {
	tb.Helper()
	dir := os.Getenv("LETHE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(dir, bpiFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		tb.Logf("THE REAL LOG IS ABSENT: %s is not in %s, so nothing was checked against it; "+
			"set LETHE_DATA to its folder", bpiFile, dir)
		return ingest.Input{}, false
	}
	if err != nil {
		tb.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	return ingest.Input{Name: bpiFile, Size: info.Size(), Open: open}, true
}

func loansMap(tb testing.TB) *ingest.Map {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", "loans", "import.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := ingest.ParseMap(text)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// census counts what it is given and keeps nothing of it.
type census struct {
	registered, activities, declinedBySystem, withoutIssuer int
	streams                                                 map[event.StreamID]bool
	ids                                                     map[event.ID]bool
	early                                                   int // events that came before their registration
	invalid                                                 int
}

func (c *census) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	for _, r := range requests {
		w := r.Writes[0]
		d := w.Events[0]
		c.ids[d.ID] = true
		if d.Validate() != nil || w.Stream.Validate() != nil || len(r.Writes) != 1 || len(w.Events) != 1 {
			c.invalid++
		}
		if d.Type == "ApplicationRegistered" {
			c.registered++
			c.streams[w.Stream] = true
			continue
		}
		c.activities++
		if !c.streams[w.Stream] {
			c.early++
		}
		switch {
		case len(d.Relations) == 0:
			c.withoutIssuer++
		case d.Relations[0].String() == "issuer=employee/112" && d.Type == "A_DECLINED+COMPLETE":
			c.declinedBySystem++
		}
	}
	return make([]log.Outcome, len(requests))
}

func TestRealLog(t *testing.T) {
	in, ok := bpi(t)
	m := loansMap(t)
	if !ok {
		return
	}
	c := &census{streams: map[event.StreamID]bool{}, ids: map[event.ID]bool{}}
	var last ingest.Progress
	sum, err := ingest.Run(t.Context(), c, [32]byte{1}, m, []ingest.Input{in},
		ingest.Options{Progress: func(p ingest.Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	sum.Seconds = 0
	if diff := cmp.Diff(ingest.Summary{Records: 275287, EventsAdded: 275287}, sum); diff != "" {
		t.Error(diff)
	}
	for _, n := range []struct {
		what      string
		got, want int
	}{
		{"registrations", c.registered, 13087},
		{"activity events", c.activities, 262200},
		{"streams", len(c.streams), 13087},
		{"different ids", len(c.ids), 275287},
		{"events before their registration", c.early, 0},
		{"invalid requests", c.invalid, 0},
		{"events without a resource", c.withoutIssuer, 18010},
		{"applications declined by the automatic system", c.declinedBySystem, 3429},
	} {
		if n.got != n.want {
			t.Errorf("%d %s, want %d", n.got, n.what, n.want)
		}
	}
	if last.Bytes != in.Size || last.Total != in.Size || last.Added != 275287 {
		t.Errorf("the last progress is %+v, want all %d bytes", last, in.Size)
	}
}

// discard takes everything and keeps nothing.
type discard struct{ events int }

func (d *discard) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	for _, r := range requests {
		for _, w := range r.Writes {
			d.events += len(w.Events)
		}
	}
	return make([]log.Outcome, len(requests))
}

// BenchmarkRealLog reads and maps the packed log; MB/s are of the XML inside.
func BenchmarkRealLog(b *testing.B) {
	in, ok := bpi(b)
	if !ok {
		return
	}
	m := loansMap(b)
	b.ReportAllocs()
	b.SetBytes(74_000_000)
	for b.Loop() {
		d := &discard{}
		if _, err := ingest.Run(b.Context(), d, [32]byte{1}, m, []ingest.Input{in}, ingest.Options{}); err != nil {
			b.Fatal(err)
		}
		if d.events != 275287 {
			b.Fatalf("%d events", d.events)
		}
	}
}
