package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// blocks are the SQL statements of a document by the comment they begin with.
func blocks(t *testing.T, file string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, block := range regexp.MustCompile("(?s)```sql\n-- ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for _, statement := range strings.Split(regexp.MustCompile("--[^\n]*").ReplaceAllString(block[2], ""), ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				found[block[1]] = append(found[block[1]], statement)
			}
		}
	}
	return found
}

// bank is a server as docs/postgresql.md sets one up.
type bank struct {
	server *pgtest.Server
	sql    map[string][]string
	stores int
}

const (
	byAdministrator = "as an administrator, in any database"
	byOwner         = "as lethe_owner, in database bank, after the store was made"
)

func newBank(t *testing.T) *bank {
	b := &bank{server: pgtest.Start(t, nil), sql: blocks(t, "../../docs/postgresql.md")}
	text, err := os.ReadFile("../../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"roles.sql", "grants.sql"} {
		block, err := os.ReadFile("../../deploy/" + name)
		if err != nil || !strings.Contains(string(text), "```sql\n"+string(block)+"```\n") {
			t.Errorf("docs/postgresql.md does not show deploy/%s as it is: %v", name, err)
		}
	}
	if len(b.sql[byAdministrator]) < 5 || len(b.sql[byOwner]) < 8 {
		t.Fatalf("docs/postgresql.md does not say how to set up a database: %q", b.sql)
	}
	b.server.Exec(t, b.sql[byAdministrator]...)
	for _, role := range []string{"lethe_owner", "lethe", "lethe_reader"} {
		b.server.Exec(t, "ALTER ROLE "+role+" PASSWORD '"+password+"'")
	}
	return b
}

func (b *bank) address(user, schema string) string {
	a := b.server.AddressOf(user, password, schema)
	return at(a, hostOf(a), "bank")
}

// store makes a store as its owner, and grants what others need.
func (b *bank) store(t testing.TB, o postgres.Options) (schema string) {
	t.Helper()
	b.stores++
	schema = fmt.Sprint("store_", b.stores)
	if err := open(t, b.address("lethe_owner", schema), o).Close(); err != nil {
		t.Fatal(err)
	}
	named := strings.NewReplacer("SCHEMA lethe ", "SCHEMA "+schema+" ", "search_path = lethe", "search_path = "+schema)
	conn, _ := connect(t, b.address("lethe_owner", schema))
	for _, text := range b.sql[byOwner] {
		if _, err := conn.Exec(t.Context(), named.Replace(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return schema
}

// engine is one that has no more privileges than it needs, and writes and merges the index all the time.
func (b *bank) engine(t testing.TB) *storagetest.Engine {
	options := postgres.Options{Indexed: storagetest.Indexed(), Flush: 7}
	address := b.address("lethe", b.store(t, options))
	e := engineAt(t, address, options)
	e.Events = 200
	return e
}

func TestLeastPrivileges(t *testing.T) {
	b := newBank(t)
	for name, run := range map[string]func(*testing.T, storagetest.Open){
		"CommitAtomic": storagetest.CommitAtomic, "CommitDurable": storagetest.CommitDurable,
		"CommitChecked": storagetest.CommitChecked, "ConditionExact": storagetest.ConditionExact,
		"IndexExact": storagetest.IndexExact, "RewriteExact": storagetest.RewriteExact,
		"ScrubRemoves": storagetest.ScrubRemoves, "StreamStateKept": storagetest.StreamStateKept,
		"CheckpointCAS": storagetest.CheckpointCAS, "TokenRevoked": storagetest.TokenRevoked,
		"TokenUsed": storagetest.TokenUsed, "LifeKept": storagetest.LifeKept, "SizesAddUp": storagetest.SizesAddUp,
	} {
		t.Run(name, func(t *testing.T) { run(t, b.engine) })
	}
	t.Run("reader", func(t *testing.T) { reader(t, b) })
	t.Run("watched", func(t *testing.T) { watched(t, b) })
	schema := b.store(t, postgres.Options{})
	address := b.address("lethe", schema)
	s := ready(t, address)
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	t.Run("longest name", func(t *testing.T) {
		s := open(t, b.address("lethe_owner", strings.Repeat("x", 57)), postgres.Options{})
		defer closeStore(t, s)
		if err := add(s, payload); err != nil {
			t.Error(err)
		}
		refused(t, b.address("lethe_owner", strings.Repeat("x", 58)), event.ErrInvalid, "at most 57")
	})
	t.Run("other metadata keys", func(t *testing.T) {
		closeStore(t, open(t, address, postgres.Options{Indexed: []string{"branch"}}))
		closeStore(t, open(t, address, postgres.Options{Indexed: []string{}}))
	})
	t.Run("not more", func(t *testing.T) {
		conn, _ := connect(t, address)
		for _, text := range []string{
			"DELETE FROM event", "UPDATE event SET recorded = 0", "TRUNCATE event", "UPDATE head SET secret = ''",
			"DELETE FROM tile", "UPDATE stream SET name = ''", "DELETE FROM token", "DROP TABLE cursor",
			"CREATE TABLE mine ()", "CREATE SCHEMA mine", "UPDATE token SET may_admin = true",
		} {
			var said *pgconn.PgError
			_, err := conn.Exec(t.Context(), "SET search_path = "+schema+"; "+text)
			if !errors.As(err, &said) || said.Code != "42501" {
				t.Errorf("%s: %v, want SQLSTATE 42501", text, err)
			}
		}
	})
	t.Run("scrub", func(t *testing.T) {
		residue, err := s.Scrub(t.Context())
		if text := strings.Join(residue.Remains, "; "); err != nil || !strings.Contains(text, "this user may not vacuum") {
			t.Errorf("who may not vacuum is told: %q, %v", text, err)
		}
		residue, err = ready(t, b.address("lethe_owner", schema)).Scrub(t.Context())
		if text := strings.Join(residue.Remains, "; "); err != nil || strings.Contains(text, "may not vacuum") {
			t.Errorf("the owner, who may vacuum, is told: %q, %v", text, err)
		}
	})
	t.Run("less", func(t *testing.T) {
		owner, _ := connect(t, b.address("lethe_owner", schema))
		for revoked, word := range map[string]string{
			"USAGE ON SEQUENCE %s.segment_n": "lacks USAGE on segment_n", "SELECT ON %s.token": "lacks SELECT on token",
			"UPDATE (body) ON %s.event": "lacks UPDATE (body) on event", "DELETE ON %s.batch": "lacks DELETE on batch",
		} {
			revoked = fmt.Sprintf(revoked, schema)
			if _, err := owner.Exec(t.Context(), "REVOKE "+revoked+" FROM lethe"); err != nil {
				t.Fatal(err)
			}
			refused(t, address, event.ErrDenied, "user lethe "+word, "docs/postgresql.md")
			if _, err := owner.Exec(t.Context(), "GRANT "+revoked+" TO lethe"); err != nil {
				t.Fatal(err)
			}
		}
		closeStore(t, ready(t, address))
	})
}

// watched asks what docs/postgresql.md tells to ask.
func watched(t *testing.T, b *bank) {
	schema := b.store(t, postgres.Options{})
	if err := add(ready(t, b.address("lethe", schema)), payload); err != nil {
		t.Fatal(err)
	}
	b.server.Exec(t, "GRANT pg_monitor TO lethe_reader")
	conn, _ := connect(t, b.address("lethe_reader", schema))
	rows := map[string]int{"head": 1, "old transactions": 0, "locks": 0, "replicas": 0, "tables": 13, "server": 1}
	for name, want := range rows {
		for _, text := range b.sql["watch: "+name] {
			text = strings.NewReplacer("lethe.", schema+".", "'lethe'", "'"+schema+"'").Replace(text)
			tag, err := conn.Exec(t.Context(), text)
			if err != nil || tag.RowsAffected() != int64(want) {
				t.Errorf("watch %s: %d rows, want %d: %v", name, tag.RowsAffected(), want, err)
			}
		}
		if len(b.sql["watch: "+name]) != 1 {
			t.Errorf("docs/postgresql.md does not say how to watch %s", name)
		}
	}
	if want := len(rows) + 2 + 2; len(b.sql) != want { // and those of a keystore
		t.Errorf("docs/postgresql.md has %d blocks of SQL, want %d", len(b.sql), want)
	}
}

// reader reads a store with no privilege but that.
func reader(t *testing.T, b *bank) {
	schema := b.store(t, postgres.Options{Flush: 3})
	s := open(t, b.address("lethe", schema), postgres.Options{Flush: 3})
	t.Cleanup(func() { closeStore(t, s) })
	for range 10 {
		if err := add(s, payload); err != nil {
			t.Fatal(err)
		}
	}
	reader := ready(t, b.address("lethe_reader", schema))
	if diff := cmp.Diff(all(t, s), all(t, reader)); diff != "" {
		t.Errorf("a reader sees something else (-writer +reader):\n%s", diff)
	}
	filter := event.Filter{{Types: []string{"Noted"}}}
	page, err := reader.Page(t.Context(), storage.Query{Filter: filter, Limit: 100})
	if err != nil || len(page.Records) != 10 {
		t.Errorf("a reader finds %d events by type, want 10: %v", len(page.Records), err)
	}
	_, err = reader.Tokens(t.Context())
	sentence(t, err, event.ErrDenied, "permission denied for table token")
	sentence(t, add(reader, payload), event.ErrDenied, "permission denied for table")
	sentence(t, reader.AddToken(t.Context(), storage.Token{ID: "reader"}), event.ErrDenied, "permission denied")
	_, err = reader.Advance(t.Context(), "relay", storage.Checkpoint{}, storage.Checkpoint{})
	sentence(t, err, event.ErrDenied, "permission denied")
	if err := add(s, payload); err != nil || len(all(t, reader)) != 11 {
		t.Errorf("after the refusals: %v, %d events, want 11", err, len(all(t, reader)))
	}
}

// TestStatisticsHoldNoContent holds that the planner's statistics, which no pruning reaches, have no content in them.
func TestStatisticsHoldNoContent(t *testing.T) {
	address := pgtest.Place(t)
	s := ready(t, address)
	for i := range 20 {
		if err := add(s, fmt.Sprint(payload, i)); err != nil {
			t.Fatal(err)
		}
	}
	conn, schema := connect(t, address)
	if _, err := conn.Exec(t.Context(), "ANALYZE "+schema+".event"); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT attname::text FROM pg_stats WHERE schemaname = $1 AND tablename = 'event'
		ORDER BY attname`, schema)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	want := []string{"id", "position", "recorded", "stream", "type", "version"}
	if err != nil || !slices.Equal(columns, want) {
		t.Errorf("statistics are kept of %q, want %q; %v", columns, want, err)
	}
}
