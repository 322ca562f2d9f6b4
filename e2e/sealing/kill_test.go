package sealing_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// account is what victims told of one folder.
type account struct {
	tried      map[int]card
	acked      map[int]bool
	used       []string
	restricted map[event.ID]int // customers, by the restriction
	persons    map[int]event.KRID
	lines      int
	said       bytes.Buffer // all of it, and what stood on standard error
}

func newAccount() *account {
	return &account{tried: map[int]card{}, acked: map[int]bool{}, restricted: map[event.ID]int{},
		persons: map[int]event.KRID{}}
}

// hear takes a victim's lines down until they end. A line that is cut off tells nothing.
func (a *account) hear(out io.Reader, after func(lines int)) error {
	in := bufio.NewReader(out)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		a.said.WriteString(line)
		if err != nil {
			return nil
		}
		if err := a.note(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
		a.lines++
		after(n)
	}
}

func (a *account) note(line string) error {
	what, rest, _ := strings.Cut(line, " ")
	var c card
	var n int
	var text string
	var err error
	switch what {
	case "say", "opened", "rolled":
	case "try":
		_, err = fmt.Sscan(rest, &c.number, &c.customer, &c.spouse, &c.guest)
		a.tried[c.number] = c
	case "ack":
		_, err = fmt.Sscan(rest, &n)
		a.acked[n] = true
	case "used":
		a.used = append(a.used, rest)
	case "restricted":
		var id event.ID
		if _, err = fmt.Sscan(rest, &n, &text); err == nil {
			id, err = event.ParseID(text)
		}
		a.restricted[id] = n
	default:
		err = fmt.Errorf("a victim told %q", line)
	}
	return err
}

// order is what a victim is told.
type order struct {
	dir, address string // siteAt
	run          int    // how often a victim worked there before, from 1
	say          string
}

func (o order) environment() []string {
	return []string{"LETHE_SEALING_VICTIM=storm", "LETHE_SEALING_DIR=" + o.dir, "LETHE_SEALING_ADDRESS=" + o.address,
		fmt.Sprint("LETHE_SEALING_RUN=", o.run), "LETHE_SEALING_SAY=" + o.say, "TMPDIR=" + filepath.Join(o.dir, "temp")}
}

// killed lets a victim work and kills it: after so many lines, or after a while if it has told fewer.
func (a *account) killed(ctx context.Context, o order, after int, while time.Duration) error {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), o.environment()...)
	complaint := new(bytes.Buffer)
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	enough, gone := make(chan struct{}), make(chan error, 1)
	go func() {
		select {
		case <-enough:
		case <-(event.SystemClock{}).After(while):
		}
		gone <- cmd.Process.Kill()
	}()
	err = a.hear(out, func(lines int) {
		if lines == after {
			close(enough)
		}
	})
	err = errors.Join(err, <-gone)
	wait := cmd.Wait()
	a.said.Write(complaint.Bytes())
	if wait == nil || cmd.ProcessState.ExitCode() != -1 {
		return errors.Join(err, fmt.Errorf("the victim ended by itself: %v: %s", cmd.ProcessState, complaint))
	}
	return err
}

// settle opens the folder after a kill, and holds what was told against what is there. What was tried and not
// acknowledged is appended again, with the same ids.
func (a *account) settle(ctx context.Context, dir string, run int) (err error) {
	site, err := siteAt(ctx, dir, "", event.SystemClock{})
	if err != nil {
		return err
	}
	p, err := site.open(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := declare(ctx, p); err != nil {
		return err
	}
	if err := a.recognise(ctx, p); err != nil {
		return err
	}
	if err := a.release(ctx, p, run); err != nil {
		return err
	}
	if err := a.repeat(ctx, p); err != nil {
		return err
	}
	if err := a.recognise(ctx, p); err != nil {
		return err
	}
	if err := a.uses(ctx, p); err != nil {
		return err
	}
	return p.intact(ctx, fmt.Sprintf("settled %d", run), slices.Collect(maps.Values(a.tried)))
}

// recognise checks that everybody who is known is who he was.
func (a *account) recognise(ctx context.Context, p *process) error {
	for _, c := range a.tried {
		for _, n := range []int{c.customer, c.spouse, c.guest} {
			krid, err := p.Privacy().Subject(ctx, "customer", who(n))
			before, known := a.persons[n]
			switch {
			case errors.Is(err, event.ErrNotFound) && !known:
			case err != nil:
				return fmt.Errorf("find person %d: %w", n, err)
			case known && krid != before:
				return fmt.Errorf("person %d was %s, and is %s", n, before, krid)
			default:
				a.persons[n] = krid
			}
		}
	}
	return nil
}

// release checks that restrictions hold after a crash, and ends them.
func (a *account) release(ctx context.Context, p *process, run int) error {
	events, err := p.opened(ctx, all(fmt.Sprintf("restricted %d", run)))
	if err != nil {
		return err
	}
	for id, n := range a.restricted {
		seen := false
		for i := range events {
			e := &events[i]
			if c := cardOf(e.ID); c.customer == n {
				seen = true
				if bytes.Contains(e.Data, []byte(c.fields()[0].text)) {
					return fmt.Errorf("the name of customer %d is restricted, and shown in card %d", n, c.number)
				}
			}
		}
		if !seen {
			return fmt.Errorf("customer %d is restricted, and has no card", n)
		}
		_, err := p.Privacy().Record(ctx, event.Actor{}, event.ID{}, policy.RestrictionReleased{Principal: a.persons[n],
			Restriction: id, Ground: "resolved"})
		if err != nil {
			return fmt.Errorf("release customer %d: %w", n, err)
		}
	}
	clear(a.restricted)
	return a.releaseUntold(ctx, p)
}

// releaseUntold ends restrictions whose acknowledgement was not heard: the next in line of each run may be one.
func (a *account) releaseUntold(ctx context.Context, p *process) error {
	for _, c := range a.tried {
		if c.customer < 50_000 || a.persons[c.customer].IsZero() {
			continue
		}
		person, err := p.Privacy().Person(ctx, event.Opening{}, a.persons[c.customer])
		if err != nil {
			return err
		}
		if person.Standing == nil {
			continue
		}
		for _, r := range person.Standing.Restrictions {
			_, err := p.Privacy().Record(ctx, event.Actor{}, event.ID{}, policy.RestrictionReleased{
				Principal: a.persons[c.customer], Restriction: r.ID, Ground: "resolved"})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat appends everything again that was tried: what is in the log is repeated, the rest is appended.
func (a *account) repeat(ctx context.Context, p *process) error {
	records, err := cards(ctx, p.engine)
	if err != nil {
		return err
	}
	there := map[int]event.Position{}
	for i := range records {
		c := cardOf(records[i].ID)
		if a.tried[c.number] != c {
			return fmt.Errorf("card %d at position %d was never tried", c.number, records[i].Position)
		}
		there[c.number] = records[i].Position
	}
	for _, number := range slices.Sorted(maps.Keys(a.tried)) {
		c, position := a.tried[number], there[number]
		if a.acked[number] && position == 0 {
			return fmt.Errorf("card %d was acknowledged, and is lost", number)
		}
		if a.acked[number] && number%4 > 0 {
			continue
		}
		result, err := p.As(event.Actor{}).AppendAll(ctx, one(c.stream(), c.draft()))
		if err != nil {
			return fmt.Errorf("append card %d again: %w", number, err)
		}
		if result.Repeated != (position > 0) || position > 0 && result.Events[0].Position != position {
			return fmt.Errorf("card %d lies at position %d, and again it is %+v", number, position, result)
		}
		a.acked[number] = true
	}
	return nil
}

// uses checks that every opening that was told is in the use log.
func (a *account) uses(ctx context.Context, p *process) error {
	recorded := map[string]bool{}
	for q := (storage.UseQuery{Limit: 500}); ; {
		page, err := p.keys.PageUses(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Uses {
			recorded[page.Uses[i].Reason] = true
		}
		if q.Before = page.Scanned; page.Done {
			break
		}
	}
	for _, reason := range a.used {
		if !recorded[reason] {
			return fmt.Errorf("%q released something, and the use log does not say so", reason)
		}
	}
	return nil
}

// killsPerFolder is how often victims are killed in one folder.
const killsPerFolder = 6

// TestKill kills processes in the middle of appends about new and known people, openings, restrictions and rolls.
func TestKill(t *testing.T) {
	t.Parallel()
	from := seed(t)
	total, used, lines := 0, 0, 0
	kills := scale(t, "LETHE_SEAL_KILLS", 2*killsPerFolder)
	for n := 0; n < kills; {
		dir, a := t.TempDir(), newAccount()
		for run := 1; run <= killsPerFolder && n < kills; run++ {
			random := chance(from, n)
			after, while := 1+random.IntN(120), time.Minute
			if random.IntN(4) == 0 { // while it opens, or soon after
				after, while = 1<<30, time.Duration(random.IntN(300_000))*time.Microsecond
			}
			err := a.killed(t.Context(), order{dir: dir, run: run}, after, while)
			if err == nil {
				err = a.settle(t.Context(), dir, run)
			}
			if err != nil {
				t.Fatalf("kill %d of LETHE_SEED=%d: %v", n, from, err)
			}
			n++
		}
		if bytes.Contains(a.said.Bytes(), []byte(stem)) {
			t.Errorf("a victim tells: %s", a.said.Bytes())
		}
		total, used, lines = total+len(a.acked), used+len(a.used), lines+a.lines
	}
	t.Logf("%d kills: 0 of %d cards lost or doubled, 0 of %d uses missing, in %d answers", kills, total, used, lines)
	if used == 0 {
		t.Error("nothing was opened")
	}
}
