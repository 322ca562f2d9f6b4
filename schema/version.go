package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/lethe-es/lethe/event"
)

// MaxText is the size of a schema's text, in bytes.
const MaxText = 512 << 10

// fingerprintLabel is the version of what a fingerprint is taken over.
const fingerprintLabel = "lethe/schema/1"

// Version is one version of the schema of one event type. Its fields are not changed after it was made.
type Version struct {
	Type     string         // of the events that it describes
	Number   int            // from 1, gapless for a type
	ID       event.SchemaID // fingerprint
	Notation string
	Text     []byte
	Options  Options
	Upcaster Script // from the version before; zero: none

	plan   atomic.Pointer[compiled[Plan]]
	script atomic.Pointer[compiled[*Upcaster]]
	cache  *cache
}

// Script is an upcaster as it is stored.
type Script struct {
	Language string // "starlark", or "go": Text is the name under which a program gives it
	Text     string
}

// compiled is what a notation or a language answered.
type compiled[T any] struct {
	made T
	err  error
}

// Fingerprint is SHA-256 over the version's content, without its number; docs/format/schema.md lays the bytes out.
func (v *Version) Fingerprint() event.SchemaID {
	h := sha256.New()
	part := func(text []byte) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write(text)
	}
	h.Write([]byte(fingerprintLabel))
	for _, text := range []string{v.Notation, v.Type, v.Options.Kind, v.Options.Message} {
		part([]byte(text))
	}
	part(v.Text)
	part([]byte(v.Upcaster.Language))
	part([]byte(v.Upcaster.Text))
	return event.SchemaID(h.Sum(nil))
}

// Plan is the compiled schema. It is compiled when it is first asked for.
func (v *Version) Plan() (Plan, error) {
	if c := v.plan.Load(); c != nil {
		return c.made, c.err
	}
	return v.cache.plans.get(&v.plan, func() (Plan, error) {
		return v.cache.notations[v.Notation].Compile(v.Text, v.Options)
	})
}

// cache compiles schemas and upcasters, and keeps the last ones.
type cache struct {
	notations map[string]Notation
	languages map[string]Language
	plans     memo[Plan]
	upcasters memo[*Upcaster]
}

// memo makes things one at a time, and keeps the last ones.
type memo[T any] struct {
	mu   sync.Mutex
	kept []*atomic.Pointer[compiled[T]]
}

// maxCompiled is the number of plans that are kept, and of upcasters. Others are compiled again when they are needed.
const maxCompiled = 1024

func (m *memo[T]) get(at *atomic.Pointer[compiled[T]], compile func() (T, error)) (T, error) {
	if c := at.Load(); c != nil {
		return c.made, c.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := at.Load(); c != nil {
		return c.made, c.err
	}
	c := &compiled[T]{}
	c.made, c.err = compile()
	if len(m.kept) == maxCompiled {
		m.kept[0].Store(nil)
		m.kept = append(m.kept[:0], m.kept[1:]...)
	}
	at.Store(c)
	m.kept = append(m.kept, at)
	return c.made, c.err
}

// check refuses what no notation needs to look at.
func (v *Version) check() error {
	d := event.Draft{Type: v.Type}
	if err := cmp.Or(d.ValidateEnvelope(), d.ValidateOpen()); err != nil {
		return err
	}
	if len(v.Text) > MaxText {
		return event.Invalid("schema_too_large", "check schema of %q: %d bytes are more than %d",
			v.Type, len(v.Text), MaxText).Hint("split the event type, or leave comments and examples out")
	}
	return nil
}
