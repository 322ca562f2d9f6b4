package event

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// The body is what a store keeps of a draft beside the columns it searches by. docs/format/body.md specifies it.
const bodyFormat = 1

const (
	hasSchema = 1 << iota
	hasOccurred
	hasCorrelation
	hasCausation
	hasTraceparent
	hasProducer
	hasRelations
	hasMetadata
	hasJSON
	hasProtobuf
	knownFlags = 1<<iota - 1
)

// AppendBody encodes a valid, canonical draft: everything but id and type. Equal drafts give equal bytes.
func AppendBody(b []byte, d *Draft) []byte {
	flags := d.bodyFlags()
	b = append(b, bodyFormat)
	b = binary.BigEndian.AppendUint16(b, flags)
	if flags&hasSchema != 0 {
		b = append(b, d.Schema[:]...)
	}
	if flags&hasOccurred != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(Micros(d.OccurredAt)))
	}
	if flags&hasCorrelation != 0 {
		b = appendString(b, d.Correlation)
	}
	if flags&hasCausation != 0 {
		b = append(b, d.Causation[:]...)
	}
	if flags&hasTraceparent != 0 {
		b = appendString(b, d.Traceparent)
	}
	if flags&hasProducer != 0 {
		b = appendString(appendString(appendString(b, d.Producer.Name), d.Producer.Version), d.Producer.Commit)
	}
	if flags&hasRelations != 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d.Relations)))
		for _, r := range d.Relations {
			b = appendString(appendString(appendString(b, r.Role), r.Kind), r.ID)
		}
	}
	if flags&hasMetadata != 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(d.Metadata)))
		for _, k := range d.MetadataKeys() {
			b = appendString(appendString(b, k), d.Metadata[k])
		}
	}
	return append(b, d.Data...)
}

// MetadataKeys are the keys in their canonical order.
func (d *Draft) MetadataKeys() []string {
	if len(d.Metadata) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(d.Metadata))
}

func (d *Draft) bodyFlags() (flags uint16) {
	set := func(present bool, flag uint16) {
		if present {
			flags |= flag
		}
	}
	set(d.Schema != SchemaID{}, hasSchema)
	set(!d.OccurredAt.IsZero(), hasOccurred)
	set(d.Correlation != "", hasCorrelation)
	set(!d.Causation.IsZero(), hasCausation)
	set(d.Traceparent != "", hasTraceparent)
	set(d.Producer != Producer{}, hasProducer)
	set(len(d.Relations) > 0, hasRelations)
	set(len(d.Metadata) > 0, hasMetadata)
	set(d.Format == JSON && len(d.Data) > 0, hasJSON)
	set(d.Format == Protobuf, hasProtobuf)
	return flags
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// DecodeBody reads what AppendBody wrote into d, leaving id and type alone. It is strict: what it accepts encodes
// to the same bytes again. Data aliases body.
func DecodeBody(body []byte, d *Draft) error {
	if len(body) < 3 {
		return Errorf(ErrCorrupt, "decode body: %d bytes are too few", len(body))
	}
	flags := binary.BigEndian.Uint16(body[1:])
	if body[0] != bodyFormat || flags&^knownFlags != 0 {
		return Errorf(ErrFormat, "decode body: format %d with flags %#x is not known", body[0], flags).
			Hint("a newer Lethe wrote it: upgrade")
	}
	r := bodyReader{body: body, rest: body[3:], ok: true}
	if flags&hasSchema != 0 {
		copy(d.Schema[:], r.take(32))
	}
	if flags&hasOccurred != 0 {
		d.OccurredAt = r.time()
	}
	if flags&hasCorrelation != 0 {
		d.Correlation = r.string()
	}
	if flags&hasCausation != 0 {
		copy(d.Causation[:], r.take(16))
	}
	if flags&hasTraceparent != 0 {
		d.Traceparent = r.string()
	}
	if flags&hasProducer != 0 {
		d.Producer = Producer{Name: r.string(), Version: r.string(), Commit: r.string()}
	}
	if flags&hasRelations != 0 {
		d.Relations = r.relations()
	}
	if flags&hasMetadata != 0 {
		d.Metadata = r.metadata()
	}
	if flags&(hasJSON|hasProtobuf) != 0 {
		d.Data = json.RawMessage(r.take(len(r.rest)))
	}
	if flags&hasProtobuf != 0 {
		d.Format = Protobuf
	}
	if !r.ok || len(r.rest) > 0 || d.bodyFlags() != flags {
		return Errorf(ErrCorrupt, "decode body: its parts do not add up")
	}
	return nil
}

// bodyReader takes length-prefixed parts; the first part that does not fit turns ok false for good.
type bodyReader struct {
	body []byte
	text string // body, once a string is wanted: one copy serves them all
	rest []byte
	ok   bool
}

func (r *bodyReader) take(n int) []byte {
	if n > len(r.rest) {
		r.ok, r.rest = false, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *bodyReader) uint16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *bodyReader) time() time.Time {
	if b := r.take(8); b != nil {
		return FromMicros(int64(binary.BigEndian.Uint64(b)))
	}
	return time.Time{}
}

func (r *bodyReader) string() string {
	part := r.take(r.uint16())
	if len(part) == 0 {
		return ""
	}
	if r.text == "" {
		r.text = string(r.body)
	}
	end := len(r.body) - len(r.rest)
	return r.text[end-len(part) : end]
}

func (r *bodyReader) relations() []Relation {
	n := r.uint16()
	if n == 0 || n > len(r.rest)/6 {
		r.ok = false
		return nil
	}
	relations := make([]Relation, n)
	for i := range relations {
		relations[i] = Relation{Role: r.string(), Kind: r.string(), ID: r.string()}
		if i > 0 && relations[i-1].compare(relations[i]) >= 0 {
			r.ok = false
		}
	}
	return relations
}

func (r *bodyReader) metadata() map[string]string {
	n := r.uint16()
	if n == 0 || n > len(r.rest)/4 {
		r.ok = false
		return nil
	}
	metadata := make(map[string]string, n)
	last := ""
	for i := range n {
		k := r.string()
		if i > 0 && k <= last {
			r.ok = false
		}
		metadata[k], last = r.string(), k
	}
	return metadata
}
