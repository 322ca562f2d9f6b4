package main_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	loans "github.com/lethe-es/lethe/examples/loans"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/memory"
)

func generate(t *testing.T, seed uint64, n int) []demo.Life {
	t.Helper()
	lives, err := demo.Generate(seed, n)
	if err != nil {
		t.Fatal(err)
	}
	return lives
}

// direct computes the summary from the lives, without a store and without the report.
func direct(lives []demo.Life) loans.Summary {
	s := loans.Summary{
		Applications: len(lives), Outcomes: map[string]int{}, Median: map[string]time.Duration{},
	}
	took := map[string][]time.Duration{}
	busy := map[string]int{}
	for _, life := range lives {
		for _, step := range life.Steps {
			busy[string(step.Actor)]++
		}
		first, last := life.Steps[0], life.Steps[len(life.Steps)-1]
		outcome := last.Draft.Type
		if !slices.Contains([]string{demo.Accepted, demo.Declined, demo.Cancelled}, outcome) {
			s.Outcomes[""]++
			continue
		}
		s.Outcomes[outcome]++
		took[outcome] = append(took[outcome], last.Draft.OccurredAt.Sub(first.Draft.OccurredAt))
		if last.Actor == demo.System {
			s.Automatic++
		}
	}
	for outcome, times := range took {
		slices.Sort(times)
		s.Median[outcome] = times[len(times)/2]
	}
	for number, n := range busy {
		s.Busiest = append(s.Busiest, loans.Employee{Number: number, Events: n})
	}
	slices.SortFunc(s.Busiest, func(a, b loans.Employee) int {
		if a.Events != b.Events {
			return b.Events - a.Events
		}
		return strings.Compare(a.Number, b.Number)
	})
	s.Busiest = s.Busiest[:min(5, len(s.Busiest))]
	return s
}

func openMemory(t *testing.T) (*lethe.Store, *memory.Store) {
	t.Helper()
	engine := memory.Open(memory.Options{})
	store, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store, engine
}

func TestReportIsTheDirectComputation(t *testing.T) {
	lives := generate(t, 5, 60)
	store, cursors := openMemory(t)
	played, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives)
	if err != nil {
		t.Fatal(err)
	}
	report := loans.NewReport()
	ended := make(chan error, 1)
	go func() { ended <- follow.Run(t.Context(), store.As(event.Actor{}), cursors, report, nil) }()
	if err := report.Reached(t.Context(), played.Last); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; event.Code(err) != "unavailable" {
		t.Errorf("following ended with %v", err)
	}
	if diff := cmp.Diff(direct(lives), report.Summary(string(demo.System))); diff != "" {
		t.Errorf("the report differs from the lives (-lives +report):\n%s", diff)
	}
}

// TestRun gives the whole demonstration twice on one folder, and holds what a newcomer sees of it.
func TestRun(t *testing.T) {
	o := loans.Options{Store: filepath.Join(t.TempDir(), "data"), Seed: 2, Applications: 80}
	var outputs [2]string
	for i := range outputs {
		var out strings.Builder
		if err := loans.Run(t.Context(), &out, o); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\n"); n > 40 {
			t.Errorf("%d lines are more than fit a screen", n)
		}
		outputs[i] = out.String()
	}
	for _, what := range []string{`(?s)●.*outcome.*busiest employees`, `Merkle root is ([0-9a-f]+)`} {
		pattern := regexp.MustCompile(what)
		first, second := pattern.FindString(outputs[0]), pattern.FindString(outputs[1])
		if first == "" || first != second {
			t.Errorf("%s: %q and then %q", what, first, second)
		}
	}
	for _, what := range []string{
		`sealed +4 values about who registered .*: contact, finance, identity`,
		`in the log .*"name":null,"birth_date":null,"email":null,"income":null`,
		`for support .*"name":"[^"]+","birth_date":"[^"]+","email":"[^"]+@example.org","income":null`,
		`uses +noted before it was shown: service/loans, support, ticket 7: contact, identity, reference`,
		`restrict .*: opened, then restricted`,
		`search .* no applicant's e-mail address`,
	} {
		if !regexp.MustCompile(what).MatchString(outputs[0]) {
			t.Errorf("nothing is like %s in\n%s", what, outputs[0])
		}
	}
	if !strings.Contains(outputs[1], "restricted, then restricted") {
		t.Errorf("the restriction is gone:\n%s", outputs[1])
	}
	if !strings.Contains(outputs[1], "were there already") || strings.Contains(outputs[0], "were there already") {
		t.Errorf("the second run must say that it added nothing:\n%s", outputs[1])
	}
}

// TestSearchFinds: an address that lies in clear beside the log is found.
func TestSearchFinds(t *testing.T) {
	o := loans.Options{Store: filepath.Join(t.TempDir(), "data"), Seed: 2, Applications: 5}
	if err := loans.Run(t.Context(), io.Discard, o); err != nil {
		t.Fatal(err)
	}
	planted := "to: " + demo.Applicant("2-0003").Email
	if err := os.WriteFile(filepath.Join(o.Store, "letter.tmp"), []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loans.Run(t.Context(), io.Discard, o); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("with an address in clear it gives %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	if err := loans.Run(t.Context(), &strings.Builder{}, loans.Options{}); event.Code(err) != "malformed_number" {
		t.Errorf("no applications gave %v", err)
	}
}

// The report of a few applications, from their events alone.
func Example() {
	lives, err := demo.Generate(1, 200)
	if err != nil {
		panic("the generator failed")
	}
	report := loans.NewReport()
	position := event.Position(0)
	for _, life := range lives {
		for _, step := range life.Steps {
			position++
			issuer := event.Actor{Kind: "employee", ID: step.Actor}.Issuer()
			step.Draft.Relations = append(step.Draft.Relations, issuer)
			report.Take(event.Event{Position: position, Stream: life.Stream, Draft: step.Draft})
		}
	}
	report.Summary(string(demo.System)).Print(os.Stdout)
	// Output:
	//   outcome                                                  median time to decision
	//   accepted           87   43.5%   ██████████▌              4 d 22 h
	//   declined           66   33.0%   ████████                 9 h 6 min
	//   cancelled          39   19.5%   ████▌                    7 d 18 h
	//   still open          8    4.0%   █
	//
	//   busiest employees    112 (572) · 11 (92) · 10 (89) · 12 (88) · 13 (73)
	//   nobody looked at     43 of 192 decisions (issuer employee/112 is the bank's own program)
}
