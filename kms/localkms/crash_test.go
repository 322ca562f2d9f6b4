package localkms_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/localkms"
)

// page is a disk with a cache: what was not synced may be lost. It keeps every inode it ever had, as a real one keeps
// the blocks of files that were removed.
type page struct {
	inodes []*inode
	names  map[string]*inode // as processes see them
	stable map[string]*inode // as they were when the folder was last synced
	clock  int64

	steps   int          // changes so far
	failing map[int]bool // changes that fail; a write that fails has written half
	dead    bool         // everything fails
	fatal   int          // the change at which the power goes
}

type inode struct {
	number          uint64
	cached, durable []byte
	changed         int64
}

var errPower = errors.New("the power is gone")

func newPage() *page {
	return &page{names: map[string]*inode{}, stable: map[string]*inode{}, failing: map[int]bool{}}
}

// step is asked before each change.
func (p *page) step() error {
	p.steps++
	if p.steps == p.fatal {
		p.dead = true
	}
	if p.dead || p.failing[p.steps] {
		return errPower
	}
	return nil
}

func (p *page) Stat(name string) (localkms.Mark, error) {
	i := p.names[name]
	switch {
	case p.dead:
		return localkms.Mark{}, errPower
	case i == nil:
		return localkms.Mark{}, fs.ErrNotExist
	}
	return localkms.Mark{Inode: i.number, Size: int64(len(i.cached)), Changed: i.changed}, nil
}

func (p *page) Read(name string) ([]byte, localkms.Mark, error) {
	m, err := p.Stat(name)
	if err != nil {
		return nil, m, err
	}
	return slices.Clone(p.names[name].cached), m, nil
}

func (p *page) Open(name string, fresh bool) (localkms.File, error) {
	i := p.names[name]
	switch {
	case i == nil && !fresh:
		return nil, fs.ErrNotExist
	case fresh:
		if err := p.step(); err != nil {
			return nil, err
		}
		if i == nil {
			i = &inode{number: uint64(len(p.inodes)) + 1}
			p.inodes = append(p.inodes, i)
			p.names[name] = i
		}
		i.cached = nil
	}
	return &handle{p, i, 0}, nil
}

func (p *page) Rename(from, to string) error {
	if err := p.step(); err != nil {
		return err
	}
	p.names[to] = p.names[from]
	delete(p.names, from)
	return nil
}

func (p *page) Remove(name string) error {
	if err := p.step(); err != nil {
		return err
	}
	delete(p.names, name)
	return nil
}

func (p *page) Sync() error {
	if err := p.step(); err != nil {
		return err
	}
	p.stable = maps.Clone(p.names)
	return nil
}

func (p *page) Names() ([]string, error) { return slices.Collect(maps.Keys(p.names)), nil }

// handle is an open file.
type handle struct {
	page *page
	*inode
	at int
}

func (h *handle) Write(b []byte) (int, error) {
	err := h.page.step()
	if err != nil {
		b = b[:len(b)/2]
	}
	h.cached = append(h.cached[:h.at:h.at], append(b, h.cached[min(len(h.cached), h.at+len(b)):]...)...)
	h.at += len(b)
	h.page.clock++
	h.changed = h.page.clock
	return len(b), err
}

func (h *handle) Sync() error {
	if err := h.page.step(); err != nil {
		return err
	}
	h.durable = slices.Clone(h.cached)
	return nil
}

func (h *handle) Close() error { return nil }

// crashes are what a power loss may leave of what was not synced.
func crashes() []string {
	return []string{"all lost", "all kept", "names kept", "content kept", "content torn"}
}

// crash gives the disk after a power loss.
func (p *page) crash(how string) *page {
	after := newPage()
	moved := map[*inode]*inode{}
	for _, i := range p.inodes {
		content := i.durable
		switch how {
		case "all kept", "content kept":
			content = i.cached
		case "content torn":
			content = slices.Clone(i.cached)
			copy(content[len(content)/2:], i.durable[min(len(i.durable), len(content)/2):])
		}
		moved[i] = &inode{number: i.number, cached: slices.Clone(content), durable: slices.Clone(content)}
		after.inodes = append(after.inodes, moved[i])
	}
	names := p.stable
	if how == "all kept" || how == "names kept" || how == "content torn" {
		names = p.names
	}
	for name, i := range names {
		after.names[name], after.stable[name] = moved[i], moved[i]
	}
	return after
}

// holds tells whether any block of the disk, in use or not, still has some bytes.
func (p *page) holds(secret []byte) bool {
	return slices.ContainsFunc(p.inodes, func(i *inode) bool {
		return bytes.Contains(i.cached, secret) || bytes.Contains(i.durable, secret)
	})
}

func (p *page) open(t *testing.T, dir string) *localkms.KMS {
	t.Helper()
	k, err := localkms.OpenOn(t.Context(), dir, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// written is a disk with one root key, and what it wrapped.
func written(t *testing.T, dir string) (*page, []byte, []byte) {
	t.Helper()
	p := newPage()
	k := p.open(t, dir)
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	wrapped, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte("secret")}})
	if err != nil {
		t.Fatal(err)
	}
	file := p.names["root.key"].cached
	sealed := slices.Clone(file[len(file)-8-48 : len(file)-8])
	p.steps = 0
	return p.crash("all lost"), wrapped[0], sealed
}

// judge checks what a crash left: the whole key, or a tombstone and no trace of the key.
func judge(t *testing.T, what string, p *page, dir string, wrapped, sealed []byte) kms.State {
	t.Helper()
	k := p.open(t, dir)
	state, err := k.State(t.Context(), "root")
	if err != nil {
		t.Fatalf("%s: state: %v", what, err)
	}
	opened, err := k.Unwrap(t.Context(), "root", []kms.Item{{Bytes: wrapped}})
	switch state {
	case kms.Live:
		if err != nil || string(opened[0]) != "secret" {
			t.Fatalf("%s: the key is live and opens nothing: %v", what, err)
		}
	case kms.Destroyed:
		if event.Code(err) != kms.CodeDestroyed {
			t.Fatalf("%s: the key is destroyed, unwrap says %v", what, err)
		}
		if p.holds(sealed) {
			t.Fatalf("%s: the key is called destroyed, and its bytes are on the disk", what)
		}
		if err := k.Create(t.Context(), "root"); event.Code(err) != kms.CodeDestroyed {
			t.Fatalf("%s: the name can be used again: %v", what, err)
		}
	}
	return state
}

// changes counts the changes of an act on a disk.
func changes(t *testing.T, dir string, act func(*localkms.KMS) error) int {
	t.Helper()
	p, _, _ := written(t, dir)
	k := p.open(t, dir)
	before := p.steps
	if err := act(k); err != nil {
		t.Fatal(err)
	}
	return p.steps - before
}

func destroy(t *testing.T) func(*localkms.KMS) error {
	return func(k *localkms.KMS) error {
		_, err := k.Destroy(t.Context(), "root")
		return err
	}
}

// TestDestroyCrash cuts the power at every change of Destroy, in every way in which a cache can be lost, and once more
// in what is done about it.
func TestDestroyCrash(t *testing.T) {
	dir := t.TempDir()
	total := changes(t, dir, destroy(t))
	seen := map[kms.State]int{}
	for at := 1; at <= total+1; at++ {
		for _, how := range crashes() {
			p, wrapped, sealed := written(t, dir)
			k := p.open(t, dir)
			p.fatal = p.steps + at
			err := destroy(t)(k)
			if at <= total != (err != nil) {
				t.Fatalf("power lost at change %d of %d: %v", at, total, err)
			}
			what := fmt.Sprintf("power lost at change %d of %d, %s", at, total, how)
			state := judge(t, what, p.crash(how), dir, wrapped, sealed)
			if err == nil && state != kms.Destroyed {
				t.Fatalf("%s: it was acknowledged", what)
			}
			seen[state]++
		}
	}
	if seen[kms.Live] == 0 || seen[kms.Destroyed] == 0 {
		t.Errorf("the sweep saw states %v, want both", seen)
	}
}

// TestDestroyRepeatedCrash lets one change fail, calls again, and cuts the power at every change of the second call.
func TestDestroyRepeatedCrash(t *testing.T) {
	dir := t.TempDir()
	total := changes(t, dir, destroy(t))
	for first := 1; first <= total; first++ {
		for at := 1; at <= total+2; at++ {
			for _, how := range crashes() {
				p, wrapped, sealed := written(t, dir)
				k := p.open(t, dir)
				p.failing[p.steps+first] = true
				if err := destroy(t)(k); !errors.Is(err, event.ErrUnavailable) {
					t.Fatalf("change %d fails: %v", first, err)
				}
				p.fatal = p.steps + at
				err := destroy(t)(p.reopen(t, dir, k, first%2 == 0))
				what := fmt.Sprintf("change %d failed, power lost at change %d of the second call, %s", first, at, how)
				if state := judge(t, what, p.crash(how), dir, wrapped, sealed); err == nil && state != kms.Destroyed {
					t.Fatalf("%s: it was acknowledged", what)
				}
			}
		}
	}
}

// reopen gives the same process or another one.
func (p *page) reopen(t *testing.T, dir string, k *localkms.KMS, other bool) *localkms.KMS {
	t.Helper()
	if !other {
		return k
	}
	fatal := p.fatal - p.steps
	p.fatal = 0
	k = p.open(t, dir)
	p.fatal = p.steps + fatal
	return k
}

// TestCreateCrash: a key that was acknowledged, or used, is there for good; one that was not can be made.
func TestCreateCrash(t *testing.T) {
	dir := t.TempDir()
	act := func(k *localkms.KMS) error { return k.Create(t.Context(), "new") }
	total := changes(t, dir, act)
	for at := 1; at <= total+1; at++ {
		for _, how := range crashes() {
			p, _, _ := written(t, dir)
			k := p.open(t, dir)
			p.failing[p.steps+at] = true
			made := act(k)
			clear(p.failing)
			wrapped, err := p.reopen(t, dir, k, at%2 == 0).Wrap(t.Context(), "new", []kms.Item{{Bytes: []byte("secret")}})
			after := p.crash(how).open(t, dir)
			if made == nil || err == nil {
				if state, err := after.State(t.Context(), "new"); state != kms.Live || err != nil {
					t.Fatalf("change %d of %d failed, %s: state %d, %v", at, total, how, state, err)
				}
			}
			if err := after.Create(t.Context(), "new"); err != nil {
				t.Fatal(err)
			}
			if wrapped == nil {
				continue
			}
			if opened, err := after.Unwrap(t.Context(), "new", []kms.Item{{Bytes: wrapped[0]}}); err != nil ||
				string(opened[0]) != "secret" {
				t.Fatalf("change %d of %d failed, %s: what was wrapped does not open: %v", at, total, how, err)
			}
		}
	}
}

// TestProtectCrash: the folder's secret survives every change of the file that holds it.
func TestProtectCrash(t *testing.T) {
	dir := t.TempDir()
	act := func(k *localkms.KMS) error { return k.Protect(t.Context(), nil) }
	total := changes(t, dir, act)
	for at := 1; at <= total+1; at++ {
		for _, how := range crashes() {
			p, wrapped, sealed := written(t, dir)
			k := p.open(t, dir)
			p.fatal = p.steps + at
			_ = act(k)
			what := fmt.Sprintf("power lost at change %d of %d, %s", at, total, how)
			if state := judge(t, what, p.crash(how), dir, wrapped, sealed); state != kms.Live {
				t.Fatalf("%s: state %d", what, state)
			}
		}
	}
}

// TestOpenCrash: a folder that was cut off while it was made is made again.
func TestOpenCrash(t *testing.T) {
	dir := t.TempDir()
	for at := 1; at <= 6; at++ {
		for _, how := range crashes() {
			p := newPage()
			p.fatal = at
			if _, err := localkms.OpenOn(t.Context(), dir, p, nil); !errors.Is(err, event.ErrUnavailable) {
				t.Fatalf("power lost at change %d: %v", at, err)
			}
			after := p.crash(how).open(t, dir)
			if err := after.Create(t.Context(), "root"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
