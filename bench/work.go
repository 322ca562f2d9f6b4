package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Limits of what is appended.
const (
	MinPayload   = 32
	MaxRelations = 100
)

// eventType is the type of what is appended; eventTypes counts how many there are.
const (
	eventType  = "LoanStepTaken"
	eventTypes = 24
)

// maker makes the drafts of one client. Making costs little, so that what is measured is the store: the bytes of the
// payload are written once, and each event changes the counter in them. The drafts are good until the next call.
type maker struct {
	rand   *rand.Rand
	types  []string
	drafts []event.Draft
	digits int // where in the payload the counter stands, if there is one
	n      uint64
	cast   *cast // whom the events are about; nil: nobody

	occurred time.Time // when the events are said to have occurred; zero: nothing is said
}

func newMaker(o *Options, client int) *maker {
	m := &maker{rand: rand.New(rand.NewPCG(uint64(client), 1)), drafts: make([]event.Draft, o.Batch),
		cast: o.cast}
	for i := range eventTypes {
		m.types = append(m.types, eventType+strconv.Itoa(i))
	}
	for i := range m.drafts {
		data := payload(o.Payload, personal(o.Personal), m.rand)
		m.drafts[i] = event.Draft{Data: data, Relations: make([]event.Relation, o.Relations)}
	}
	m.digits = bytes.Index(m.drafts[0].Data, []byte(counter)) + strings.IndexByte(counter, '0')
	m.n = uint64(client) << 40
	return m
}

// fields of a payload that has room for them, in front of the one that fills it up.
const fields = `"amount":20000,"currency":"EUR","score":0.25,"step":"checked",`

const head, foot = `{`, `"}`
const counter = `"note":"0123456789abcdef` // the 16 digits are the counter of an event

// payload is a JSON object of exactly n bytes that begins with some members; nil for 0.
func payload(n int, first string, r *rand.Rand) []byte {
	if n == 0 {
		return nil
	}
	b := append(make([]byte, 0, n), head...)
	b = append(b, first...)
	if n >= len(b)+len(fields)+len(counter)+len(foot) {
		b = append(b, fields...)
	}
	b = append(b, counter...)
	for len(b) < n-len(foot) {
		b = append(b, "abcdefghijklmnopqrstuvwxyz0123456789 "[r.IntN(37)])
	}
	return append(b, foot...)
}

// next makes the events of one append about an entity.
func (m *maker) next(entity string) []event.Draft {
	for i := range m.drafts {
		m.n++
		d := &m.drafts[i]
		d.Type, d.OccurredAt = m.types[m.rand.IntN(eventTypes)], m.occurred
		m.relate(d.Relations, entity)
		if len(d.Data) > 0 {
			hex.Encode(d.Data[m.digits:], binary.BigEndian.AppendUint64(nil, m.n))
			if m.cast != nil {
				m.cast.fill(d.Data, m.cast.pick(m.rand), d.Data[m.digits:m.digits+16])
			}
		}
	}
	return m.drafts
}

// relate fills in relations in their canonical order: the entity the event is about, then an employee of 500, a
// branch of 40, a product of 9, and parties of 100,000.
func (m *maker) relate(relations []event.Relation, entity string) {
	for i := range relations {
		r := &relations[i]
		switch i {
		case 0:
			*r = event.Relation{Role: "affected", Kind: "application", ID: entity}
		case 1:
			*r = event.Relation{Role: event.RoleIssuer, Kind: "employee", ID: strconv.Itoa(m.rand.IntN(500))}
		case 2:
			*r = event.Relation{Role: "owner", Kind: "branch", ID: strconv.Itoa(m.rand.IntN(40))}
		case 3:
			*r = event.Relation{Role: "product", Kind: "product", ID: strconv.Itoa(m.rand.IntN(9))}
		default:
			*r = event.Relation{Role: "role" + strconv.Itoa(100+i), Kind: "party", ID: strconv.Itoa(m.rand.IntN(100_000))}
		}
	}
}

// name is the id of stream n of this run.
func (t *target) name(n int) string { return fmt.Sprintf("%d-%d", t.start, n) }

// window is how many streams a fill has open at once.
const window = 1000

// filler fills a store as life does: a thousand streams are open at a time and get one event each in turn, until each
// has perStream events; then come the next thousand.
type filler struct {
	t         *target
	makers    []*maker
	perStream int
	round     int
	requests  []log.Request
}

func newFiller(t *target, o *Options, perStream int) *filler {
	one := *o
	one.Batch = 1
	f := &filler{t: t, perStream: perStream, requests: make([]log.Request, window)}
	for i := range window {
		f.makers = append(f.makers, newMaker(&one, i))
	}
	return f
}

// next appends up to n events, each under the exact version of its stream, and returns how many it appended.
func (f *filler) next(ctx context.Context, n int) (int, error) {
	n = min(n, window)
	first, version := f.round/f.perStream*window, f.round%f.perStream
	for i := range n {
		name := f.t.name(first + i)
		f.requests[i] = log.Request{Writes: []log.Write{{
			Stream: event.Stream(Kind, name), Expected: event.At(event.Version(version)), Events: f.makers[i].next(name),
		}}}
	}
	f.round++
	for _, outcome := range f.t.session.AppendEach(context.WithoutCancel(ctx), f.requests[:n]) {
		if outcome.Err != nil {
			return 0, outcome.Err
		}
	}
	return n, nil
}

// fill makes sure that there is something to read: it fills an empty store with events.
func (b *Bench) fill(ctx context.Context, t *target, o *Options, perStream int) error {
	if t.start > 0 {
		return nil
	}
	total := uint64(positive(o.Events, 200_000))
	f, begin := newFiller(t, o, perStream), b.Clock.Now()
	for done := uint64(0); done < total && ctx.Err() == nil; {
		n, err := f.next(ctx, int(min(total-done, window)))
		if err != nil {
			return err
		}
		done += uint64(n)
		b.report(Progress{Phase: "fill", Events: done, Total: total, Elapsed: b.Clock.Now().Sub(begin)})
	}
	return nil
}
