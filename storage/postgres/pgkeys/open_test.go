package pgkeys_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/keystest"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

const password = "correct-horse-4711"

// refused holds that a keystore does not open, and says why in one line without a password.
func refused(t *testing.T, address string, kind error, words ...string) {
	t.Helper()
	k, err := pgkeys.Open(t.Context(), address, &pgkeys.Options{Create: true, Patience: 100 * time.Millisecond})
	if err == nil {
		closeKeys(t, k)
		t.Errorf("it opens, want %v", kind)
		return
	}
	t.Log(err)
	text := err.Error()
	if !errors.Is(err, kind) || strings.Contains(text, password) || strings.ContainsAny(text, "\r\n") {
		t.Errorf("%v\nis not %v on one line without a password", err, kind)
	}
	for _, word := range append(words, "open keystore: ") {
		if !strings.Contains(text, word) {
			t.Errorf("%s\ndoes not say: %s", text, word)
		}
	}
}

func in(address, database, schema string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set("schema", schema)
	u.Path, u.RawQuery = "/"+database, q.Encode()
	return u.String()
}

func TestOpenRefused(t *testing.T) {
	server := pgtest.Start(t, nil)
	server.Exec(t, "CREATE USER clerk PASSWORD '"+password+"'", "CREATE SCHEMA foreigners",
		"CREATE TABLE foreigners.customer ()", "CREATE USER still PASSWORD '"+password+"'",
		"ALTER USER still SET default_transaction_read_only = on")
	refused(t, server.AddressOf("clerk", "wrong", "keys"), event.ErrDenied, "login")
	refused(t, server.AddressOf("clerk", password, "keys"), event.ErrDenied, "permission denied for database")
	refused(t, server.AddressOf("still", password, "keys"), event.ErrUnavailable, "set to read only")
	refused(t, in(server.Address("keys"), "missing", "keys"), event.ErrNotFound, "none of this name")
	refused(t, server.Address("foreigners"), event.ErrFormat, "tables that are not Lethe's")
	refused(t, "postgres://clerk:"+password+"@host/db?schema=Keys", event.ErrInvalid, "read address")
	own := server.Address("keys")
	if _, err := pgkeys.Open(t.Context(), own, nil); !errors.Is(err, event.ErrNotFound) ||
		!strings.Contains(err.Error(), "find keystore: there is none in schema keys") {
		t.Errorf("a keystore that is not there: %v", err)
	}
	closeKeys(t, open(t, own, pgkeys.Options{}))
	server.Exec(t, "INSERT INTO keys.keystore_format VALUES (1000)")
	refused(t, own, event.ErrFormat, "its format is 1000", "upgrade Lethe")
}

// besideLog opens a log at an address.
func besideLog(t *testing.T, address string) *postgres.Store {
	s, err := postgres.Open(t.Context(), address, &postgres.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestBesideLog keeps a log and a keystore in one schema, whichever is made first, and measures them apart.
func TestBesideLog(t *testing.T) {
	for name, keysFirst := range map[string]bool{"keystore first": true, "log first": false} {
		t.Run(name, func(t *testing.T) {
			address := pgtest.Place(t)
			var s *postgres.Store
			if !keysFirst {
				s = besideLog(t, address)
			}
			k := ready(t, address, pgkeys.Options{})
			if keysFirst {
				s = besideLog(t, address)
			}
			_, err := k.ChangeKeys(t.Context(), []storage.KeyChange{minting(person(), storage.LookupToken{1})})
			if err != nil {
				t.Fatal(err)
			}
			logs, err := s.Sizes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			keys, err := k.KeySizes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			for _, x := range append(logs, keys...) {
				sum += x.Bytes
			}
			if want := total(t, address); sum != want {
				t.Errorf("log and keystore take %d bytes, the schema's tables %d", sum, want)
			}
			checks, err := s.Examine(t.Context())
			if err != nil || slices.ContainsFunc(checks, func(c storage.Check) bool { return !c.OK }) {
				t.Errorf("the log beside a keystore is %+v, %v", checks, err)
			}
		})
	}
}

// documented are the SQL statements of docs/postgresql.md by the comment they begin with, where deploy has them as they
// stand there.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"roles", "keystore-roles", "keystore-grants"} {
		block, err := os.ReadFile("../../../deploy/" + name + ".sql")
		if err != nil || !strings.Contains(string(text), "```sql\n"+string(block)+"```\n") {
			t.Errorf("docs/postgresql.md does not show deploy/%s.sql as it is: %v", name, err)
		}
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

// TestLeastPrivileges sets a keystore up as docs/postgresql.md tells to: the suite passes as the role that is made
// there, which may do no more than it must.
func TestLeastPrivileges(t *testing.T) {
	server, sql := pgtest.Start(t, nil), documented(t)
	roles := slices.Concat(sql["as an administrator, in any database"],
		sql["as an administrator, for a keystore in a database of its own"])
	grants := sql["as lethe_owner, in the keystore's database, after the keystore was made"]
	if len(roles) < 10 || len(grants) < 10 {
		t.Fatalf("docs/postgresql.md does not say how to set up a keystore: %q, %q", roles, grants)
	}
	server.Exec(t, roles...)
	for _, role := range []string{"lethe_owner", "lethe_keys", "lethe"} {
		server.Exec(t, "ALTER ROLE "+role+" PASSWORD '"+password+"'")
	}
	address := func(user, schema string) string {
		return in(server.AddressOf(user, password, schema), "bank_keys", schema)
	}
	made := 0
	make := func(t testing.TB) (schema string) {
		made++
		schema = "keys_" + string(rune('a'+made))
		if err := open(t, address("lethe_owner", schema), pgkeys.Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		named := strings.NewReplacer("SCHEMA lethe ", "SCHEMA "+schema+" ", "search_path = lethe", "search_path = "+schema)
		conn := connect(t, address("lethe_owner", schema))
		for _, text := range grants {
			if _, err := conn.Exec(t.Context(), named.Replace(text)); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		return schema
	}
	for name, run := range map[string]func(*testing.T, keystest.Open){
		"ChangeCompares": keystest.ChangeCompares, "UsesPruned": keystest.UsesPruned,
		"SizesAddUp": keystest.SizesAddUp, "ScrubRemoves": keystest.ScrubRemoves,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t testing.TB) *keystest.Engine {
				e := engineAt(t, address("lethe_keys", make(t)), pgkeys.Options{Flush: 200, Clock: hasty{}})
				e.Uses = 60
				return e
			})
		})
	}
	schema := make(t)
	notMore(t, address("lethe_keys", schema))
	owner := connect(t, address("lethe_owner", schema))
	for revoked, word := range map[string]string{
		"USAGE ON SEQUENCE key_segment_n": "lacks USAGE on key_segment_n", "SELECT ON keyring": "lacks SELECT on keyring",
		"UPDATE (record) ON keyring": "lacks UPDATE (record) on keyring", "INSERT ON key_use": "lacks INSERT on key_use",
	} {
		if _, err := owner.Exec(t.Context(), "REVOKE "+revoked+" FROM lethe_keys"); err != nil {
			t.Fatal(err)
		}
		refused(t, address("lethe_keys", schema), event.ErrDenied, "user lethe_keys "+word, "docs/postgresql.md")
		if _, err := owner.Exec(t.Context(), "GRANT "+revoked+" TO lethe_keys"); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, address("lethe", schema), event.ErrDenied, `permission denied for database "bank_keys"`)
	k := ready(t, address("lethe_keys", schema), pgkeys.Options{})
	residue, err := k.ScrubKeys(t.Context())
	if text := strings.Join(residue.Remains, "; "); err != nil || !strings.Contains(text, "keyring, key_lookup") {
		t.Errorf("who may not vacuum is told: %q, %v", text, err)
	}
}

func notMore(t *testing.T, address string) {
	t.Helper()
	conn := connect(t, address)
	for _, text := range []string{
		"DELETE FROM keyring", "DELETE FROM key_epoch", "DELETE FROM key_retention", "UPDATE keyring SET krid = krid",
		"UPDATE key_use SET record = ''", "TRUNCATE key_use", "DROP TABLE key_lookup", "CREATE TABLE mine ()",
		"UPDATE key_lookup SET token = token", "DELETE FROM keystore", "CREATE SCHEMA mine",
	} {
		var said *pgconn.PgError
		if _, err := conn.Exec(t.Context(), text); !errors.As(err, &said) || said.Code != "42501" {
			t.Errorf("%s: %v, want SQLSTATE 42501", text, err)
		}
	}
}

// TestStatisticsHoldNobody holds that the planner's statistics, which no erasure reaches, name no person and no key.
func TestStatisticsHoldNobody(t *testing.T) {
	address := pgtest.Place(t)
	k := ready(t, address, pgkeys.Options{Flush: 1, Clock: hasty{}})
	for i := range 20 {
		krid := person()
		if _, err := k.ChangeKeys(t.Context(), []storage.KeyChange{minting(krid, storage.LookupToken{byte(i)})}); err != nil {
			t.Fatal(err)
		}
		if err := k.RecordUses(t.Context(), []storage.Use{use(i, krid)}); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, address)
	for _, table := range []string{"keyring", "key_lookup", "key_retention", "key_epoch", "key_use", "key_run"} {
		if _, err := conn.Exec(t.Context(), "ANALYZE "+table); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT DISTINCT attname::text FROM pg_stats
		WHERE schemaname = current_setting('search_path') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, secret := range []string{"record", "krid", "token", "term", "postings"} {
		if slices.Contains(columns, secret) {
			t.Errorf("statistics are kept of column %s", secret)
		}
	}
	if err != nil || !slices.Contains(columns, "version") || !slices.Contains(columns, "number") {
		t.Errorf("statistics are kept of %q, %v", columns, err)
	}
}

// TestServerAway makes every call while the server is away, and again when it is back.
func TestServerAway(t *testing.T) {
	server := pgtest.Start(t, nil)
	k := ready(t, server.Address("keys"), pgkeys.Options{Patience: 100 * time.Millisecond})
	krid := person()
	if _, err := k.ChangeKeys(t.Context(), []storage.KeyChange{minting(krid, storage.LookupToken{1})}); err != nil {
		t.Fatal(err)
	}
	n := byte(1)
	calls := map[string]func(ctx context.Context) error{
		"KeyHead":    func(ctx context.Context) error { _, err := k.KeyHead(ctx); return err },
		"Keyrings":   func(ctx context.Context) error { _, err := k.Keyrings(ctx, []event.KRID{krid}); return err },
		"Lookups":    func(ctx context.Context) error { _, err := k.Lookups(ctx, nil); return err },
		"Retentions": func(ctx context.Context) error { _, err := k.Retentions(ctx, nil); return err },
		"ScanKeyrings": func(ctx context.Context) error {
			_, err := k.ScanKeyrings(ctx, storage.KeyringQuery{Limit: 1})
			return err
		},
		"ChangeKeys": func(ctx context.Context) error {
			n++
			_, err := k.ChangeKeys(ctx, []storage.KeyChange{minting(person(), storage.LookupToken{n})})
			return err
		},
		"ScrubKeys":  func(ctx context.Context) error { _, err := k.ScrubKeys(ctx); return err },
		"RecordUses": func(ctx context.Context) error { return k.RecordUses(ctx, []storage.Use{use(1, krid)}) },
		"PageUses":   func(ctx context.Context) error { _, err := k.PageUses(ctx, storage.UseQuery{Limit: 1}); return err },
		"PruneUses":  func(ctx context.Context) error { _, err := k.PruneUses(ctx, 1); return err },
		"KeySizes":   func(ctx context.Context) error { _, err := k.KeySizes(ctx); return err },
	}
	server.Stop(t)
	for name, call := range calls {
		if err := call(t.Context()); !errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknown) {
			t.Errorf("%s while the server is away: %v", name, err)
		}
	}
	server.Restart(t)
	for name, call := range calls {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s after the server came back: %v", name, err)
		}
	}
	rings, err := k.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 10})
	if err != nil || len(rings) != 2 {
		t.Errorf("there are %d keyrings, want what was acknowledged before and after, 2: %v", len(rings), err)
	}
}
