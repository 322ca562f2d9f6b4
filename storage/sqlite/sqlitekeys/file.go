package sqlitekeys

import (
	"context"
	"errors"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// file is a database file with one writer, who commits for everyone who waits. R is what callers want to be written.
type file[R any] struct {
	write  sync.Mutex // held by the one writer
	c      *sqlink.Conn
	fill   sqlink.Fill
	failed error // a failed sync ends all writing
	closed bool

	readers *sqlink.Pool

	mu      sync.Mutex // never held while waiting for write
	waiting []*request[R]
}

// request is what one caller waits for. Whoever holds write answers it.
type request[R any] struct {
	want     R
	weight   int // about how many rows
	answered bool
	err      error
}

func openFile[R any](path string, tables sqlink.Schema) (*file[R], error) {
	c, err := sqlink.Open(path, tables)
	if err != nil {
		return nil, err
	}
	return &file[R]{c: c, readers: sqlink.NewPool(path)}, nil
}

// end makes every later call event.ErrUnavailable; false: it was ended before.
func (f *file[R]) end() bool {
	f.write.Lock()
	defer f.write.Unlock()
	was := f.closed
	f.closed = true
	return !was
}

func (f *file[R]) close() error { return errors.Join(f.readers.Close(), f.c.Close()) }

// usable says whether something may be written. It wants write.
func (f *file[R]) usable() error {
	if f.closed {
		return sqlink.ErrClosed()
	}
	return f.failed
}

// groupWeight bounds how much one commit writes for several callers; one caller's own may be more.
const groupWeight = 16_384

// submit has something written, together with what others wait for: commit writes for all of them, or for none.
func (f *file[R]) submit(ctx context.Context, r *request[R], commit func(group []*request[R]) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	f.waiting = append(f.waiting, r)
	f.mu.Unlock()
	f.write.Lock()
	defer f.write.Unlock()
	for !r.answered {
		group := f.next()
		err := f.usable()
		if err == nil {
			err = commit(group)
		}
		for _, x := range group {
			x.answered, x.err = true, err
		}
	}
	return r.err
}

// next takes those who wait longest.
func (f *file[R]) next() []*request[R] {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, weight := 0, 0
	for n < len(f.waiting) && (n == 0 || weight+f.waiting[n].weight <= groupWeight) {
		weight += f.waiting[n].weight
		n++
	}
	group := f.waiting[:n:n]
	f.waiting = f.waiting[n:]
	if len(f.waiting) == 0 {
		f.waiting = nil
	}
	return group
}

// transaction runs do, which is durable on return and tells about how many bytes it wrote. It wants write.
func (f *file[R]) transaction(do func() (bytes int, err error)) error {
	f.measure()
	err := f.c.MoveLog(&f.fill)
	if err == nil {
		err = f.c.Transaction(func() error {
			bytes, err := do()
			f.fill.Add(bytes)
			return err
		})
	}
	if errors.Is(err, event.ErrFailed) {
		f.failed = sqlink.ErrFailedBefore()
	}
	return err
}

// measure puts what is in the write-ahead log, and not in the file yet, in the place of what was estimated: neighbours
// that are changed together take less of it by an order of magnitude. Where it cannot be read the estimate holds.
func (f *file[R]) measure() {
	pages := -1
	err := f.c.Query("PRAGMA wal_checkpoint(NOOP)", func(r sqlink.Row) error {
		pages = int(r.Int64(1) - r.Int64(2))
		return nil
	})
	if err == nil && pages >= 0 {
		f.fill = sqlink.Fill{}
		f.fill.Add(pages * sqlink.PageSize)
	}
}

// read runs do in a read transaction.
func (f *file[R]) read(ctx context.Context, do func(*sqlink.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := f.readers.Take(ctx)
	if err != nil {
		return err
	}
	defer func() { f.readers.Give(c, !c.AutocommitEnabled()) }()
	if err = c.Exec("BEGIN"); err == nil {
		err = do(c)
	}
	if !c.AutocommitEnabled() {
		if end := c.Exec("COMMIT"); err == nil {
			err = end
		}
	}
	return err
}

// scrub empties the write-ahead log; busy: a reader was in the way.
func (f *file[R]) scrub(ctx context.Context) (busy bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	f.write.Lock()
	defer f.write.Unlock()
	if f.closed {
		return false, sqlink.ErrClosed()
	}
	busy, err = f.c.Checkpoint("TRUNCATE")
	if errors.Is(err, event.ErrFailed) {
		f.failed = sqlink.ErrFailedBefore()
	}
	return busy, err
}
