package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// openKeys opens a store that may hold people.
func openKeys(t *testing.T, engine storage.Store, keys storage.Keystore) *lethe.Store {
	t.Helper()
	o := &lethe.Options{Keystore: keys, Notations: []schema.Notation{jsonschema.New()}}
	store, err := lethe.Open(t.Context(), engine, kmstest.New(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// openBank opens a store in memory that is the bank's.
func openBank(t *testing.T) *lethe.Store {
	t.Helper()
	store := openKeys(t, memory.Open(memory.Options{}), memory.NewKeys())
	declare(t, store)
	return store
}

func declare(t *testing.T, store *lethe.Store) {
	t.Helper()
	if err := demo.Declare(t.Context(), store); err != nil {
		t.Fatal(err)
	}
}

func head(t *testing.T, store *lethe.Store) event.Position {
	t.Helper()
	h, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Position
}

func TestApplicantIsTheSame(t *testing.T) {
	want := demo.Person{
		Reference: "C-173688", Name: "Lars Visser", Email: "lars.visser.7b11@example.org",
		BirthDate: "2001-11-16", Income: "4784.27",
	}
	if diff := cmp.Diff(want, demo.Applicant("173688")); diff != "" {
		t.Error(diff)
	}
	seen := make(map[string]bool)
	for _, life := range generate(t, 1, 2000) {
		p := demo.Applicant(life.Stream.ID)
		if seen[p.Email] || seen[p.Reference] {
			t.Errorf("%s is somebody else's, too", p.Reference)
		}
		seen[p.Email], seen[p.Reference] = true, true
		if _, err := time.Parse(time.DateOnly, p.BirthDate); err != nil || !json.Valid([]byte(p.Income)) {
			t.Errorf("%s is born on %q and has %q", p.Reference, p.BirthDate, p.Income)
		}
	}
}

func TestWithPeopleLeavesLivesAlone(t *testing.T) {
	lives := generate(t, 5, 40)
	once := demo.WithPeople(lives)
	if diff := cmp.Diff(generate(t, 5, 40), lives, unexported); diff != "" {
		t.Errorf("the lives that were given are changed:\n%s", diff)
	}
	if diff := cmp.Diff(once, demo.WithPeople(lives), unexported); diff != "" {
		t.Errorf("one life has two applicants:\n%s", diff)
	}
}

func TestDeclareAgainChangesNothing(t *testing.T) {
	store := openBank(t)
	before := head(t, store)
	declare(t, store)
	if after := head(t, store); after != before || int(after) != 1+len(demo.Types()) {
		t.Errorf("the log went from %d to %d", before, after)
	}
	covered, err := store.Privacy().Coverage(t.Context(), nil)
	if err != nil || len(covered) != len(demo.Types()) {
		t.Errorf("%d types are declared: %v", len(covered), err)
	}
}

func TestDeclareLeavesAPolicyAlone(t *testing.T) {
	store := openKeys(t, memory.Open(memory.Options{}), memory.NewKeys())
	own := bytes.Replace(demo.Policy(), []byte("Example Bank AG"), []byte("Another Bank"), 1)
	if _, err := store.Privacy().SetPolicy(t.Context(), event.Actor{}, own, false); err != nil {
		t.Fatal(err)
	}
	declare(t, store)
	policy, err := store.Privacy().Policy(t.Context())
	if err != nil || policy.Document().Controllers["bank"].Name != "Another Bank" {
		t.Errorf("the policy was replaced: %v", err)
	}
}

func TestDeclareRefuses(t *testing.T) {
	if err := demo.Declare(t.Context(), openMemory(t)); !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("without a key service it gives %v", err)
	}
	store := openKeys(t, memory.Open(memory.Options{}), memory.NewKeys())
	if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), generate(t, 5, 2)); err != nil {
		t.Fatal(err)
	}
	if err := demo.Declare(t.Context(), store); event.Code(err) != "kind_in_use" {
		t.Errorf("where employees stand in clear it gives %v", err)
	}
}

// TestPeopleAgainAddNothing: references, sealed values and aliases are those of the first time.
func TestPeopleAgainAddNothing(t *testing.T) {
	lives := demo.WithPeople(generate(t, 5, 30))
	store := openBank(t)
	first, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives)
	if err != nil {
		t.Fatal(err)
	}
	before := head(t, store)
	second, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives)
	if err != nil {
		t.Fatal(err)
	}
	want := demo.Played{Events: first.Events, Repeated: first.Events, Last: first.Last}
	if diff := cmp.Diff(want, second); diff != "" || head(t, store) != before {
		t.Errorf("the log went from %d to %d:\n%s", before, head(t, store), diff)
	}
}

// opened are the events of a life, as an actor sees them for a purpose.
func opened(t *testing.T, s *lethe.Session, life *demo.Life) (all []event.Event) {
	t.Helper()
	for e, err := range s.Read(t.Context(), life.Stream, lethe.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestPeopleOpenForAPurpose(t *testing.T) {
	lives := demo.WithPeople(generate(t, 5, 10))
	store := openBank(t)
	if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives); err != nil {
		t.Fatal(err)
	}
	who := demo.Applicant(lives[0].Stream.ID)
	clerk := store.As(event.Actor{Kind: demo.Employee, ID: demo.Clerks()[0]})
	for _, test := range []struct {
		session *lethe.Session
		shows   []string
		hides   []string
	}{
		{clerk, nil, []string{who.Name, who.BirthDate, who.Email, who.Income, who.Reference}},
		{clerk.For("contract", ""), []string{who.Name, who.BirthDate, who.Email, who.Income}, nil},
		{clerk.For("support", "ticket 7"), []string{who.Name, who.BirthDate, who.Email}, []string{who.Income}},
		{store.As(event.Actor{Kind: "service", ID: "scorer"}).For("risk", ""),
			[]string{who.Income}, []string{who.Name, who.BirthDate, who.Email}},
	} {
		data := string(opened(t, test.session, &lives[0])[0].Data)
		for _, text := range test.shows {
			if !strings.Contains(data, text) {
				t.Errorf("%q is not in %s", text, data)
			}
		}
		for _, text := range test.hides {
			if strings.Contains(data, text) {
				t.Errorf("%q is in %s", text, data)
			}
		}
	}
	for _, number := range []event.ActorID{demo.System, "9"} { // no clerks
		session := store.As(event.Actor{Kind: demo.Employee, ID: number}).For("contract", "")
		for _, err := range session.Read(t.Context(), lives[0].Stream, lethe.Range{}) {
			if event.Code(err) != "purpose_denied" {
				t.Errorf("employee %s is answered with %v", number, err)
			}
		}
	}
}

func TestPlayWithPeople(t *testing.T) {
	store := openBank(t)
	watch(t, store, 120, demo.Options{Seed: 4, People: true})
	watch(t, store, 60, demo.Options{Seed: 4, People: true}) // it goes on
	lives := knownOf(generate(t, 4, 200))
	registered := 0
	for _, e := range events(t, store) {
		if e.Stream.Kind != demo.Kind {
			continue
		}
		if step := lives[e.Stream].Steps[e.Version-1]; step.Draft.ID != e.ID {
			t.Errorf("%s at version %d is of no life", e.Stream, e.Version)
		}
		if e.Type == demo.Registered {
			registered++
			if len(e.Withheld) != 4 {
				t.Errorf("%s withholds %v", e.Stream, e.Withheld)
			}
		}
	}
	if registered == 0 {
		t.Error("nobody registered")
	}
}

// TestNothingPersonalInClear: no value of any applicant, and no reference, is in any file of the store while it is
// open, after uses were recorded, and after it was closed.
func TestNothingPersonalInClear(t *testing.T) {
	dir := t.TempDir()
	engine, err := sqlite.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sqlitekeys.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	store := openKeys(t, engine, keys)
	declare(t, store)
	lives := demo.WithPeople(generate(t, 5, 60))
	if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives); err != nil {
		t.Fatal(err)
	}
	clerk := store.As(event.Actor{Kind: demo.Employee, ID: demo.Clerks()[0]}).For("contract", "case 7")
	for i := range lives {
		opened(t, clerk, &lives[i])
	}
	var canaries []string // what is short is looked for with what it stands beside, or chance would find it
	for i := range lives {
		p := demo.Applicant(lives[i].Stream.ID)
		canaries = append(canaries, p.Email, p.BirthDate, fmt.Sprintf("%q:%q", "name", p.Name),
			fmt.Sprintf("%q:%s", "income", p.Income), fmt.Sprintf("%q", p.Reference),
			string(rune(len(p.Reference)))+p.Reference) // as it stands in a person's record
	}
	scan(t, dir, canaries)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	scan(t, dir, canaries)
}

// scan looks for canaries in all files of a folder. What is known to be in clear must be found, or it looked at
// nothing.
func scan(t *testing.T, dir string, canaries []string) {
	t.Helper()
	var planted []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		for _, canary := range canaries {
			if bytes.Contains(content, []byte(canary)) {
				t.Errorf("%q is in clear in %s", canary, path)
			}
		}
		if bytes.Contains(content, []byte(demo.Registered)) {
			planted = append(planted, path)
		}
		return err
	})
	events := func(path string) bool { return strings.HasPrefix(path, "events.db") }
	if err != nil || !slices.ContainsFunc(planted, events) {
		t.Errorf("the types of the events are not found in %v: %v", planted, err)
	}
}

// TestPeopleWantSchemas: a store that would keep people in clear gets none.
func TestPeopleWantSchemas(t *testing.T) {
	lives := demo.WithPeople(generate(t, 5, 3))
	for _, store := range []*lethe.Store{openMemory(t), openKeys(t, memory.Open(memory.Options{}), memory.NewKeys())} {
		if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives); event.Code(err) != "no_schema" {
			t.Errorf("playing all gives %v", err)
		}
		err := demo.Play(t.Context(), store.As(event.Actor{}), demo.Options{People: true})
		if event.Code(err) != "no_schema" || head(t, store) != 0 {
			t.Errorf("playing gives %v, and the log is at %d", err, head(t, store))
		}
	}
}

// TestContextEnds: nothing is declared for who waits no longer.
func TestContextEnds(t *testing.T) {
	store := openKeys(t, memory.Open(memory.Options{}), memory.NewKeys())
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := demo.Declare(ctx, store); !errors.Is(err, context.Canceled) || head(t, store) != 0 {
		t.Errorf("it gives %v", err)
	}
}
