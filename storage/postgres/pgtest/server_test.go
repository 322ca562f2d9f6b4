package pgtest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// dial connects to an address of this package. Its parameter schema is for engines: PostgreSQL does not know it.
func dial(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := connect(t, address)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return conn
}

func connect(t testing.TB, address string) (*pgx.Conn, error) {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatalf("parse address: %v", err)
	}
	config.RuntimeParams["search_path"] = config.RuntimeParams["schema"]
	delete(config.RuntimeParams, "schema")
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(t.Context()) }) // several tests break the connection
	}
	return conn, err
}

// read gets one value of any type as text.
func read(t testing.TB, address, sql string) string {
	t.Helper()
	conn := dial(t, address)
	var value string
	if err := conn.QueryRow(t.Context(), "SELECT ("+sql+")::text").Scan(&value); err != nil {
		t.Fatalf("read %s: %v", sql, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatalf("close: %v", err)
	}
	return value
}

func expect(t testing.TB, address, sql, want string) {
	t.Helper()
	if got := read(t, address, sql); got != want {
		t.Errorf("%s is %s, want %s", sql, got, want)
	}
}

func TestStart(t *testing.T) {
	s := pgtest.Start(t, map[string]string{"max_connections": "17", "search_path": `"$user", 'it''s', public`})
	address := s.Address("public")
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"max_connections": "17", "server_encoding": "UTF8", "lc_collate": "C", "lc_messages": "C",
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "",
	} {
		expect(t, address, "current_setting('"+setting+"')", want)
	}
	expect(t, address, "current_database()", "lethe")
	expect(t, address, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", "true")
	expect(t, address, "current_setting('server_version_num')::int >= 150000", "true")
}

func TestPasswords(t *testing.T) {
	s := pgtest.Start(t, nil)
	s.Exec(t, "CREATE USER clerk PASSWORD 'right'", "CREATE SCHEMA files AUTHORIZATION clerk")
	right := s.AddressOf("clerk", "right", "files")
	expect(t, right, "current_user || ' ' || current_schema()", "clerk files")
	if _, err := connect(t, s.AddressOf("clerk", "wrong", "files")); err == nil {
		t.Error("a wrong password is let in")
	}
}

func TestKill(t *testing.T) {
	s := pgtest.Start(t, nil)
	s.Exec(t, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
	for _, end := range []func(testing.TB){s.Kill, s.Kill, s.Stop} {
		// A transaction is open, and a backend busy: neither may live on or answer.
		open, busy := dial(t, s.Address("public")), dial(t, s.Address("public"))
		if _, err := open.Exec(t.Context(), "BEGIN; INSERT INTO kept VALUES (1000)"); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error)
		go func() {
			_, err := busy.Exec(t.Context(), "INSERT INTO kept SELECT 1000 FROM pg_sleep(3600)")
			answer <- err
		}()
		end(t)
		if err := <-answer; err == nil {
			t.Error("a query that takes an hour was answered")
		}
		if _, err := connect(t, s.Address("public")); err == nil {
			t.Error("a server that is down lets callers in")
		}
		s.Restart(t)
		expect(t, s.Address("public"), "SELECT sum(n) FROM kept", "1")
	}
}

// TestGuard kills a process of tests while its server runs: nothing of the server may stay.
func TestGuard(t *testing.T) {
	const victim = "PGTEST_VICTIM"
	if os.Getenv(victim) != "" {
		s := pgtest.Start(t, nil)
		fmt.Println(s.Address("public"))
		fmt.Println(read(t, s.Address("public"), "current_setting('data_directory')"))
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGuard$")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var address, data string
	if _, err := fmt.Fscan(out, &address, &data); err != nil {
		t.Fatalf("read what the victim prints: %v", err)
	}
	expect(t, address, "SELECT 1", "1")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	// The guard removes the directory last. That it does not is found by the limit of the whole run.
	for err == nil {
		time.Sleep(10 * time.Millisecond)
		_, err = os.Stat(filepath.Dir(data))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("look for the directory: %v", err)
	}
	if _, err := connect(t, address); err == nil {
		t.Error("the server still lets callers in")
	}
}

func TestReplica(t *testing.T) {
	s := pgtest.Start(t, nil)
	s.Exec(t, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
	late, sync := s.Replica(t, false), s.Replica(t, true)
	expect(t, late.Address("public"), "SELECT sum(n) FROM kept", "1")
	expect(t, sync.Address("public"), "pg_is_in_recovery()", "true")
	for range 20 {
		s.Exec(t, "INSERT INTO kept VALUES (1)")
	}
	s.Kill(t)
	sync.Promote(t)
	expect(t, sync.Address("public"), "SELECT sum(n) FROM kept", "21")
	sync.Exec(t, "INSERT INTO kept VALUES (1)")
	expect(t, sync.Address("public"), "SELECT sum(n) FROM kept", "22")
}

func TestReplicas(t *testing.T) {
	s := pgtest.Start(t, nil)
	first, second := s.Replica(t, true), s.Replica(t, true)
	s.Exec(t, "CREATE TABLE kept (n int)")
	first.Kill(t)
	conn := dial(t, s.Address("public"))
	answer := make(chan error)
	go func() {
		_, err := conn.Exec(t.Context(), "INSERT INTO kept VALUES (1)")
		answer <- err
	}()
	first.Restart(t)
	if err := <-answer; err != nil {
		t.Errorf("a commit that waited for its replica: %v", err)
	}
	s.Stop(t)
	first.Promote(t)
	second.Promote(t)
	for _, r := range []*pgtest.Server{first, second} {
		expect(t, r.Address("public"), "SELECT sum(n) FROM kept", "1")
		r.Exec(t, "INSERT INTO kept VALUES (1)")
	}
}
