package torture_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// account is what victims that worked in one folder told about it.
type account struct {
	acked    map[ticket]event.Position
	refused  map[ticket]string
	unknown  map[ticket]bool // what is in flight when a victim dies, too
	reached  map[ticket]uint32
	imported map[int]event.Position

	revision uint64 // of the last checkpoint that was stored
	position event.Position

	lines   int
	opened  bool     // the last victim came so far
	endings []string // codes of the last victim's tasks
	late    string   // an append that the last victim was acknowledged after a disk failed it
}

func newAccount() *account {
	return &account{acked: make(map[ticket]event.Position), refused: make(map[ticket]string),
		unknown: make(map[ticket]bool), reached: make(map[ticket]uint32), imported: make(map[int]event.Position)}
}

// hear reads what one victim tells, until it ends. each is called after every line.
func (a *account) hear(run uint32, r io.Reader, each func(lines int)) error {
	a.opened, a.endings, a.late = false, nil, ""
	failed := ""
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := bytes.Fields(lines.Bytes())
		if err := a.take(run, fields); err != nil {
			return fmt.Errorf("read line %q of a victim: %w", lines.Text(), err)
		}
		switch word := string(fields[0]); {
		case failed == "" && bytes.Contains(lines.Bytes(), []byte("store_failed")):
			failed = lines.Text()
		case failed != "" && (word == "ack" || word == "checkpoint"):
			a.late = lines.Text() + " after " + failed
		}
		a.lines++
		each(n)
	}
	for worker, seq := range a.reached {
		if worker.run == run && worker.worker != importer {
			a.unknown[ticket{run, worker.worker, seq + 1}] = true
		}
	}
	return lines.Err()
}

func (a *account) take(run uint32, fields [][]byte) error {
	word, numbers := string(fields[0]), make([]uint64, 0, 3)
	for _, f := range fields[1:] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	last := string(fields[len(fields)-1])
	switch {
	case word == "opened":
		a.opened = true
	case word == "ended", word == "truncated":
		a.endings = append(a.endings, last)
	case word == "checkpoint" && len(numbers) == 2:
		a.revision, a.position = numbers[0], event.Position(numbers[1])
	case len(numbers) >= 2:
		return a.answered(word, ticket{run, uint16(numbers[0]), uint32(numbers[1])}, numbers, last)
	default:
		return errors.New("it is not known")
	}
	return nil
}

func (a *account) answered(word string, k ticket, numbers []uint64, code string) error {
	if k.worker == importer {
		if word == "ack" {
			a.imported[int(k.sequence)] = event.Position(numbers[2])
		}
		return nil
	}
	a.reached[ticket{run: k.run, worker: k.worker}] = k.sequence
	switch word {
	case "ack":
		a.acked[k] = event.Position(numbers[2])
	case "maybe":
		a.unknown[k] = true
	case "no":
		a.refused[k] = code
	default:
		return errors.New("it is not known")
	}
	return nil
}

// settle opens a folder in which victims worked, without any repair, holds it against the account, and then retries
// everything whose outcome is not known.
func (a *account) settle(ctx context.Context, dir string, flush int) (err error) {
	engine, err := sqlite.Open(ctx, dir, &sqlite.Options{Flush: flush})
	if err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	events, err := a.examine(ctx, engine)
	if err != nil {
		return err
	}
	if err := a.retry(ctx, engine, events); err != nil {
		return err
	}
	_, err = a.examine(ctx, engine)
	return err
}

// examine holds a log against itself and against what was told.
func (a *account) examine(ctx context.Context, engine storage.Store) ([]event.Event, error) {
	events, err := inspect(ctx, engine)
	if err != nil {
		return nil, err
	}
	parts := make(map[ticket]int)
	records := make(map[int]event.Position)
	for i := range events {
		e := &events[i]
		switch e.Stream.Kind {
		case event.SystemKind:
		case "i":
			err = checkImported(e, records)
		default:
			err = a.checkEvent(e, parts)
		}
		if err != nil {
			return nil, err
		}
	}
	return events, errors.Join(a.checkAcknowledged(events, parts, records), a.checkCheckpoint(ctx, engine))
}

// checkEvent: the event was submitted, is what was submitted, and has its request's other events around it.
func (a *account) checkEvent(e *event.Event, parts map[ticket]int) error {
	k, i := ticketOf(e.ID)
	_, acked := a.acked[k]
	switch {
	case a.refused[k] != "":
		return fmt.Errorf("phantom: %s is of request %+v, which was refused (%s)", e, k, a.refused[k])
	case !acked && !a.unknown[k] && a.reached[ticket{run: k.run, worker: k.worker}]+1 != k.sequence:
		return fmt.Errorf("phantom: %s is of request %+v, which was never submitted", e, k)
	case i != parts[k]:
		return fmt.Errorf("%s is number %d of request %+v, where %d should be", e, i, k, parts[k])
	}
	parts[k]++
	want := k.draft(i)
	if e.Pruned {
		want = event.Draft{ID: want.ID, Type: want.Type}
	}
	if !bytes.Equal(want.Data, e.Data) {
		return fmt.Errorf("%s does not hold the data that was submitted", e)
	}
	got := e.Draft
	want.Data, got.Data = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("%s is not what was submitted: %s", e, diff)
	}
	if w := k.request().Writes[min(i, 1)]; w.Stream != e.Stream {
		return fmt.Errorf("%s was submitted to %s", e, w.Stream)
	}
	return nil
}

func checkImported(e *event.Event, records map[int]event.Position) error {
	lines := bytes.Split(importInput(), []byte("\n"))
	for n := range importRecords {
		if bytes.Equal(lines[n], e.Data) {
			if records[n] != 0 {
				return fmt.Errorf("%s is record %d once more, as at %d", e, n, records[n])
			}
			records[n] = e.Position
			return nil
		}
	}
	return fmt.Errorf("phantom: %s is no record of the input", e)
}

func (a *account) checkAcknowledged(events []event.Event, parts map[ticket]int, records map[int]event.Position) error {
	for k, n := range parts {
		if n != k.size() {
			return fmt.Errorf("of request %+v there are %d of %d events", k, n, k.size())
		}
	}
	for k, p := range a.acked {
		if int(p) > len(events) || events[p-1].ID != k.id(0) {
			return fmt.Errorf("lost: request %+v was acknowledged at %d of %d", k, p, len(events))
		}
	}
	for n, p := range a.imported {
		if records[n] != p {
			return fmt.Errorf("lost: record %d was acknowledged at %d, it is at %d", n, p, records[n])
		}
	}
	return nil
}

func (a *account) checkCheckpoint(ctx context.Context, engine storage.Store) error {
	stored, err := engine.Checkpoint(ctx, "torture")
	if err != nil {
		return err
	}
	if stored.Revision < a.revision || stored.Cursor.Position < a.position {
		return fmt.Errorf("lost: checkpoint %d at %d was stored, there is %d at %d",
			a.revision, a.position, stored.Revision, stored.Cursor.Position)
	}
	return nil
}

// retry submits every request of unknown outcome again: each is answered, and repeated exactly if it is there.
func (a *account) retry(ctx context.Context, engine storage.Store, events []event.Event) error {
	store, err := lethe.Open(ctx, engine, kms.None, nil)
	if err != nil {
		return err
	}
	there := make(map[event.ID]bool, len(events))
	for i := range events {
		there[events[i].ID] = true
	}
	for k := range a.unknown {
		res, err := store.As(event.Actor{}).AppendAll(ctx, k.request())
		if err != nil {
			return fmt.Errorf("retry request %+v: %w", k, err)
		}
		if res.Repeated != there[k.id(0)] {
			return fmt.Errorf("retry request %+v: repeated %t, but it was there: %t", k, res.Repeated, there[k.id(0)])
		}
		a.acked[k] = res.Events[0].Position
		delete(a.unknown, k)
	}
	return nil
}

// clone is a copy, for another try at what comes after.
func (a *account) clone() *account {
	b := *a
	b.acked, b.refused, b.unknown = maps.Clone(a.acked), maps.Clone(a.refused), maps.Clone(a.unknown)
	b.reached, b.imported = maps.Clone(a.reached), maps.Clone(a.imported)
	return &b
}
