package torture_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// TestFull fills a real, small file system under a store. The victim mounts it in a namespace of its own, which ends
// with it.
func TestFull(t *testing.T) {
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Fatal("unshare is not installed; install it with: apt-get install util-linux")
	}
	mount := `mount -t tmpfs -o size=10m torture "$LETHE_VICTIM_DIR" && exec "$0"`
	var told []string
	for _, flags := range []string{"-m", "-Urm"} { // the second for those who are not root
		o := order{mode: "fill", dir: t.TempDir(), run: 1, flush: 50}
		cmd := o.command(t.Context(), "unshare", flags, "sh", "-c", mount)
		cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Logf("%s", out)
			return
		}
		told = append(told, fmt.Sprintf("unshare %s: %v: %s", flags, err, out))
		if strings.Contains(string(out), "opened") {
			break
		}
	}
	t.Fatal(strings.Join(told, "\n"))
}

// fill appends until the disk is full, reads all the same, makes room, and goes on, again and again. At last it opens
// the store anew while the disk is full.
func fill(ctx context.Context, w *work) {
	const rounds = 3
	ballast := func(round uint32) string { return filepath.Join(w.dir, fmt.Sprint("ballast", round)) }
	for round := range uint32(rounds) {
		if err := os.WriteFile(ballast(round), make([]byte, 2<<20), 0o600); err != nil {
			w.fail("write ballast: %v", err)
		}
	}
	for round := range uint32(rounds) {
		last, n := w.fillUp(ctx, round)
		w.checkFull(ctx, last, fullTicket(round, n))
		if err := os.Remove(ballast(round)); err != nil {
			w.fail("make room: %v", err)
		}
		w.resume(ctx, last, round, n)
	}
	last, _ := w.fillUp(ctx, rounds)
	if err := w.store.Close(); err != nil {
		w.fail("close on a full disk: %v", err)
	}
	w.reopen(ctx)
	w.checkRead(ctx, last)
}

func (w *work) reopen(ctx context.Context) {
	engine, err := sqlite.Open(ctx, w.dir, &sqlite.Options{Flush: w.flush})
	if err == nil {
		w.store, err = lethe.Open(ctx, engine, kms.None, nil)
	}
	if err != nil {
		w.fail("open on a full disk: %v", err)
	}
}

func (w *work) fail(format string, args ...any) {
	w.tell(format, args...)
	os.Exit(exitFailed)
}

// fullTicket names requests of a round, each to one stream.
func fullTicket(round, n uint32) ticket {
	return ticket{run: 1, worker: bulky, sequence: round<<16 + n}
}

func (w *work) fillUp(ctx context.Context, round uint32) (last event.Position, n uint32) {
	head, err := w.store.Head(ctx)
	if err != nil {
		w.fail("read head: %v", err)
	}
	for last = head.Position; ; n++ {
		res, err := w.store.As(event.Actor{}).AppendAll(ctx, fullTicket(round, n).request())
		switch {
		case err == nil:
			last = res.Last()
		case errors.Is(err, event.ErrFull):
			if !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), "make room") {
				w.fail("the error does not say what to do: %v", err)
			}
			return last, n
		default:
			w.fail("round %d, append %d: want event.ErrFull: %v", round, n, err)
		}
		if n > 1000 {
			w.fail("the disk does not get full")
		}
	}
}

// checkFull: while the disk is full, everything is read, and a retry is refused alike.
func (w *work) checkFull(ctx context.Context, last event.Position, k ticket) {
	w.checkRead(ctx, last)
	_, err := w.store.As(event.Actor{}).AppendAll(ctx, k.request())
	if !errors.Is(err, event.ErrFull) {
		w.fail("retry on a full disk: %v", err)
	}
}

// checkRead: the head stands at last, and everything up to there can be read.
func (w *work) checkRead(ctx context.Context, last event.Position) {
	head, err := w.store.Head(ctx)
	if err != nil || head.Position != last {
		w.fail("the head is at %d, %v; acknowledged was %d", head.Position, err, last)
	}
	events, err := gather(w.store.As(event.Actor{}), ctx, lethe.Query{})
	if err != nil || len(events) != int(last) {
		w.fail("while the disk is full, %d of %d events can be read: %v", len(events), last, err)
	}
}

// resume appends what was refused; it gets the next position, in the same process.
func (w *work) resume(ctx context.Context, last event.Position, round, n uint32) {
	k := fullTicket(round, n)
	res, err := w.store.As(event.Actor{}).AppendAll(ctx, k.request())
	if err != nil || res.Repeated || res.Events[0].Position != last+1 {
		w.fail("append when there is room again: %+v, %v; want position %d", res, err, last+1)
	}
	events, err := gather(w.store.As(event.Actor{}), ctx, lethe.Query{})
	if err != nil || checkGaps(events) != nil || len(events) != int(res.Last()) {
		w.fail("after there was room again: %d events, %v, %v", len(events), err, checkGaps(events))
	}
	w.tell("round %d: full after %d appends at position %d, and on again", round, n, last)
}
