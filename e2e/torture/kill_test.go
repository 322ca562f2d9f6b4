package torture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
)

// command is a victim that is not started yet.
func (o order) command(ctx context.Context, wrapper ...string) *exec.Cmd {
	args := append(wrapper, os.Args[0])
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), o.environment()...)
	return cmd
}

// killed lets a victim work and kills it: after so many lines, or after a while if it has told fewer.
func (o order) killed(ctx context.Context, a *account, after int, while time.Duration) error {
	cmd := o.command(ctx)
	complaint := new(bytes.Buffer)
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	enough := make(chan struct{})
	gone := make(chan error, 1)
	go func() {
		select {
		case <-enough:
		case <-(event.SystemClock{}).After(while):
		}
		gone <- cmd.Process.Kill()
	}()
	err = a.hear(o.run, out, func(lines int) {
		if lines == after {
			close(enough)
		}
	})
	err = errors.Join(err, <-gone)
	if wait := cmd.Wait(); wait == nil || cmd.ProcessState.ExitCode() != -1 {
		return errors.Join(err, fmt.Errorf("the victim ended by itself: %v: %s", cmd.ProcessState, complaint))
	}
	return err
}

// cyclesPerStore is how often one folder is killed in and opened again, before a new one begins.
const cyclesPerStore = 8

// TestKill kills a process in the middle of appends, truncations, an import and a follower's checkpoints.
func TestKill(t *testing.T) {
	t.Parallel()
	from := seed(t)
	cycles := scale(t, "LETHE_KILLS", 200)
	events, lines := 0, 0
	for n := 0; n < cycles; {
		dir, a, flush := t.TempDir(), newAccount(), []int{7, 64, 1000}[n/cyclesPerStore%3]
		for run := uint32(1); run <= cyclesPerStore && n < cycles; run++ {
			random := chance(from, n)
			after, while := 1+random.IntN(150), 20*time.Second
			if random.IntN(4) == 0 { // while it opens, or soon after
				after, while = 1<<30, time.Duration(random.IntN(60_000))*time.Microsecond
			}
			o := order{mode: "storm", dir: dir, run: run, flush: flush}
			err := o.killed(t.Context(), a, after, while)
			if err == nil {
				err = a.healthy()
			}
			if err == nil {
				err = a.settle(t.Context(), dir, flush)
			}
			if err != nil {
				t.Fatalf("kill %d of LETHE_SEED=%d, flush %d, in %s: %v", n, from, flush, dir, err)
			}
			n++
		}
		events, lines = events+len(a.acked), lines+a.lines
	}
	t.Logf("%d kills: 0 of %d acknowledged requests lost, 0 phantoms, in %d answers", cycles, events, lines)
}

// healthy: without a fault nothing is refused, nothing is unknown, and no task ends with an error.
func (a *account) healthy() error {
	for k, code := range a.refused {
		return fmt.Errorf("request %+v was refused (%s)", k, code)
	}
	for _, code := range a.endings {
		if code != "ok" {
			return fmt.Errorf("a task ended with %s", code)
		}
	}
	return nil
}
