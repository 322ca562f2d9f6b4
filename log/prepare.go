package log

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/storage"
)

// Limits of one request. They bound what one caller can make every other caller wait for.
const (
	MaxRequestEvents = 10_000
	MaxRequestBytes  = 16 << 20
)

// prepared is a request with everything done that does not need the head: validation, encoding, digest, terms and
// all of the commitment but the version. This is the work that callers do in parallel.
type prepared struct {
	writes    []Write // as given; Events are replaced by entries
	entries   []entry // the events of all writes, in order
	condition *event.Condition
	digest    [32]byte
	open      [16]byte // digest of what is not personal, where something is
	sealing   *Sealing
	fences    []storage.Fence // what a system request ends, with whatever was sealed before it
	bytes     int
	minted    bool       // every id was minted here, so none can be in the log yet
	lifecycle *lifecycle // what a system request does to a stream; nil: nothing
	call      *call      // what the requests of one AppendEach share; nil: it came alone

	tried  bool // an earlier try with unknown outcome accepted it: found in the log, it is no repetition
	result Result
	err    error
	done   chan struct{}
}

// call is what the requests of one AppendEach share: once one of them failed for a reason that is not its own, none
// that follows is tried, or the caller's order would be broken. Only the sequencer touches it.
type call struct{ failed error }

// entry is one event on its way into the log.
type entry struct {
	event      event.Event // its draft and stream; the place comes with the decision
	body       []byte
	signed     []byte // body as the request's digest takes it
	terms      []storage.Term
	seed       ledger.Hash
	commitment ledger.Prepared
	sealed     Sealed
}

// preparer holds what prepare needs of a store.
type preparer struct {
	ids        *event.IDs
	rand       io.Reader
	terms      *storage.Terms
	requestKey [32]byte
	digests    sync.Pool // of hash.Hash, keyed
	scratches  sync.Pool // of *scratch
}

// scratch is memory that encoding reuses from event to event.
type scratch struct {
	ledger ledger.Scratch
	slots  []ledger.Slot
	values []byte
	body   []byte
	terms  []storage.Term
}

func newPreparer(id storage.Identity, clock event.Clock, rand io.Reader) *preparer {
	p := &preparer{
		ids: event.NewIDs(clock, rand), rand: rand, terms: storage.NewTerms(id),
		requestKey: storage.RequestKey(id.Secret),
	}
	p.digests.New = func() any { return hmac.New(sha256.New, p.requestKey[:]) }
	p.scratches.New = func() any { return new(scratch) }
	return p
}

// prepare checks and encodes a request. system requests may write Lethe's own streams and types.
func (p *preparer) prepare(req *Request, system bool) (*prepared, error) {
	out := &prepared{writes: req.Writes, condition: req.Condition, sealing: req.Sealing,
		done: make(chan struct{}), minted: true}
	if err := out.collect(req, system); err != nil {
		return nil, err
	}
	if c := req.Condition; c != nil {
		if err := p.checkCondition(c); err != nil {
			return nil, err
		}
	}
	if err := p.identify(out); err != nil {
		return nil, err
	}
	if err := p.encodeAll(out.entries); err != nil {
		return nil, err
	}
	for i := range out.entries {
		out.bytes += len(out.entries[i].body) + len(out.entries[i].sealed.Boxes)
	}
	if out.bytes > MaxRequestBytes {
		return nil, event.Invalid("oversized", "append: %d bytes are more than %d in one append", out.bytes, MaxRequestBytes)
	}
	p.sign(out)
	return out, nil
}

// checkCondition refuses what no index could answer before the request waits in the queue.
func (p *preparer) checkCondition(c *event.Condition) error {
	if err := c.Filter.Validate(); err != nil {
		return err
	}
	for i := range c.Filter {
		if _, err := p.terms.Plan(&c.Filter[i]); err != nil {
			return err
		}
	}
	return nil
}

// collect checks the shape of the request and gathers its events.
func (out *prepared) collect(req *Request, system bool) error {
	n := 0
	for i := range req.Writes {
		n += len(req.Writes[i].Events)
	}
	if n == 0 || n > MaxRequestEvents {
		return event.Invalid("empty_or_oversized", "append: want 1 to %d events, got %d", MaxRequestEvents, n)
	}
	out.entries = make([]entry, 0, n)
	for i := range req.Writes {
		w := &req.Writes[i]
		if err := checkWrite(req.Writes[:i], w, system); err != nil {
			return err
		}
		for j := range w.Events {
			if !system && strings.HasPrefix(w.Events[j].Type, event.SystemKind+".") {
				return event.Invalid("reserved", "append: types that begin with %s. are reserved", event.SystemKind)
			}
			out.entries = append(out.entries, entry{event: event.Event{Stream: w.Stream, Draft: w.Events[j]}})
		}
	}
	if s := out.sealing; s != nil && s.Events != nil {
		for i := range out.entries {
			out.entries[i].sealed = s.Events[i]
		}
	}
	return nil
}

func checkWrite(earlier []Write, w *Write, system bool) error {
	if err := w.Stream.Validate(); err != nil {
		return err
	}
	if w.Stream.Kind == event.SystemKind && !system {
		return event.Invalid("reserved", "append: streams of kind %s are reserved", event.SystemKind)
	}
	if w.Expected < event.Any {
		return event.Invalid("malformed_version", "append to %s: %d is not a version", w.Stream, int64(w.Expected))
	}
	if len(w.Events) == 0 {
		return event.Invalid("empty_or_oversized", "append to %s: it has no events", w.Stream)
	}
	for i := range earlier {
		if earlier[i].Stream == w.Stream {
			return event.Invalid("repeated_stream", "append: stream %s is named twice", w.Stream).
				Hint("put all its events into one write")
		}
	}
	return nil
}

// identify mints missing ids and the seeds, and refuses an id that comes twice.
func (p *preparer) identify(out *prepared) error {
	seeds := make([]byte, len(out.entries)*32)
	if _, err := io.ReadFull(p.rand, seeds); err != nil {
		return fmt.Errorf("append: read randomness: %w", err)
	}
	var seen map[event.ID]struct{}
	if len(out.entries) > 1 {
		seen = make(map[event.ID]struct{}, len(out.entries))
	}
	for i := range out.entries {
		e := &out.entries[i]
		copy(e.seed[:], seeds[i*32:])
		if !e.event.ID.IsZero() {
			out.minted = out.minted && out.sealing != nil && out.sealing.Minted
		} else {
			id, err := p.ids.Next()
			if err != nil {
				return fmt.Errorf("append: %w", err)
			}
			e.event.ID = id
		}
		if _, ok := seen[e.event.ID]; ok {
			return event.Invalid("repeated_id", "append: event id %s is given twice", e.event.ID)
		}
		if seen != nil {
			seen[e.event.ID] = struct{}{}
		}
	}
	return nil
}

// parallelFrom is how many events make splitting their encoding over the cores worth while.
const parallelFrom = 64

func (p *preparer) encodeAll(entries []entry) error {
	workers := min(runtime.GOMAXPROCS(0), len(entries)/parallelFrom)
	if workers < 2 {
		return p.encodeSome(entries)
	}
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			errs[w] = p.encodeSome(entries[len(entries)*w/workers : len(entries)*(w+1)/workers])
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err // of the first event that is wrong: chunks are in order
		}
	}
	return nil
}

func (p *preparer) encodeSome(entries []entry) error {
	s := p.scratches.Get().(*scratch)
	defer p.scratches.Put(s)
	for i := range entries {
		if err := p.encode(&entries[i], s); err != nil {
			return err
		}
	}
	return nil
}

func (p *preparer) encode(e *entry, s *scratch) error {
	d := &e.event.Draft
	if err := d.ValidateEnvelope(); err != nil {
		return err
	}
	if err := d.ValidateOpen(); err != nil {
		return err
	}
	if d.Format != event.JSON {
		if err := d.Validate(); err != nil {
			return err
		}
	}
	d.Canonical()
	slots, err := s.openSlots(e.event.Stream, d)
	if err != nil {
		return err
	}
	e.commitment = ledger.Prepare(e.seed, slots, &s.ledger)
	s.body = event.AppendBody(s.body[:0], d)
	e.body = slices.Clone(s.body)
	if e.signed = e.body; d.Traceparent != "" {
		untraced := *d
		untraced.Traceparent = ""
		e.signed = event.AppendBody(nil, &untraced)
	}
	s.terms = p.terms.Append(s.terms[:0], e.event.Stream, d)
	e.terms = slices.Clone(s.terms)
	return nil
}

// prepareEach prepares independent requests over the cores. A request that is refused leaves nil and its outcome.
func (p *preparer) prepareEach(requests []Request, outcomes []Outcome) []*prepared {
	out := make([]*prepared, len(requests))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(requests)/16))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := len(requests) * w / workers; i < len(requests)*(w+1)/workers; i++ {
				out[i], outcomes[i].Err = p.prepare(&requests[i], false)
			}
		})
	}
	wg.Wait()
	return out
}

// sign digests the canonical request: what makes two appends the same append. The trace context is left out: who
// repeats an append after a lost answer does so in a new span.
func (p *preparer) sign(out *prepared) {
	h := p.digests.Get().(hash.Hash)
	defer p.digests.Put(h)
	h.Reset()
	buf := make([]byte, 0, 512)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(out.entries)))
	for i := range out.entries {
		e := &out.entries[i]
		buf = appendPart(buf, e.event.Stream.Kind)
		buf = appendPart(buf, e.event.Stream.ID)
		buf = append(buf, e.event.ID[:]...)
		buf = appendPart(buf, e.event.Type)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(e.signed)))
		h.Write(buf)
		h.Write(e.signed)
		buf = buf[:0]
	}
	h.Sum(out.digest[:0])
	if s := out.sealing; s != nil && len(s.Digests) > 0 {
		out.open = [16]byte(out.digest[:])
		out.digest = s.Digests[0].join(out.open)
	}
}

// join is the digest of a request that holds personal values: 128 bits of the open part's, the epoch whose key the rest
// was made with, and 96 bits of that.
func (d *Digest) join(open [16]byte) (sum [32]byte) {
	copy(sum[:], open[:])
	binary.BigEndian.PutUint32(sum[16:], d.Epoch)
	copy(sum[20:], d.Sum[:])
	return sum
}

// same tells whether a stored digest is that of this request. Personal values are compared while the epoch's key lives
// under which they were digested; afterwards nobody can, and what is open decides.
func (r *prepared) same(stored [32]byte) bool {
	if stored == r.digest {
		return true
	}
	if r.sealing == nil || len(r.sealing.Digests) == 0 || [16]byte(stored[:]) != r.open {
		return false
	}
	epoch := binary.BigEndian.Uint32(stored[16:])
	if epoch == 0 {
		return false
	}
	for i := range r.sealing.Digests {
		if d := &r.sealing.Digests[i]; d.Epoch == epoch {
			return d.join(r.open) == stored
		}
	}
	return true
}

func appendPart(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
