package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Replica copies the server into a second one that follows it, and returns when it does. With sync the server answers
// no commit before this replica, and every earlier one made with sync, has it on disk; so it answers none while one of
// them is down. Users, passwords and settings are those of the server at that moment.
func (s *Server) Replica(t testing.TB, sync bool) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := newServer()
	if err != nil {
		t.Fatalf("make replica: %v", err)
	}
	t.Cleanup(func() { r.remove(t) })
	r.password = s.password
	if err := s.feed(ctx, r, sync); err != nil {
		t.Fatalf("make replica: %v", err)
	}
	return r
}

func (s *Server) feed(ctx context.Context, r *Server, sync bool) error {
	// The directory's name is unique, and made of letters, digits and "-" alone.
	name := r.dir[strings.LastIndexByte(r.dir, '/')+1:]
	source := s.url(superuser, s.password, database)
	source.RawQuery += "&application_name=" + name
	err := r.run(ctx, "pg_basebackup", "-d", source.String(), "-D", "data", "--write-recovery-conf",
		"--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if err != nil {
		return err
	}
	// Once promoted it must not wait for replicas that follow another server. The last line wins.
	if err := r.write(ctx, "data/postgresql.auto.conf", "synchronous_standby_names = ''\n"); err != nil {
		return err
	}
	if err := r.startAnywhere(ctx); err != nil {
		return err
	}
	state := "async"
	if sync {
		state = "sync"
		if err := s.waitFor(ctx, append(s.copies, name)); err != nil {
			return err
		}
	}
	return until(ctx, r.process.done, func() (bool, error) {
		return s.ask(ctx, database, `SELECT count(*) = 1 FROM pg_stat_replication
			WHERE application_name = $1 AND state = 'streaming' AND ($2 = 'async' OR sync_state = $2)`, name, state)
	})
}

// waitFor makes commits wait for these replicas, all of them.
func (s *Server) waitFor(ctx context.Context, names []string) error {
	s.copies = names
	list := fmt.Sprintf(`FIRST %d ("%s")`, len(names), strings.Join(names, `", "`))
	return s.exec(ctx, database, "ALTER SYSTEM SET synchronous_commit = on",
		"ALTER SYSTEM SET synchronous_standby_names = '"+list+"'", "SELECT pg_reload_conf()")
}

// Promote makes a replica a server of its own that can be written to, and returns when it can. The one it followed
// should be down by then: nothing keeps the two apart.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done, err := s.ask(ctx, database, "SELECT pg_promote(true, 60)")
	if err == nil && !done {
		err = errors.New("it is still a replica after 60 s")
	}
	if err != nil {
		t.Fatalf("promote replica: %v", err)
	}
}
