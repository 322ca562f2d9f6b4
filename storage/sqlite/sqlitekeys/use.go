package sqlitekeys

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// usesSchema: a use is one row that is added at the end; what finds uses by person, actor and purpose is an inverted
// index of sorted runs, written every Options.Flush entries. Segments that are stale name uses that were pruned.
var usesSchema = sqlink.Schema{Steps: []string{`
CREATE TABLE head (
	one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, indexed INTEGER NOT NULL
) STRICT;
CREATE TABLE use (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX use_at ON use (at);
CREATE TABLE stale (segment INTEGER PRIMARY KEY) STRICT;
INSERT INTO head VALUES (1, 0, 0);
` + sqlink.RunTables}}

// useLog is uses.db.
type useLog struct {
	file  *file[[]use]
	flush int // postings between two writes of the index

	pruning sync.Mutex // held by the one PruneUses that runs; taken before file.write
	paused  bool       // PruneUses changes the segments: nobody else does; under file.write
	fresh   int        // postings in the tail; under file.write

	merge   *postings.Merge // in progress; under file.write
	garbage []int64         // dropped segments whose rows are still there; under file.write

	// mu guards what follows; all of it changes only with file.write held too. A view of it stays valid: segments are
	// never changed in place, appended postings lie beyond last of an older view, and rows of dropped segments are
	// deleted by a later commit only.
	mu       sync.RWMutex
	last     uint64
	indexed  event.Position // covered by segments
	segments []postings.Segment
	tail     postings.Tail // everything after indexed
}

// use is a use as it is stored.
type use struct {
	at    int64
	body  []byte
	terms []uint64
}

func openUses(path string, flush int) (*useLog, error) {
	if flush <= 0 {
		flush = 65_536
	}
	f, err := openFile[[]use](path, usesSchema)
	if err != nil {
		return nil, err
	}
	u := &useLog{file: f, flush: flush, tail: make(postings.Tail)}
	if err := u.load(); err != nil {
		return nil, fmt.Errorf("load %s: %w", path, joinClose(err, f.close))
	}
	return u, nil
}

// load reads the head and the segments, and rebuilds what the index has only in memory from the rows.
func (u *useLog) load() error {
	c := u.file.c
	err := c.Query("SELECT last, indexed FROM head", func(r sqlink.Row) error {
		u.last, u.indexed = uint64(r.Int64(0)), event.Position(r.Int64(1))
		return nil
	})
	if err != nil {
		return err
	}
	if u.segments, err = sqlink.Segments(c); err != nil {
		return err
	}
	if err := postings.Check(u.segments, u.indexed); err != nil {
		return err
	}
	if u.garbage, err = sqlink.Orphans(c); err != nil {
		return err
	}
	err = c.Query("SELECT n, body FROM use WHERE n > ? ORDER BY n", func(r sqlink.Row) error {
		full, err := storage.ParseUse(r.Bytes(1), event.KRID{})
		if err != nil {
			return fmt.Errorf("use %d: %w", r.Int64(0), err)
		}
		var added postings.Added
		note(&added, uint64(r.Int64(0)), full.Terms())
		u.tail.Add(&added)
		u.fresh += len(added.Keys)
		return nil
	}, int64(u.indexed))
	if err != nil {
		return err
	}
	return u.planMerge()
}

// planMerge plans a merge where there is one to do and no segment is stale: what is stale would be so in a merged one.
func (u *useLog) planMerge() error {
	if u.merge != nil || u.paused {
		return nil
	}
	stale, err := staleSegments(u.file.c)
	if err == nil && len(stale) == 0 {
		u.merge = postings.PlanMerge(u.segments)
	}
	return err
}

// RecordUses implements storage.Uses.
func (k *Keystore) RecordUses(ctx context.Context, uses []storage.Use) error {
	want := make([]use, len(uses))
	entries := 0
	for i := range uses {
		if err := uses[i].Check(); err != nil {
			return err
		}
		u := uses[i]
		u.Entries = slices.Clone(u.Entries)
		u.Canonical()
		want[i] = use{at: u.At, body: storage.AppendUse(nil, &u), terms: u.Terms()}
		entries += len(want[i].terms)
	}
	r := &request[[]use]{want: want, weight: entries}
	if err := k.uses.file.submit(ctx, r, k.uses.commit); err != nil {
		return fmt.Errorf("record uses: %w", err)
	}
	return nil
}

// note is what the index shall know of a use.
func note(a *postings.Added, n uint64, terms []uint64) {
	for _, term := range terms {
		a.Add(termKey(term), postings.Posting{Position: event.Position(n)})
	}
}

func termKey(term uint64) postings.Key {
	return postings.Key{Space: postings.TermSpace, Term: int64(term)}
}

// useBytes is about what a row takes beside its body, in its table and in the index by time.
const useBytes = 40

// commit stores the uses of several callers in one transaction.
func (u *useLog) commit(group []*request[[]use]) error {
	t := &useCommit{log: u, last: u.last}
	err := u.file.transaction(func() (int, error) {
		c := u.file.c
		for _, r := range group {
			for i := range r.want {
				x := &r.want[i]
				t.last++
				if err := c.Exec("INSERT INTO use VALUES (?, ?, ?)", int64(t.last), x.at, x.body); err != nil {
					return 0, err
				}
				t.written += len(x.body) + useBytes
				note(&t.added, t.last, x.terms)
			}
		}
		if t.last == u.last {
			return 0, nil
		}
		if err := t.maintain(); err != nil {
			return 0, err
		}
		return t.written, c.Exec("UPDATE head SET last = ? WHERE one = 1", int64(t.last))
	})
	if err != nil {
		t.abandon()
		return err
	}
	return t.publish()
}

// PageUses implements storage.Uses.
func (k *Keystore) PageUses(ctx context.Context, q storage.UseQuery) (storage.UsePage, error) {
	if err := limit("page uses", q.Limit); err != nil {
		return storage.UsePage{}, err
	}
	var page storage.UsePage
	err := k.uses.read(ctx, &q, func(c *sqlink.Conn, v *postings.View) error {
		p := &usePage{c: c, q: &q}
		from := v.Head
		if q.Before > 0 {
			from = min(from, event.Position(q.Before-1))
		}
		if term, ok := q.Term(); ok {
			return p.byTerm(v.List(termKey(term), postings.AnyRole), from, &page)
		}
		return p.scan(from, &page)
	})
	if err != nil {
		return storage.UsePage{}, fmt.Errorf("page uses: %w", err)
	}
	return page, nil
}

// read runs do on a consistent view of the file and the index. File and index are taken under one lock, so that no
// commit lies between them but one that is durable and not yet published; that one neither changes nor deletes what the
// view knows.
func (u *useLog) read(ctx context.Context, q *storage.UseQuery, do func(*sqlink.Conn, *postings.View) error) error {
	return u.file.read(ctx, func(c *sqlink.Conn) error {
		v, err := u.view(c, q)
		if err != nil {
			return err
		}
		return do(c, v)
	})
}

func (u *useLog) view(c *sqlink.Conn, q *storage.UseQuery) (*postings.View, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if err := c.Exec("SELECT last FROM head"); err != nil { // the transaction's snapshot begins here
		return nil, err
	}
	tail := make(postings.Tail)
	if term, ok := q.Term(); ok {
		tail[termKey(term)] = u.tail[termKey(term)]
	}
	return &postings.View{
		Rows: sqlink.IndexRows{Conn: c}, Head: event.Position(u.last), Indexed: u.indexed, Segments: u.segments,
		Tail: tail.List,
	}, nil
}

// A page looks at no more uses than this, nor at more than this of their bytes and one use.
const (
	pageUses  = 2048
	pageBytes = 4 << 20
)

// usePage answers a query.
type usePage struct {
	c      *sqlink.Conn
	q      *storage.UseQuery
	looked int
	bytes  int
}

func (p *usePage) full(page *storage.UsePage) bool {
	return len(page.Uses) >= p.q.Limit || p.looked >= pageUses || p.bytes >= pageBytes
}

// byTerm looks at the uses of a list, from a number downward.
func (p *usePage) byTerm(list *postings.List, from event.Position, page *storage.UsePage) error {
	for ; !p.full(page); from-- {
		hit, ok, err := list.AtOrBefore(from)
		if err != nil {
			return err
		}
		if !ok {
			page.Scanned, page.Done = 0, true
			return nil
		}
		from = hit.Position
		err = p.c.Query("SELECT n, body FROM use WHERE n = CAST(? AS INTEGER)", func(r sqlink.Row) error {
			return p.look(r, page)
		}, int64(from)) // no row: it was pruned, and its segment is still to be written anew
		if err != nil {
			return err
		}
		page.Scanned = uint64(from)
		p.looked++
	}
	return nil
}

// scan looks at all uses, from a number downward.
func (p *usePage) scan(from event.Position, page *storage.UsePage) error {
	page.Done = true
	err := p.c.Query("SELECT n, body FROM use WHERE n <= CAST(? AS INTEGER) ORDER BY n DESC LIMIT ?",
		func(r sqlink.Row) error {
			if p.full(page) {
				page.Done = false
				return nil
			}
			page.Scanned = uint64(r.Int64(0))
			p.looked++
			return p.look(r, page)
		}, int64(from), min(p.q.Limit, pageUses)+1)
	if page.Done {
		page.Scanned = 0
	}
	return err
}

// look takes a use if it is one that is asked for.
func (p *usePage) look(r sqlink.Row, page *storage.UsePage) error {
	body := r.Bytes(1)
	p.bytes += len(body)
	u, err := storage.ParseUse(body, p.q.KRID)
	if err != nil {
		return fmt.Errorf("use %d: %w", r.Int64(0), err)
	}
	u.Number = uint64(r.Int64(0))
	if len(u.Entries) > 0 && p.q.Matches(&u) {
		u.Words = bytes.Clone(u.Words)
		page.Uses = append(page.Uses, u)
	}
	return nil
}
