package postgres_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// Passwords and content that no error may show.
const (
	password = "correct-horse-4711"
	payload  = "Ada-Lovelace-1815"
)

// sentence holds that an error is what it must be (nil: none that callers know), says so in one line with a cause and a
// next step, and shows neither passwords nor content.
func sentence(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("there is no error, want %v", kind)
		return
	}
	t.Log(err)
	if kind == nil && event.Code(err) != "internal" || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%v\nis not: %v", err, kind)
	}
	text := err.Error()
	if strings.ContainsAny(text, "\n\r") || len(text) > 500 || !strings.Contains(text, "; ") {
		t.Errorf("this is not one line with a next step:\n%s", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s\ndoes not say: %s", text, word)
		}
	}
	mum(t, err)
}

// mum holds that no way to print an error shows a secret, and that the database's own error is not within reach.
func mum(t *testing.T, err error) {
	t.Helper()
	all := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		all += fmt.Sprintf(" %+v", e)
	}
	for _, secret := range []string{password, url.QueryEscape(password), payload} {
		if strings.Contains(all, secret) {
			t.Errorf("this shows %q:\n%s", secret, all)
		}
	}
	var said *pgconn.PgError
	var connecting *pgconn.ConnectError
	if errors.As(err, &said) || errors.As(err, &connecting) {
		t.Errorf("the library's error with all it knows can be taken out of: %v", err)
	}
}

// impatient opens a store that gives up soon.
func impatient(address string) (*postgres.Store, error) {
	return postgres.Open(context.Background(), address, &postgres.Options{Create: true, Patience: 100 * time.Millisecond})
}

// ready is impatient for stores that must open.
func ready(t *testing.T, address string) *postgres.Store {
	t.Helper()
	s, err := impatient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *postgres.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// refused holds that a store does not open.
func refused(t *testing.T, address string, kind error, words ...string) {
	t.Helper()
	s, err := impatient(address)
	if err == nil {
		closeStore(t, s)
	}
	sentence(t, err, kind, append(words, "open store: ")...)
}

// with sets a parameter of an address.
func with(address, name, value string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// at is an address on another host, and in another database.
func at(address, host, database string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	u.Host, u.Path = host, "/"+database
	return u.String()
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// add appends one event with this content to stream note/1.
func add(s storage.Log, content string) error {
	stream := event.Stream("note", "1")
	var id event.ID
	rand.Read(id[:]) // never fails
	d := event.Draft{Type: "Noted", Data: []byte(`{"text":"` + content + `"}`)}
	_, err := s.Commit(context.Background(), storage.Probe{Streams: []event.StreamID{stream}},
		func(h storage.Head, f storage.Found) (storage.Batch, error) {
			return storage.Batch{
				Frontier: []byte("frontier"),
				Records: []storage.Record{{
					Position: h.Position + 1, ID: id, Stream: stream, Version: f.Streams[0].Version + 1, Type: d.Type,
					Recorded: 1, Commitments: make([]byte, 32), Body: event.AppendBody(nil, &d),
					Terms: storage.NewTerms(h.Identity).Append(nil, stream, &d),
				}},
			}, nil
		})
	return err
}

// all are the log's records.
func all(t *testing.T, s storage.Log) (records []storage.Record) {
	t.Helper()
	for from, done := uint64(1), false; !done; {
		page, err := s.Page(t.Context(), storage.Query{From: from, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, page.Records...)
		from, done = page.Scanned+1, page.Done
	}
	return records
}

func TestOpenRefused(t *testing.T) {
	server := pgtest.Start(t, map[string]string{"max_connections": "14"})
	server.Exec(t,
		"CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
		"CREATE DATABASE bare ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
		"CREATE USER clerk PASSWORD '"+password+"'",
		"CREATE USER still PASSWORD '"+password+"'", "ALTER USER still SET default_transaction_read_only = on",
		"CREATE USER narrowed PASSWORD '"+password+"' CONNECTION LIMIT 0",
		"CREATE SCHEMA foreigners", "CREATE TABLE foreigners.customer ()",
		"CREATE SCHEMA hidden", "CREATE SCHEMA bare", "GRANT USAGE ON SCHEMA bare TO clerk")
	own := server.Address("loans")
	clerk := func(schema string) string { return server.AddressOf("clerk", password, schema) }
	host := hostOf(own)

	t.Run("login", func(t *testing.T) {
		refused(t, server.AddressOf("clerk", "wrong-"+payload, "loans"), event.ErrDenied, "login", `user "clerk"`, "28P01")
		refused(t, server.AddressOf("nobody", password, "loans"), event.ErrDenied, "login", `user "nobody"`)
		refused(t, server.AddressOf("narrowed", password, "loans"), event.ErrUnavailable, "no connection left", "53300")
	})
	t.Run("address", func(t *testing.T) {
		refused(t, at(clerk("loans"), host, "missing"), event.ErrNotFound, "none of this name", "3D000")
		refused(t, at(clerk("loans"), "127.0.0.1:1", "lethe"), event.ErrUnavailable, "127.0.0.1:1: connection refused")
		refused(t, with(clerk("loans"), "sslmode", "require"), event.ErrUnavailable, host, "refused TLS", "turn on ssl")
		refused(t, with(clerk("loans"), "sslmode", "maybe"), event.ErrInvalid, "clerk@"+host, "sslmode is invalid")
		refused(t, with(clerk("loans"), "sslrootcert", "/missing"), event.ErrInvalid, "/missing")
		refused(t, with(clerk("loans"), "work_memory", "1"), event.ErrInvalid, `"work_memory"`)
		refused(t, with(clerk("loans"), "work_mem", "much"), event.ErrInvalid, "value of a parameter")
	})
	t.Run("database", func(t *testing.T) {
		refused(t, at(own, host, "narrow"), event.ErrInvalid, "encoding is LATIN1, want UTF8")
		refused(t, at(own, host, "bare"), event.ErrInvalid, "encoding is SQL_ASCII, want UTF8")
		refused(t, server.AddressOf("still", password, "loans"), event.ErrUnavailable, "set to read only")
		refused(t, server.Address("foreigners"), event.ErrFormat, "tables that are not Lethe's", "another schema")
	})
	t.Run("privileges to create", func(t *testing.T) {
		refused(t, clerk("loans"), event.ErrDenied, "permission denied for database lethe", "docs/postgresql.md")
		refused(t, clerk("bare"), event.ErrDenied, "permission denied for schema bare")
		refused(t, clerk("hidden"), event.ErrDenied, "user clerk lacks USAGE on schema hidden")
	})
	t.Run("nothing is there", func(t *testing.T) {
		_, err := postgres.Open(t.Context(), own, nil)
		sentence(t, err, event.ErrNotFound, "none in schema loans")
	})
	conn, _ := connect(t, own)
	if left := tables(t, conn, "loans"); len(left) > 0 {
		t.Errorf("who was refused left tables behind: %q", left)
	}
	t.Run("newer", func(t *testing.T) {
		closeStore(t, ready(t, own))
		server.Exec(t, "INSERT INTO loans.lethe_format VALUES (1000)")
		refused(t, own, event.ErrFormat, "its format is 1000", "upgrade Lethe")
	})
	server.Exec(t, "CREATE SCHEMA clerks AUTHORIZATION clerk")
	t.Run("connections", func(t *testing.T) { connectionsLeft(t, clerk("clerks")) })
}

func TestOpenReplica(t *testing.T) {
	server := pgtest.Start(t, nil)
	s := ready(t, server.Address("loans"))
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	replica := server.Replica(t, true)
	refused(t, replica.Address("loans"), event.ErrUnavailable, "it is a replica", "target_session_attrs=read-write")
	// Of several hosts the primary is found, in whichever order they stand.
	both := with(replica.Address("loans"), "target_session_attrs", "read-write")
	u, err := url.Parse(both)
	if err != nil {
		t.Fatal(err)
	}
	u.Host += "," + hostOf(server.Address("loans"))
	found := ready(t, u.String())
	if err := add(found, payload); err != nil {
		t.Error(err)
	}
	refused(t, both, event.ErrUnavailable, "read only connection", "promote a replica")
}

// TestOpenStranger answers as servers do that a test cannot have: version 14, which Debian has no more, and one behind
// a pooler that was told to ignore parameters of connections.
func TestOpenStranger(t *testing.T) {
	for path, c := range map[string]struct {
		version string
		kind    error
		words   []string
	}{
		"lethe":           {"140020", event.ErrFormat, []string{"it is PostgreSQL 14, want 15 or newer", "upgrade"}},
		`"$user", public`: {"170000", event.ErrInvalid, []string{"drops parameters of the connection", "pooler"}},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- strange(listener, c.version, path) }()
		address := "postgres://clerk@" + listener.Addr().String() + "/lethe?sslmode=disable"
		refused(t, with(address, "default_query_exec_mode", "simple_protocol"), c.kind, c.words...)
		if err := errors.Join(<-served, listener.Close()); err != nil {
			t.Error(err)
		}
	}
}

// strange serves one connection: no rows but for the question that asks for the version.
func strange(listener net.Listener, version, path string) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{
		"server_version": "14.20", "client_encoding": "UTF8", "standard_conforming_strings": "on",
	} {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	row := []string{version, "f", "UTF8", "off", "on", "on", time.Now().UTC().Format("2006-01-02 15:04:05+00"), path}
	types := []uint32{pgtype.Int4OID, pgtype.BoolOID, pgtype.TextOID, pgtype.TextOID, pgtype.TextOID, pgtype.TextOID,
		pgtype.TimestamptzOID, pgtype.TextOID}
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := b.Flush(); err != nil {
			return err
		}
		m, err := b.Receive()
		if err != nil {
			return err
		}
		asked, is := m.(*pgproto3.Query)
		if !is {
			return nil // it says goodbye
		}
		if strings.Contains(asked.String, "server_version_num") {
			var head pgproto3.RowDescription
			var values pgproto3.DataRow
			for i, text := range row {
				head.Fields = append(head.Fields, pgproto3.FieldDescription{Name: []byte("x"), DataTypeOID: types[i]})
				values.Values = append(values.Values, []byte(text))
			}
			b.Send(&head)
			b.Send(&values)
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
	}
}

// shifted is a clock that is wrong.
type shifted struct {
	event.SystemClock
	by time.Duration
}

func (c shifted) Now() time.Time { return c.SystemClock.Now().Add(c.by) }

func TestClockSkew(t *testing.T) {
	address := pgtest.Place(t)
	closeStore(t, open(t, address, postgres.Options{}))
	for by, kind := range map[time.Duration]error{
		-2 * time.Minute: event.ErrInvalid, -30 * time.Second: nil, 30 * time.Second: nil, 2 * time.Hour: event.ErrInvalid,
	} {
		s, err := postgres.Open(t.Context(), address, &postgres.Options{Clock: shifted{by: by}})
		if err == nil {
			closeStore(t, s)
		}
		if kind == nil && err != nil {
			t.Errorf("%v apart: %v", by, err)
		}
		if kind != nil {
			sentence(t, err, kind, "apart", "NTP")
		}
	}
}

// connectionsLeft takes all of a server's connections but those of a store.
func connectionsLeft(t *testing.T, address string) {
	s := ready(t, with(address, "pool_max_conns", "2")) // these, and those of writer and listener
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	rest, _, err := postgres.SplitForTest(address)
	if err != nil {
		t.Fatal(err)
	}
	var taken []*pgx.Conn
	for {
		conn, err := pgx.Connect(t.Context(), rest)
		if err != nil {
			break
		}
		taken = append(taken, conn)
	}
	if len(taken) < 6 {
		t.Errorf("the store leaves %d of 11 connections, want 7", len(taken))
	}
	refused(t, address, event.ErrUnavailable, "no connection left", "53300", "max_connections")
	if err := add(s, payload); err != nil {
		t.Errorf("who has connections keeps them: %v", err)
	}
	for _, conn := range taken {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestPatienceEnds makes every call while the server is away.
func TestPatienceEnds(t *testing.T) {
	server := pgtest.Start(t, nil)
	s := ready(t, server.Address("loans"))
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	before := all(t, s)
	calls := map[string]func() error{
		"Head":   func() error { _, err := s.Head(t.Context()); return err },
		"Commit": func() error { return add(s, payload) },
		"Page":   func() error { _, err := s.Page(t.Context(), storage.Query{Limit: 1}); return err },
		"Rewrite": func() error {
			return s.Rewrite(t.Context(), 0, []storage.Edit{{Position: 1, ID: before[0].ID, Leaf: before[0].Leaf}})
		},
		"Scrub":      func() error { _, err := s.Scrub(t.Context()); return err },
		"Tiles":      func() error { _, err := s.Tiles(t.Context(), nil); return err },
		"Streams":    func() error { _, err := s.Streams(t.Context(), storage.StreamQuery{Limit: 1}); return err },
		"Checkpoint": func() error { _, err := s.Checkpoint(t.Context(), "relay"); return err },
		"Tokens":     func() error { _, err := s.Tokens(t.Context()); return err },
		"AddToken":   func() error { return s.AddToken(t.Context(), storage.Token{ID: "reader", Label: payload}) },
		"Sizes":      func() error { _, err := s.Sizes(t.Context()); return err },
		"Reindex":    func() error { return s.Reindex(t.Context()) },
	}
	server.Stop(t)
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { sentence(t, call(), event.ErrUnavailable, "connection refused") })
	}
	server.Restart(t)
	if diff := cmp.Diff(before, all(t, s)); diff != "" {
		t.Errorf("what was acknowledged changed (-before +after):\n%s", diff)
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s after the server came back: %v", name, err)
		}
	}
}

// TestErrorsShowNoValues lets the database itself refuse rows, in words that quote them.
func TestErrorsShowNoValues(t *testing.T) {
	address := pgtest.Place(t)
	s := ready(t, address)
	conn, schema := connect(t, address)
	for _, text := range []string{
		`ALTER TABLE token ADD CHECK (label <> '` + payload + `')`,
		`CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'no place for %', encode(NEW.body, 'escape')
				USING DETAIL = encode(NEW.body, 'escape'), ERRCODE = '22P02'; END $$`,
		`CREATE TRIGGER quote BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION quote()`,
	} {
		if _, err := conn.Exec(t.Context(), "SET search_path = "+schema+"; "+text); err != nil {
			t.Fatal(err)
		}
	}
	sentence(t, add(s, payload), nil, "22P02", "server's log")
	sentence(t, s.AddToken(t.Context(), storage.Token{ID: "reader", Label: payload}), nil, "23514", "server's log")
}

// TestDiskFullSaid has the server say that its disk is full, at an insertion and at COMMIT.
func TestDiskFullSaid(t *testing.T) {
	line := pgtest.Proxy(t, pgtest.Place(t))
	s := ready(t, line.Address())
	for _, when := range []string{"INSERT INTO event", "COMMIT", "INSERT INTO batch"} {
		if err := add(s, payload); err != nil {
			t.Fatal(err)
		}
		before := all(t, s)
		line.Answer("53100", "could not extend file "+payload,
			func(query string) bool { return strings.HasPrefix(query, when) })
		sentence(t, add(s, payload), event.ErrFull, "its disk is full", "53100", "make room")
		if diff := cmp.Diff(before, all(t, s)); diff != "" {
			t.Errorf("at %s something changed (-before +after):\n%s", when, diff)
		}
	}
	if err := add(s, payload); err != nil || len(all(t, s)) != 4 {
		t.Errorf("once there is room: %v, %d events, want 4", err, len(all(t, s)))
	}
}

// smallDisk names, in a process of its own, the directory on which TestDiskFull mounts a small disk.
const smallDisk = "LETHE_TEST_SMALL_DISK"

// TestDiskFull fills a real disk, where this machine lets the test mount one that nobody else sees. Elsewhere
// TestDiskFullSaid stands alone.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		fillDisk(t, dir)
		return
	}
	dir := filepath.Join(os.TempDir(), "lethe-small-disk-"+rand.Text())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), smallDisk+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		const mayMount = 21 // CAP_SYS_ADMIN
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, AmbientCaps: []uintptr{mayMount},
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
		}
	}
	said, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && (!errors.As(err, &ended) || strings.Contains(string(said), cannotMount)) {
		t.Logf("this machine lets nobody mount a disk (%v); TestDiskFullSaid stands alone", err)
		return
	}
	if err != nil {
		t.Errorf("on a small disk: %v\n%s", err, said)
	}
}

const cannotMount = "mount a small disk: "

// fillDisk runs in a process whose mounts nobody else sees. It keeps the tables on a disk of their own.
func fillDisk(t *testing.T, dir string) {
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=12m,mode=777"); err != nil {
		t.Fatal(cannotMount, err)
	}
	server := pgtest.Start(t, map[string]string{"autovacuum": "off"})
	server.Exec(t, "COPY (SELECT) TO PROGRAM 'mkdir -m 700 "+dir+"/tables'",
		"CREATE TABLESPACE small LOCATION '"+dir+"/tables'")
	s := ready(t, with(server.Address("loans"), "default_tablespace", "small"))
	incompressible := func() string {
		b := make([]byte, 200_000)
		rand.Read(b) // never fails
		return payload + fmt.Sprintf("%x", b)
	}
	acknowledged := 0
	var err error
	for ; err == nil && acknowledged < 1000; acknowledged++ {
		err = add(s, incompressible())
	}
	acknowledged--
	sentence(t, err, event.ErrFull, "its disk is full", "make room")
	before := all(t, s)
	if len(before) != acknowledged || acknowledged < 5 {
		t.Errorf("%d events were acknowledged, and %d are there", acknowledged, len(before))
	}
	sentence(t, add(s, incompressible()), event.ErrFull)
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if err := add(s, incompressible()); err != nil {
		t.Errorf("once there is room: %v", err)
	}
	after := all(t, s)
	if len(after) != acknowledged+1 {
		t.Fatalf("%d events are there, want %d", len(after), acknowledged+1)
	}
	same := func(a, b storage.Record) bool { return a.ID == b.ID && bytes.Equal(a.Body, b.Body) }
	if !slices.EqualFunc(before, after[:acknowledged], same) {
		t.Error("what was acknowledged changed")
	}
}

// authority signs certificates of servers.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	a.certificate = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true}, key)
	return a
}

// sign makes a certificate; one of a server has addresses.
func (a *authority) sign(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.certificate
	if parent == nil {
		parent = c
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// file is where the authority's certificate lies.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTLSAndFsync(t *testing.T) {
	server, a := pgtest.Start(t, nil), newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	own := a.sign(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, key)
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: own.Raw}, "server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		server.Exec(t, fmt.Sprintf(`COPY (SELECT unnest(string_to_array('%s', E'\n'))) TO PROGRAM 'umask 077; cat >%s'`,
			pem.EncodeToMemory(block), name))
	}
	server.Exec(t, "ALTER SYSTEM SET ssl = on")
	server.Stop(t)
	server.Restart(t)
	full := with(with(server.Address("loans"), "sslmode", "verify-full"), "sslrootcert", a.file(t))
	s := ready(t, full)
	if err := add(s, payload); err != nil {
		t.Fatal(err)
	}
	conn, _ := connect(t, full)
	var plain int
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
		WHERE application_name = 'lethe' AND NOT ssl`).Scan(&plain)
	if err != nil || plain > 0 {
		t.Errorf("%d connections of the store are without TLS, %v", plain, err)
	}
	_, port, _ := net.SplitHostPort(hostOf(full))
	refused(t, at(full, "localhost:"+port, "lethe"), event.ErrUnavailable, "localhost", "sslrootcert")
	other := newAuthority(t).file(t)
	refused(t, with(full, "sslrootcert", other), event.ErrUnavailable, "unknown authority", "sslrootcert")

	server.Exec(t, "ALTER SYSTEM SET fsync = off") // a server with no protection of another kind
	server.Stop(t)
	server.Restart(t)
	refused(t, full, event.ErrInvalid, "fsync is off", "would not survive a crash")
}

func TestAddress(t *testing.T) {
	for _, text := range []string{
		"http://clerk:" + password + "@host/bank", "postgres://clerk:12#" + password + "@host/bank",
		"postgres://clerk:12?" + password + "@host/bank", "postgres://clerk:12/" + password + "@host/bank",
		"postgres://clerk:%zz" + password + "@host/bank", "postgres:clerk:" + password + "@host/bank",
		"postgres://clerk:" + password + "@host/bank?schema=Loans", "postgres://clerk:" + password + "@host/bank?schema=pg_x",
		"postgres://clerk:" + password + "@host/bank?schema=", "postgres://clerk:" + password + "@host:123456/bank",
		"postgres://clerk@host/bank?sslmode=sure&password=" + password, password,
		"postgres://clerk:" + password + "@host/bank?pool_max_conns=many",
	} {
		refused(t, text, event.ErrInvalid, "read address")
		if place := postgres.Place(text); strings.Contains(place, password) {
			t.Errorf("the place of %s is %s", text, place)
		}
	}
	for text, want := range map[string]string{
		"postgres://clerk:" + password + "@host/bank":                       "postgres://clerk@host/bank?schema=lethe",
		"postgresql://host:1/bank?schema=loans&password=" + password:        "postgres://host:1/bank?schema=loans",
		"postgres://clerk:%40%2F@a:1,b:2/bank?target_session_attrs=primary": "postgres://clerk@a:1,b:2/bank?schema=lethe",
		"postgres:///bank?host=/run/postgresql&user=clerk&password=" + password: "postgres:///bank?host=%2Frun%2Fpostgresql&" +
			"schema=lethe&user=clerk",
	} {
		if place := postgres.Place(text); place != want {
			t.Errorf("the place of %s is %s, want %s", text, place, want)
		}
	}
	address := pgtest.Place(t)
	for range 2 {
		closeStore(t, ready(t, with(address, "pool_max_conns", "1")))
	}
}
