package bench_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/bench"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// withKeys is a bench on SQLite that can seal.
func withKeys(t *testing.T) *bench.Bench {
	b, service := onSQLite(t), kmstest.New(t)
	b.OpenKeys = func(ctx context.Context) (*bench.Keys, error) {
		keys, err := sqlitekeys.Open(ctx, b.Folder, nil)
		if err != nil {
			return nil, err
		}
		return &bench.Keys{Service: service, Keystore: keys, Notations: []schema.Notation{jsonschema.New()}}, nil
	}
	return b
}

func TestAppendSeals(t *testing.T) {
	b := withKeys(t)
	r, err := b.Append(t.Context(), short(bench.Options{Clients: 8, Personal: 3, Subjects: 50, NewRatio: 0.2}))
	if err != nil {
		t.Fatal(err)
	}
	s := r.SealingResult
	if s == nil || s.Personal != 3 || s.Subjects != 50 || s.NewRatio != 0.2 || s.PeoplePer <= 0 || s.PersonBytes <= 0 {
		t.Fatalf("of people it says %+v", s)
	}
	checkRun(t, r.Run, "append", 8)
	near(t, "values", s.Boxes.Values, 3*18)
	if s.Boxes.Around < 2*(32+12+16+32+16) {
		t.Errorf("two boxes take %+v", s.Boxes)
	}
	near(t, "sealed", r.Bytes.Sealed, s.Boxes.Values+s.Boxes.Around)
	if r.Bytes.Payload < 100 || r.Bytes.Payload > bench.DefaultPayload {
		t.Errorf("%v bytes of data are left in clear", r.Bytes.Payload)
	}
	checkSealed(t, b.Folder)
}

// The same events in clear: people are known by aliases, their values stay, and nothing is sealed.
func TestAppendInClear(t *testing.T) {
	b := withKeys(t)
	r, err := b.Append(t.Context(), short(bench.Options{Clients: 8, Personal: 2, Subjects: 50, Clear: true}))
	if err != nil {
		t.Fatal(err)
	}
	if s := r.SealingResult; s == nil || !s.Clear || s.Boxes != (bench.BoxesBytes{}) || r.Bytes.Sealed != 0 {
		t.Errorf("of what is sealed it says %+v", r.SealingResult)
	}
	longer := len("krid_00000000000000000000000000") - len("c-0000000000")
	near(t, "payload", r.Bytes.Payload, bench.DefaultPayload+float64(longer))
	content, err := os.ReadFile(filepath.Join(b.Folder, "events.db"))
	if err != nil || !bytes.Contains(content, []byte(`","p00":"`)) {
		t.Errorf("the values are not there in clear: %v", err)
	}
	if bytes.Contains(content, []byte("c-00000000")) {
		t.Error("a reference to a person is there in clear")
	}
}

// checkSealed looks for people in the files of a store. What is in clear must be found there, too.
func checkSealed(t *testing.T, dir string) {
	t.Helper()
	found := false
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		if bytes.Contains(content, []byte("c-00000000")) || bytes.Contains(content, []byte(`","p00":"`)) {
			t.Errorf("%s holds people in clear", path)
		}
		found = found || bytes.Contains(content, []byte(`"p00":null`))
		return err
	})
	if err != nil || !found {
		t.Errorf("no event is found in clear: %v", err)
	}
}

func TestReadOpens(t *testing.T) {
	for purpose, personal := range map[string]int{"support": 0, "": 2} {
		r, err := withKeys(t).Read(t.Context(), short(bench.Options{Events: 2000, Purpose: purpose, Personal: personal}))
		if err != nil {
			t.Fatal(err)
		}
		s := r.SealingResult
		if s.Purpose != purpose || (purpose != "") != (s.Withheld == 0) || (purpose != "") != (s.Opened > 0) {
			t.Errorf("for purpose %q it opened %+v", purpose, s)
		}
	}
}

func TestKeys(t *testing.T) {
	r, err := withKeys(t).Keys(t.Context(), bench.KeysOptions{
		People: 700, Clients: 4, Duration: 200 * time.Millisecond, Payload: bench.DefaultPayload,
		Relations: bench.DefaultRelations,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.People != 700 || r.PersonBytes <= 0 || r.Warm <= 0 || r.Cold <= 0 || r.Roll <= 0 || r.Interrupted {
		t.Errorf("it gives %+v", r)
	}
	if r.Moved < 350 || r.Moved > 800 { // appends move some by themselves
		t.Errorf("%d were moved", r.Moved)
	}
	checkLatency(t, r.Before)
	checkLatency(t, r.During)
}

func TestPeopleRefused(t *testing.T) {
	ctx := t.Context()
	for name, test := range map[string]struct {
		o    bench.Options
		code string
	}{
		"no room":      {bench.Options{Personal: 2, Payload: 64}, "malformed_option"},
		"ratio":        {bench.Options{Personal: 2, Payload: 160, NewRatio: 1.5}, "malformed_option"},
		"negative":     {bench.Options{Personal: -1, Payload: 160}, "malformed_option"},
		"no subjects":  {bench.Options{Personal: 2, Payload: 160, Subjects: -1}, "malformed_option"},
		"odd purpose":  {bench.Options{Personal: 2, Payload: 160, Purpose: "No Purpose!"}, "policy_invalid"},
		"clear what":   {bench.Options{Payload: 160, Clear: true}, "malformed_option"},
		"far too many": {bench.Options{Personal: 101, Payload: 16000}, "malformed_option"},
	} {
		if _, err := withKeys(t).Append(ctx, test.o); event.Code(err) != test.code {
			t.Errorf("%s gives %v", name, err)
		}
	}
	o := short(bench.Options{Personal: 2, Events: 10})
	if _, err := onSQLite(t).Append(ctx, o); !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("without keys it gives %v", err)
	}
	b := withKeys(t)
	if _, err := b.Append(ctx, o); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(ctx, o); event.Code(err) != "store_not_empty" || !strings.Contains(err.Error(), "holds events") {
		t.Errorf("in a store that is not new it gives %v", err)
	}
}
