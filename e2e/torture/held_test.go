package torture_test

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// TestHeld: while one process holds a folder, any other is refused with the holder named, also one that only wants
// to read; when the holder is killed, the folder opens.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	holder := order{mode: "hold", dir: dir, run: 1}.command(t.Context())
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "opened\n" {
		t.Fatalf("the holder told %q, %v", line, err)
	}
	named := fmt.Sprintf("process %d holds it", holder.Process.Pid)

	_, err = sqlite.Open(t.Context(), dir, nil)
	if !errors.Is(err, event.ErrHeld) || !strings.Contains(err.Error(), named) {
		t.Errorf("open a held folder: %v; want ErrHeld and %q", err, named)
	}
	reader := order{mode: "read", dir: dir, run: 1}.command(t.Context())
	answer, err := reader.Output()
	if err == nil || string(answer) != "ended store_held\n" {
		t.Errorf("a second process that reads told %q, %v; want store_held", answer, err)
	}

	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err == nil {
		t.Errorf("the holder ended by itself")
	}
	engine, err := sqlite.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatalf("open after the holder was killed: %v", err)
	}
	store, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	draft := ticket{run: 1}.draft(0)
	if _, err := store.As(event.Actor{}).Append(t.Context(), event.Stream("s", "1"), event.None, draft); err != nil {
		t.Errorf("append after the holder was killed: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
