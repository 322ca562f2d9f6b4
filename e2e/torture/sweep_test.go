package torture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// scenario is a road whose every write, sync, truncation, removal and opening is made to fail.
type scenario struct {
	name   string
	before []order // work in the folder before, undisturbed
	order  order
}

func scenarios() []scenario {
	some := []order{{mode: "append", flush: 5, steps: 20}}
	return []scenario{
		{"creation", nil, order{mode: "append", flush: 100, steps: 3}},
		{"append", some, order{mode: "append", flush: 1000, steps: 12}},
		{"index flush and merge", some, order{mode: "append", flush: 3, steps: 25}},
		{"log checkpoint", some, order{mode: "bulk", flush: 1000, steps: 32}},
		{"follower checkpoint", some, order{mode: "follow", flush: 5, steps: 10}},
		{"import", some, order{mode: "import", flush: 20}},
		{"truncate", some, order{mode: "truncate", flush: 6, steps: 15}},
	}
}

// fault is what a system call is made to do, at how many points unless LETHE_SWEEP=full.
type fault struct {
	call, inject string
	sample       int
}

const kill = "signal=KILL"

func faults() []fault {
	all := []fault{
		{"pwrite64", "error=EIO", 4}, {"pwrite64", "error=ENOSPC", 4}, {"pwrite64", kill, 4},
		{"fsync", "error=EIO", 8}, {"fsync", kill, 6}, {"ftruncate", "error=ENOSPC", 3}, {"ftruncate", "error=EIO", 2},
	}
	for _, call := range []string{"fdatasync", "rename", "renameat", "unlink", "unlinkat", "open", "openat"} {
		all = append(all, fault{call, "error=EIO", 4}, fault{call, kill, 4})
	}
	return all
}

// TestSweep makes the n-th call of each kind fail, or kills the process there, and looks at what is left.
// LETHE_SWEEP=full takes every point, LETHE_SWEEP=fsync (or another call) every point of that call and no other.
func TestSweep(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is not installed; install it with: apt-get install strace")
	}
	t.Parallel()
	wanted := os.Getenv("LETHE_SWEEP")
	for _, s := range scenarios() {
		t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) {
			sweep := sweeper{strace: strace, scenario: s, dir: t.TempDir()}
			files, err := sweep.prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range faults() {
				if len(files[f.call]) > 0 && (wanted == "" || wanted == "full" || wanted == f.call) {
					sweep.sweep(t, f, files[f.call], wanted != "")
				}
			}
			if len(files["pwrite64"])*len(files["fsync"])*len(files["open"]) == 0 || len(files["write"]) > 0 {
				t.Errorf("the calls of %s are not those that are swept", s.name)
			}
		})
	}
}

// sweep lets one fault come at points of the calls made for files, and fails if it came at none.
func (s *sweeper) sweep(t *testing.T, f fault, files []string, full bool) {
	fired := 0
	for _, n := range points(files, f.sample, full) {
		hit, err := s.point(t.Context(), f, n)
		if err != nil {
			t.Errorf("%s of %s %d: %v", f.inject, f.call, n, err)
		}
		if hit {
			fired++
		}
	}
	t.Logf("swept %s %s in %s: fired %d points of %d", f.call, f.inject, s.name, fired, len(files))
	if fired == 0 {
		t.Errorf("no point of %s %s fired in %s", f.call, f.inject, s.name)
	}
}

// points are the calls that are made to fail: all, or so many from the first to the last, and of each file the first
// and the last one with the one before it, so that what happens seldom is among them.
func points(files []string, sample int, full bool) []int {
	n := len(files)
	if full {
		sample = n
	}
	some := make(map[int]bool)
	for i := range min(n, sample) {
		some[1+i*(n-1)/max(min(n, sample)-1, 1)] = true
	}
	last := make(map[string]int)
	for i, file := range files {
		if _, ok := last[file]; !ok {
			some[i+1], some[max(i, 1)] = true, true
		}
		last[file] = i + 1
	}
	for _, i := range last {
		some[i] = true
	}
	return slices.Sorted(maps.Keys(some))
}

type sweeper struct {
	scenario
	strace   string
	dir      string // holds everything of the sweep
	template string // the folder as it is before
	known    *account
	tries    int
}

// prepare does the work that lies before the scenario, and lists the calls of an undisturbed run.
func (s *sweeper) prepare(ctx context.Context) (map[string][]string, error) {
	s.template, s.known = filepath.Join(s.dir, "template"), newAccount()
	if err := os.Mkdir(s.template, 0o700); err != nil {
		return nil, err
	}
	for i, o := range s.before {
		o.dir, o.run = s.template, uint32(i+1)
		out, err := o.command(ctx).Output()
		if err == nil {
			err = s.known.hear(o.run, bytes.NewReader(out), func(int) {})
		}
		if err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	try, err := s.run(ctx, nil, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(try.account.healthy(), try.account.settle(ctx, try.folder, s.order.flush)); err != nil {
		return nil, fmt.Errorf("%s without a fault: %w", s.name, err)
	}
	return filesOf(try.log, try.folder), os.RemoveAll(try.folder)
}

// tracedCall is a line of strace: thread, call, and the file by descriptor or by name.
var tracedCall = regexp.MustCompile(`^(\d+) +(\w+)\((?:\d+<([^>]*)>|(?:AT_FDCWD<[^>]*>, )?"([^"]*)")`)

// toldCall is an answer of the victim as strace shows it.
var toldCall = regexp.MustCompile(`write\(1<.*"(ack|checkpoint) `)

// filesOf lists the files that each call was made for, in order and on the busiest thread: strace counts each thread
// on its own.
func filesOf(log, folder string) map[string][]string {
	threads, files := make(map[string][]string), make(map[string][]string)
	for line := range strings.Lines(log) {
		m := tracedCall.FindStringSubmatch(line)
		if m == nil || !strings.HasPrefix(m[3]+m[4], folder) {
			continue
		}
		of := append(threads[m[1]+m[2]], m[3]+m[4])
		threads[m[1]+m[2]] = of
		if len(of) > len(files[m[2]]) {
			files[m[2]] = of
		}
	}
	return files
}

// try is one run of the scenario under strace.
type try struct {
	folder  string
	account *account
	log     string
	status  int // exit status; -1: killed
	stderr  string
}

// run lets the scenario's victim work on a copy of the template under strace, with a fault at the n-th call.
func (s *sweeper) run(ctx context.Context, inject *fault, n int) (*try, error) {
	s.tries++
	folder := filepath.Join(s.dir, fmt.Sprint("try", s.tries))
	if err := os.CopyFS(folder, os.DirFS(s.template)); err != nil {
		return nil, err
	}
	o := s.order
	o.dir, o.run = folder, uint32(len(s.before)+1)
	log := folder + ".strace"
	calls := "trace=pwrite64,write,fsync,fdatasync,ftruncate,rename,renameat,unlink,unlinkat,open,openat"
	if inject != nil {
		calls = "trace=write," + inject.call
	}
	args := []string{s.strace, "-f", "-qq", "-y", "-s", "16", "-o", log, "-e", calls}
	if inject != nil {
		args = append(args, "-e", fmt.Sprintf("inject=%s:%s:when=%d", inject.call, inject.inject, n))
		if inject.inject != kill { // which does not come through there
			args = append(args, "--seccomp-bpf") // only to be quicker
		}
	}
	for _, name := range []string{"", "events.db", "models.db", "lock"} {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			args = append(args, "-P", filepath.Join(folder, name+suffix))
		}
	}
	answers := filepath.Join(s.dir, "answers") // a file, so that strace sees when something is told
	args = append(args, "-P", answers)
	out, err := os.Create(answers)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := o.command(ctx, args...)
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	complaint := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, complaint
	err = cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return nil, fmt.Errorf("run %s: %w: %s", s.name, errors.Join(err, ctx.Err()), complaint)
	}
	t := &try{folder: folder, account: s.known.clone(), status: cmd.ProcessState.ExitCode(), stderr: complaint.String()}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := t.account.hear(o.run, out, func(int) {}); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(log)
	t.log = string(text)
	return t, errors.Join(err, os.Remove(log))
}

// point makes the n-th call fail, and says whether it came to that.
func (s *sweeper) point(ctx context.Context, f fault, n int) (fired bool, err error) {
	t, err := s.run(ctx, &f, n)
	if err != nil {
		return false, err
	}
	if f.inject == kill {
		fired = t.status == -1
	} else {
		fired = strings.Contains(t.log, "(INJECTED)")
	}
	if t.status > 0 && t.status != exitFailed || t.status == 0 && t.stderr != "" {
		return fired, fmt.Errorf("the victim ended with status %d: %s", t.status, t.stderr)
	}
	if t.account.late != "" {
		err = fmt.Errorf("it went on after it failed: %s", t.account.late)
	}
	if f.call == "fsync" || f.call == "fdatasync" {
		err = errors.Join(err, quietAfterSync(t))
	}
	err = errors.Join(err, t.account.settle(ctx, t.folder, s.order.flush))
	if err != nil {
		err = fmt.Errorf("%w (it told: %s)", err, strings.Join(slices.Compact(t.account.endings), " "))
	}
	return fired, errors.Join(err, os.RemoveAll(t.folder))
}

// quietAfterSync: once a sync failed, nothing may be acknowledged any more: what was not synced may be gone, and no
// later sync will say so. Only names are another matter: SQLite does not look at what its own syncs of the folder come
// to, so it is enough if another sync of the folder went well.
func quietAfterSync(t *try) error {
	folder, failed := t.folder+">", ""
	named := regexp.MustCompile(`sync\(\d+<` + regexp.QuoteMeta(folder) + `\) += 0`).MatchString(t.log)
	for line := range strings.Lines(t.log) {
		switch {
		case strings.Contains(line, "(INJECTED)") && !(named && strings.Contains(line, folder)):
			failed = line
		case failed != "" && toldCall.MatchString(line):
			return fmt.Errorf("a sync failed, %q, and later it told %q", failed, line)
		}
	}
	return nil
}
