// Package pgtest gives tests PostgreSQL: real servers of their own, that can be killed, stopped, restarted, copied and
// promoted, and a proxy that cuts connections between two messages.
//
// A package whose tests only need a schema of their own shares one server between them:
//
//	func TestMain(m *testing.M) { pgtest.Run(m) }
//
//	func TestStore(t *testing.T) {
//		store, err := postgres.Open(t.Context(), pgtest.Place(t), nil)
//		…
//	}
//
// That is the server LETHE_TEST_POSTGRES names, and where it names none, one that Run starts on first use.
// A test that needs a server for itself starts it:
//
//	server := pgtest.Start(t, map[string]string{"max_connections": "20"})
//	replica := server.Replica(t, true)
//	server.Kill(t)
//	replica.Promote(t)
//
// Servers are Debian's binaries of version 15 or newer, as `scripts/install-test-tools.sh postgres` installs them. They
// listen on 127.0.0.1 only, without TLS, with password (SCRAM), with data checksums and with fsync. They and their
// directories are gone when the test has ended, and also when its process was killed.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
)

const (
	superuser = "postgres"
	database  = "lethe"
	// patience bounds every wait for a server. It is far more than a slow machine needs.
	patience = 2 * time.Minute
	// pause lies between two looks at something that has to come about.
	pause = 20 * time.Millisecond
)

// Server is a PostgreSQL server that belongs to one test. It has a superuser `postgres` and a database `lethe`. Its
// methods may be called from several goroutines, but those that stop or start it only one after the other.
type Server struct {
	place
	port     int
	password string
	guard    *guard
	process  *process // nil while it is down
	copies   []string // application names of its synchronous replicas
}

// process is one run of a server's postmaster.
type process struct {
	cmd *exec.Cmd
	log tail
	// done is closed when the postmaster and all its children have ended: they hold the pipe of the log.
	done chan struct{}
}

// Start makes a server and starts it, with settings as in postgresql.conf, and takes it away when the test has ended.
func Start(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := start(ctx, settings)
	if err != nil {
		t.Fatalf("start server: %v", err)
	}
	t.Cleanup(func() { s.remove(t) })
	return s
}

func (s *Server) remove(t testing.TB) {
	if err := s.close(); err != nil {
		t.Errorf("remove server: %v", err)
	}
}

func start(ctx context.Context, settings map[string]string) (*Server, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx, settings); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// newServer makes an empty directory with a guard, and nothing that runs.
func newServer() (*Server, error) {
	home, err := openPlace()
	if err != nil {
		return nil, err
	}
	g, err := openGuard(home.dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(home.dir))
	}
	return &Server{place: home, password: rand.Text(), guard: g}, nil
}

// create makes the data directory, starts the server, and makes the database.
func (s *Server) create(ctx context.Context, settings map[string]string) error {
	if err := s.write(ctx, "password", s.password); err != nil {
		return err
	}
	err := s.run(ctx, "initdb", "-D", "data", "-U", superuser, "--pwfile=password", "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--data-checksums", "--no-sync")
	if err != nil {
		return err
	}
	if err := s.write(ctx, "data/postgresql.conf", configuration(settings)); err != nil {
		return err
	}
	if err := s.startAnywhere(ctx); err != nil {
		return err
	}
	return s.exec(ctx, "postgres", "CREATE DATABASE "+database)
}

func configuration(settings map[string]string) string {
	all := map[string]string{
		"shared_buffers":  "64MB",
		"max_connections": "200",
		"max_wal_size":    "256MB",
		// In the data directory, which is removed, and not in /dev/shm, where a killed server leaves it.
		"dynamic_shared_memory_type": "mmap",
		// A replica that lost its primary looks for it ten times a second.
		"wal_retrieve_retry_interval": "100ms",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return text.String()
}

// startAnywhere looks for a port until the server gets it: another process may be quicker.
func (s *Server) startAnywhere(ctx context.Context) error {
	for range 9 {
		var err error
		if s.port, err = freePort(rand.Reader); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil || !errors.Is(err, errPort) {
			return err
		}
	}
	return errPort
}

var errPort = errors.New("start postgres: its port is taken")

// start runs the postmaster, and returns when it answers.
func (s *Server) start(ctx context.Context) error {
	p := &process{done: make(chan struct{})}
	p.cmd = s.command(context.Background(), "postgres", "-D", "data", "-c", fmt.Sprintf("port=%d", s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.process = p
	go func() {
		_ = p.cmd.Wait() // how it ended stands in its log
		close(p.done)
	}()
	if err := s.guard.watch(p.cmd.Process.Pid); err != nil {
		return err
	}
	var last error
	err := until(ctx, p.done, func() (bool, error) {
		_, last = s.ask(ctx, "postgres", "SELECT true")
		return last == nil, nil
	})
	if errors.Is(err, errEnded) {
		err = errors.Join(err, s.forget())
		if strings.Contains(p.log.String(), "could not create any TCP/IP sockets") {
			return errors.Join(errPort, err)
		}
	}
	if err != nil {
		return fmt.Errorf("start postgres: %w\n%w\n%s", err, last, p.log.String())
	}
	return nil
}

var errEnded = errors.New("the server has ended")

// until looks again and again, until it sees what it waits for.
func until(ctx context.Context, ended <-chan struct{}, look func() (bool, error)) error {
	for {
		if seen, err := look(); seen || err != nil {
			return err
		}
		select {
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		case <-event.SystemClock{}.After(pause):
		}
	}
}

// forget drops a process that has ended.
func (s *Server) forget() error {
	s.process = nil
	return s.guard.watch(0)
}

// close ends the server at once, and removes its directory.
func (s *Server) close() error {
	var err error
	if p := s.process; p != nil {
		if err = p.cmd.Process.Signal(syscall.SIGQUIT); errors.Is(err, os.ErrProcessDone) {
			err = nil // it has ended by itself, as a test may want
		}
		<-p.done
		err = errors.Join(err, s.forget())
	}
	return errors.Join(err, s.guard.close())
}

// Address is the URL of a schema, as the superuser.
func (s *Server) Address(schema string) string { return s.AddressOf(superuser, s.password, schema) }

// AddressOf is the URL of a schema for a user, whom the test has made; a wrong password is refused.
func (s *Server) AddressOf(user, password, schema string) string {
	address := s.url(user, password, database)
	query := address.Query()
	query.Set("schema", schema)
	address.RawQuery = query.Encode()
	return address.String()
}

func (s *Server) url(user, password, database string) *url.URL {
	return &url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: fmt.Sprintf("127.0.0.1:%d", s.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
}

// Exec runs statements as the superuser on database `lethe`, each string in a transaction of its own.
func (s *Server) Exec(t testing.TB, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.exec(ctx, database, sql...); err != nil {
		t.Fatalf("%v", err)
	}
}

func (s *Server) exec(ctx context.Context, database string, sql ...string) error {
	return execute(ctx, s.url(superuser, s.password, database).String(), sql...)
}

func execute(ctx context.Context, address string, sql ...string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	for i, text := range sql {
		if _, err = conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			err = fmt.Errorf("execute statement %d of %d: %w", i+1, len(sql), err)
			break
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

// ask gets one truth value.
func (s *Server) ask(ctx context.Context, database, sql string, args ...any) (yes bool, err error) {
	conn, err := pgx.Connect(ctx, s.url(superuser, s.password, database).String())
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	err = conn.QueryRow(ctx, sql, args...).Scan(&yes)
	return yes, errors.Join(err, conn.Close(ctx))
}
