package sealing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// garden is a store in which markers are planted in every personal place, and everything that it says.
type garden struct {
	*process
	t              *testing.T
	dir, address   string
	site           *site
	service        *kmstest.Faulty
	full           atomic.Bool // no use can be recorded
	errors, logged bytes.Buffer
	answers        bytes.Buffer // of the server, to who opens nothing
	metrics        string
	spans          *tracetest.InMemoryExporter
	victims        *account
}

// fullKeys has no room for uses when it is told so.
type fullKeys struct {
	storage.Keystore
	full *atomic.Bool
}

func (k fullKeys) RecordUses(ctx context.Context, uses []storage.Use) error {
	if k.full.Load() {
		return event.Errorf(event.ErrFull, "record uses: the disk is full")
	}
	return k.Keystore.RecordUses(ctx, uses)
}

// plant opens a store below dir, or at an address, and does everything that may leave a marker behind.
func plant(t *testing.T, dir, address string) *garden {
	t.Helper()
	t.Setenv("TMPDIR", filepath.Join(dir, "temp"))
	g := &garden{t: t, dir: dir, address: address, spans: tracetest.NewInMemoryExporter(), victims: newAccount()}
	err := os.MkdirAll(filepath.Join(dir, "temp"), 0o700)
	if err == nil {
		g.site, err = siteAt(t.Context(), dir, address, newStepClock())
	}
	if err != nil {
		t.Fatal(err)
	}
	g.service = kmstest.NewFaulty(g.site.service)
	g.site.service = g.service
	open := g.site.keys
	g.site.keys = func(ctx context.Context) (storage.Keystore, error) {
		keys, err := open(ctx)
		return fullKeys{keys, &g.full}, err
	}
	if g.process, err = g.site.open(t.Context(), nil); err == nil {
		err = declare(t.Context(), g.process)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.append()
	g.refuse()
	g.read()
	g.fail()
	g.ingest()
	g.serve()
	g.control()
	return g
}

// rich is an event with every kind of personal place.
func rich(n int) event.Draft {
	c := card{700 + n, 70 + n, 71, 72}
	d := c.draft()
	more := fmt.Sprintf(`,"house":"%[1]s house","tags":{"%[1]s key":"%[1]s tag","x":"%[1]s"},"pets":["%[1]s cat","%[1]s dog"],`+
		`"owner":{"inner":{"note":"%[1]s \u00e9 note"}},"free":"%[2]s"}`, stem, control)
	d.Data = []byte(strings.TrimSuffix(string(d.Data), "}") + more)
	d.Relations = append(d.Relations, event.Relation{Role: "witness", Kind: "customer", ID: who(73)})
	return d
}

// note takes down what an error tells, in every way it may be shown. It must be one.
func (g *garden) note(what string, err error) {
	g.t.Helper()
	if err == nil {
		g.t.Errorf("%s: it was not refused", what)
		return
	}
	fmt.Fprintf(&g.errors, "%s: %v %+v %#v %q %s\n", what, err, err, err, err.Error(), event.Code(err))
	g.logger().Error(what, "err", err)
	var e *event.Error
	if errors.As(err, &e) {
		text, _ := json.Marshal(e)
		fmt.Fprintf(&g.errors, "%s %s\n", text, e.Next)
	}
}

func (g *garden) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&g.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (g *garden) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *garden) submit(drafts ...event.Draft) error {
	_, err := g.As(event.Actor{}).AppendAll(g.t.Context(), one(event.Stream("customer", who(70)), drafts...))
	return err
}

// append appends, alone, together, and again.
func (g *garden) append() {
	ctx := g.t.Context()
	g.must(g.submit(rich(0)))
	g.must(g.submit(rich(1), rich(2)))
	g.must(g.submit(rich(0))) // again
	for _, o := range g.As(event.Actor{Kind: "clerk", ID: stem + "-clerk-7"}).AppendEach(ctx, []log.Request{
		one(event.Stream("customer", who(74)), rich(3)), one(event.Stream("case", "c1"), rich(4))}) {
		g.must(o.Err)
	}
	krid, err := g.Privacy().Subject(ctx, "customer", who(70))
	g.must(err)
	clerk := event.Actor{Kind: "clerk", ID: stem + "-clerk-8"}
	placed, err := g.Privacy().Record(ctx, clerk, event.ID{}, policy.SubjectRestricted{Principal: krid,
		Groups: []string{"contact"}, Ground: policy.AccuracyContested})
	g.must(err)
	_, err = g.Privacy().Record(ctx, clerk, event.ID{}, policy.RestrictionReleased{Principal: krid,
		Restriction: placed.Events[0].ID, Ground: "resolved"})
	g.must(err)
	_, err = g.Keeper().Roll(ctx, nil)
	g.must(err)
}

// refuse appends what is refused, for what it holds.
func (g *garden) refuse() {
	ctx := g.t.Context()
	for name, change := range map[string]func(*event.Draft){
		"a changed value":      func(d *event.Draft) { *d = rich(0); replace("cat", "cow")(d) },
		"a wrong type":         replace(`"name":`, `"name":{"`+stem+`":1},"x":`),
		"an unknown name":      replace(`"pets"`, `"`+stem+`"`),
		"a name twice":         replace(`"pets"`, `"tags":{"`+stem+`":"`+stem+`"},"pets"`),
		"no JSON":              replace(`"pets"`, stem),
		"a number":             replace(`.50`, `.5`+stem),
		"a text for a number":  replace(`"income":`, `"income":"`+stem+`","x":`),
		"a list in a map":      replace(`"x":"`, `"x":["`+stem+`"],"y":"`),
		"a value missing":      replace(`"name":`, `"nam":`),
		"a subject missing":    replace(`"customer":`, `"custome":`),
		"a subject of no kind": replace(`"spouse":"`, `"spouse":{"`+stem+`":1},"x":"`),
		"a KRID made up":       replace(`"spouse":"`, `"spouse":"krid_`+stem),
		"bad metadata":         func(d *event.Draft) { d.Metadata["x-auth"] = stem + "\n" },
		"long metadata":        func(d *event.Draft) { d.Metadata["x-auth"] = strings.Repeat(stem, 2000) },
		"no issuer":            func(d *event.Draft) { d.Relations = nil },
		"two issuers":          func(d *event.Draft) { d.Relations = append(d.Relations, issuerOf(stem+"-clerk-9")) },
		"a long reference":     func(d *event.Draft) { d.Relations[0].ID = strings.Repeat(stem, 1000) },
		"another schema":       func(d *event.Draft) { d.Schema = event.SchemaID{1} },
		"an address of a case": func(d *event.Draft) { d.Relations[1].Kind = "case" },
	} {
		d := rich(9)
		change(&d)
		g.note(name, g.submit(d))
		for _, o := range g.As(event.Actor{}).AppendEach(ctx, []log.Request{one(event.Stream("case", "c1"), d)}) {
			g.note(name+", in a case", o.Err)
		}
	}
	_, err := g.As(event.Actor{}).Append(ctx, event.Stream("customer", who(70)), event.At(99), rich(9))
	g.note("another version", err)
	_, err = g.As(event.Actor{}).Append(ctx, event.Stream("customer", who(79)), event.At(1), rich(9))
	g.note("a version of nothing", err)
	condition := one(event.Stream("customer", who(70)), rich(9))
	condition.Condition = &event.Condition{Filter: event.Filter{{Stream: event.Stream("customer", who(70))}}}
	_, err = g.As(event.Actor{}).AppendAll(ctx, condition)
	g.note("a condition", err)
	_, err = g.Privacy().Subject(ctx, "customer", stem+"-nobody@example.org")
	g.note("nobody", err)
	_, err = g.Privacy().Subject(ctx, "case", stem)
	g.note("no person", err)
}

func replace(old, by string) func(*event.Draft) {
	return func(d *event.Draft) { d.Data = bytes.Replace(d.Data, []byte(old), []byte(by), 1) }
}

func issuerOf(clerk string) event.Relation {
	return event.Relation{Role: event.RoleIssuer, Kind: "clerk", ID: clerk}
}

// read reads sealed and opened, with and without words for a reason, and shows what it got as programs may.
func (g *garden) read() {
	ctx := g.t.Context()
	words := all(stem + " wants to know why")
	words.Actor = event.Actor{Kind: "clerk", ID: stem + "-clerk-7"}
	for _, o := range []event.Opening{{}, all("case " + control), words} {
		events, err := g.opened(ctx, o)
		g.must(err)
		if len(events) == 0 || !o.IsZero() && !bytes.Contains(events[0].Data, []byte(stem)) {
			g.t.Fatalf("%d events, opened for %q", len(events), o.Purpose)
		}
		opened, err := g.For(all("case 1")).Open(ctx, mustRaw(ctx, g))
		g.must(err)
		for i := range events {
			fmt.Fprintf(&g.logged, "%v %+v %#v %s %v\n", events[i], events[i], events[i], events[i], events[i].Names)
			fmt.Fprintf(&g.logged, "%v %+v %#v\n", events[i].Draft, opened[i], events[i].Draft)
			g.logger().Info("read", "event", events[i], "draft", events[i].Draft, "names", fmt.Sprint(events[i].Names))
		}
	}
	for name, o := range map[string]event.Opening{
		"an unknown purpose": {Actor: words.Actor, Purpose: control, Reason: words.Reason},
		"words of a service": {Actor: event.Actor{Kind: "service", ID: "crm"}, Purpose: "all", Reason: words.Reason},
		"a long reason":      {Actor: words.Actor, Purpose: "all", Reason: strings.Repeat(stem, 1000)},
		"a kind undeclared":  {Actor: event.Actor{Kind: "visitor", ID: stem}, Purpose: "all"},
	} {
		_, err := g.opened(ctx, o)
		g.note(name, err)
	}
	damaged := mustRaw(ctx, g)
	damaged[0].Boxes[len(damaged[0].Boxes)-1] ^= 1
	_, err := g.For(all("case 2")).Open(ctx, damaged)
	g.note("a damaged box", err)
	damaged = mustRaw(ctx, g)
	damaged[0].Data = []byte(`{"name":"` + stem + `"}`)
	_, err = g.For(all("case 3")).Open(ctx, damaged)
	g.note("other data", err)
}

func mustRaw(ctx context.Context, g *garden) []event.Event {
	g.t.Helper()
	events, err := g.opened(ctx, event.Opening{})
	g.must(err)
	return events
}

// fail appends and opens while the key service is away, and while there is no room for uses.
func (g *garden) fail() {
	ctx := g.t.Context()
	clock := g.site.clock.(*stepClock)
	clock.step(time.Hour) // the lease is over
	for _, fault := range []kmstest.Fault{kmstest.Down, kmstest.Denying, kmstest.NoMount, kmstest.Elsewhere} {
		g.service.Set(fault)
		g.note("an append without keys", g.submit(rich(10)))
		_, err := g.opened(ctx, all("case 4"))
		g.note("an opening without keys", err)
		if len(mustRaw(ctx, g)) == 0 {
			g.t.Error("without keys nothing is read sealed")
		}
		clock.step(time.Hour)
	}
	g.service.Set(kmstest.Well)
	g.must(g.submit(rich(10)))
	g.full.Store(true)
	words := all(stem + " on a full disk")
	words.Actor = event.Actor{Kind: "clerk", ID: stem + "-clerk-7"}
	_, err := g.opened(ctx, words)
	g.note("an opening on a full disk", err)
	g.full.Store(false)
	_, err = g.opened(ctx, words)
	g.must(err)
}

const canaryMap = `{source: canary, format: jsonl, events: [{key: n, stream: 'customer/{customer}', type: Carded,
  relations: {issuer: 'clerk/{clerk}'}, metadata: {x-auth: '{auth}'},
  data: {fields: {customer: '{customer}', name: {value: '{name}', type: json}, income: {value: '{income}', type: number}}}}]}`

// ingest imports records, of which some are rejected.
func (g *garden) ingest() {
	ctx := g.t.Context()
	record := func(n int, customer, name, income string) string {
		return fmt.Sprintf(`{"n":%d,"customer":"%s","name":%s,"income":%s,"clerk":"%s-clerk-1","auth":"%[5]s auth"}`+"\n",
			n, customer, name, income, stem)
	}
	good := `"\"` + stem + ` name\""`
	input := record(1, who(80), good, digits) + record(2, who(81), good, digits) +
		record(3, who(82), `"{\"`+stem+`\":1}"`, digits) + record(4, who(83), good, `"`+stem+`"`) +
		record(5, stem+" with blanks\\u0000", good, digits) + record(6, who(84), `"`+stem+`"`, digits) +
		`{"n":7,"` + stem + `":` + "\n" + `{"n":8,"customer":"` + who(85) + `"}` + "\n"
	m, err := ingest.ParseMap([]byte(canaryMap))
	g.must(err)
	key, err := g.ImportKey(ctx)
	g.must(err)
	rejects, err := os.Create(filepath.Join(g.dir, "rejects.jsonl"))
	g.must(err)
	source := ingest.Input{Name: control + ".jsonl", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(input)), nil
	}}
	session := g.As(event.Actor{})
	summary, err := ingest.Run(ctx, session, key, m, []ingest.Input{source}, ingest.Options{Rejects: rejects})
	g.must(errors.Join(err, rejects.Close()))
	if summary.EventsAdded != 2 || summary.Rejected != 6 {
		g.t.Errorf("the import came to %+v", summary)
	}
	for _, line := range strings.SplitAfter(input, "\n")[2:8] {
		source.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(line)), nil }
		_, err := ingest.Run(ctx, session, key, m, []ingest.Input{source}, ingest.Options{Strict: true})
		g.note("a strict import", err)
	}
}

// serve lets a server in this process append, refuse and open.
func (g *garden) serve() {
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(g.spans))
	_, span := tracer.Tracer("sealing").Start(g.t.Context(), control)
	span.End()
	s, err := server.New([]server.Tenant{{Name: control, Store: g.Store, Tokens: g.engine}}, server.Options{NoTokens: true,
		Logger: g.logger(), Tracer: tracer})
	g.must(err)
	call := func(method, path, body string) (int, string) {
		r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Lethe-Store", control)
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, r)
		return answer.Code, fmt.Sprint(answer.Body, answer.Header())
	}
	draft := func(n int, data string) string {
		return fmt.Sprintf(`{"writes":[{"stream":"customer/%s","events":[{"type":"Carded","metadata":{"x-auth":"%s"},`+
			`"relations":[{"role":"issuer","kind":"clerk","id":"%s-clerk-1"}],"data":%s}]}]}`, who(90+n), stem, stem, data)
	}
	fine := rich(20)
	const v1 = "/lethe.v1.LogService/"
	if code, text := call(http.MethodPost, v1+"Append", draft(0, string(fine.Data))); code != http.StatusOK {
		g.t.Errorf("append: %d %s", code, text)
	}
	opening := `"opening":{"actor":"service/crm","purpose":"all","reason":"case 5"}`
	if code, text := call(http.MethodPost, v1+"Query", `{`+opening+`}`); code != http.StatusOK || !strings.Contains(text, stem) {
		g.t.Errorf("query: %d %s", code, text)
	}
	for path, body := range map[string]string{
		v1 + "Query":            `{}`,
		v1 + "Append":           draft(1, `{"customer":"`+who(70)+`","name":{"`+stem+`":1}}`),
		v1 + "Append?":          draft(1, `{"`+stem+`":`),
		v1 + "Query?":           `{"opening":{"actor":"service/crm","purpose":"` + control + `","reason":"` + stem + ` words"}}`,
		v1 + "Read":             `{"stream":"customer/` + stem + `-nobody@example.org"}`,
		v1 + "Find":             `{"id":"` + stem + `"}`,
		"/v1/events?" + stem:    `{"filter":[{"stream":"` + stem + `"}]}`,
		"/v1/events?kind=case":  stem,
		"/" + stem:              stem,
		"/lethe.v1.LogService/": stem,
	} {
		_, text := call(http.MethodPost, path, body)
		fmt.Fprintln(&g.answers, text)
	}
	fmt.Fprintln(&g.answers, control) // what it holds besides is errors, and events that are sealed
	_, g.metrics = call(http.MethodGet, "/metrics", "")
}

// control plants what must be found where nothing else puts it.
func (g *garden) control() {
	ctx := g.t.Context()
	record := &storage.RetentionKey{RetentionID: storage.RetentionID{Class: control, Bucket: 20990101},
		Version: 1, Epoch: 1, State: storage.KeyLive, Record: []byte(control)}
	outcomes, err := g.keys.ChangeKeys(ctx, []storage.KeyChange{{Retention: record}})
	g.must(err)
	if !outcomes[0].Stored {
		g.t.Error("the control was not planted among the keys")
	}
	g.must(g.service.Create(ctx, control))
	g.must(os.WriteFile(filepath.Join(g.dir, "temp", "left-behind"), []byte(control), 0o600))
}

// said is everything that was told to people and to other programs.
func (g *garden) said() (places []place) {
	for kind, text := range map[string]string{"errors": g.errors.String(), "log": g.logged.String(), "metrics": g.metrics,
		"answers": g.answers.String(), "victims": g.victims.said.String()} {
		places = append(places, place{kind, kind, []byte(text)})
	}
	for _, s := range g.spans.GetSpans() {
		text := fmt.Sprint(s.Name, s.Attributes, s.Events, s.Status, s.Links, s.Resource)
		places = append(places, place{"traces", s.Name, []byte(text)})
	}
	return places
}

// kept is every file below the folder.
func (g *garden) kept() []place {
	g.t.Helper()
	places, err := files(g.dir, func(name string) string {
		dir, file := filepath.Split(name)
		if dir == "store/" || dir == "" {
			return file
		}
		return strings.TrimSuffix(dir, "/")
	})
	g.must(err)
	return places
}

// kill closes the store and lets victims work in its place until they are killed.
func (g *garden) kill() {
	g.t.Helper()
	g.must(g.Close())
	random := chance(seed(g.t), 0)
	for run := 1; run <= 2; run++ {
		o := order{dir: g.dir, address: g.address, run: run, say: control}
		if err := g.victims.killed(g.t.Context(), o, 20+random.IntN(60), time.Minute); err != nil {
			g.t.Fatalf("kill %d: %v", run, err)
		}
	}
}

// TestCanaryFolder looks for markers in everything a store in a folder keeps and says, while it is open and after its
// processes were killed.
func TestCanaryFolder(t *testing.T) {
	g := plant(t, t.TempDir(), "")
	said := []string{"errors", "log", "metrics", "answers", "traces"}
	kept := []string{"events.db-wal", "keys.db-wal", "uses.db-wal", "root", "temp", "rejects.jsonl"}
	scan(t, append(g.said(), g.kept()...), append(said, kept...)...)
	g.kill()
	scan(t, append(g.said(), g.kept()...), "victims", "events.db", "keys.db", "uses.db")
}

// TestCanaryPostgres does the same on PostgreSQL: its tables as they are read, its files, its write-ahead log, and its
// own log, which has every statement and every value that was sent.
func TestCanaryPostgres(t *testing.T) {
	server := pgtest.Start(t, map[string]string{"logging_collector": "on", "log_directory": "log", "log_statement": "all",
		"log_min_duration_statement": "0", "log_checkpoints": "on"})
	address := server.Address("canary")
	g := plant(t, t.TempDir(), address)
	server.Exec(t, "DO $$ BEGIN RAISE LOG '"+control+"'; END $$")
	g.kill()
	read, dir := tables(t, address)
	if len(read) < 10 {
		t.Errorf("%d tables are read", len(read))
	}
	server.Stop(t)
	stored, err := files(dir, func(name string) string {
		top, _, _ := strings.Cut(name, "/")
		return "postgres " + top
	})
	g.must(err)
	places := append(append(append(g.said(), g.kept()...), read...), stored...)
	scan(t, places, "text", "binary", "postgres base", "postgres pg_wal", "postgres log", "root", "temp", "rejects.jsonl",
		"errors", "log", "metrics", "answers", "traces", "victims")
}

// tables reads every table of the schema, as text and in PostgreSQL's binary form, and says where the server's files
// are.
func tables(t *testing.T, address string) (places []place, dir string) {
	t.Helper()
	ctx := t.Context()
	plain, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := plain.Query()
	query.Del("schema")
	plain.RawQuery = query.Encode()
	conn, err := pgx.Connect(ctx, plain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	rows, err := conn.Query(ctx, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'canary'`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var text, binary bytes.Buffer
		_, err := conn.PgConn().CopyTo(ctx, &text, "COPY (SELECT t::text FROM "+name+" t) TO STDOUT")
		if err == nil {
			_, err = conn.PgConn().CopyTo(ctx, &binary, "COPY "+name+" TO STDOUT (FORMAT binary)")
		}
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place{"text", name, text.Bytes()}, place{"binary", name, binary.Bytes()})
	}
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	return places, dir
}
