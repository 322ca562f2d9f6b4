package pgtest

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/lethe-es/lethe/event"
)

// Kill ends the server as a crash of its machine does: postmaster and backends are gone at once, and no backend gets
// to answer what it has begun. What the system already holds of its files is not lost, as it were without power.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.kill(ctx); err != nil {
		t.Fatalf("kill server: %v", err)
	}
}

// kill halts the postmaster first, so that it makes no new backends and does not see the old ones die.
func (s *Server) kill(ctx context.Context) error {
	p := s.process
	if p == nil {
		return errDown
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := until(ctx, p.done, func() (bool, error) {
		ids, stopped, err := children(p.cmd.Process.Pid)
		for _, id := range ids {
			if stopped {
				_ = syscall.Kill(id, syscall.SIGKILL) // it may have ended by itself
			}
		}
		return stopped && len(ids) == 0, err
	})
	err = errors.Join(err, p.cmd.Process.Kill())
	if err != nil {
		return err
	}
	<-p.done
	return s.forget()
}

var errDown = errors.New("the server is down")

// Stop shuts the server down as its operator would, without waiting for clients ("fast").
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	p := s.process
	if p == nil {
		t.Fatalf("stop server: %v", errDown)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatalf("stop server: %v", err)
	}
	select {
	case <-p.done:
	case <-event.SystemClock{}.After(patience):
		t.Fatalf("stop server: it still runs after %v\n%s", patience, p.log.String())
	}
	if err := s.forget(); err != nil {
		t.Fatalf("stop server: %v", err)
	}
}

// Restart starts a server that was killed or stopped, on its port and with its data, and returns when it answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.process != nil {
		t.Fatal("restart server: it runs; Stop or Kill it first")
	}
	if err := s.start(ctx); err != nil {
		t.Fatalf("restart server: %v", err)
	}
}
