package bench

import "github.com/lethe-es/lethe/storage"

// Bytes is what one event takes in a store, on average, by what it is for. The parts add up to all that the store
// grew by.
type Bytes struct {
	Payload     float64 `json:"payload"`     // data, as its producer gave it; without what is sealed of it
	Sealed      float64 `json:"sealed"`      // boxes with personal values
	Envelope    float64 `json:"envelope"`    // rest of the row: place, times, relations, request digest, page overhead
	IDs         float64 `json:"ids"`         // index from event id to position
	Postings    float64 `json:"postings"`    // inverted index; what is not flushed yet is in memory and counts nothing
	Streams     float64 `json:"streams"`     // names and states of streams
	Commitments float64 `json:"commitments"` // seed of the open commitment
	Tree        float64 `json:"tree"`        // leaf in the row and tiles
	Other       float64 `json:"other"`       // everything else, space that is free or in the write-ahead log included
}

// hash is the bytes of a leaf, and of a seed.
const hash = 32

// Total is all bytes of one event.
func (b Bytes) Total() float64 {
	return b.Payload + b.Sealed + b.Envelope + b.IDs + b.Postings + b.Streams + b.Commitments + b.Tree + b.Other
}

// bytesPerEvent spreads what the store grew by over the events that were appended.
func bytesPerEvent(before, after []storage.Size, events uint64, payload float64) Bytes {
	if events == 0 {
		return Bytes{}
	}
	each := make(map[string]float64)
	for _, s := range after {
		each[s.Part] += float64(s.Bytes) / float64(events)
	}
	for _, s := range before {
		each[s.Part] -= float64(s.Bytes) / float64(events)
	}
	return Bytes{
		Payload:     payload,
		Envelope:    each["events"] - payload - 2*hash,
		IDs:         each["ids"],
		Postings:    each["postings"],
		Streams:     each["streams"],
		Commitments: hash,
		Tree:        hash + each["tiles"],
		Other:       each["other"] + each["free"] + each["wal"],
	}
}

// seal tells what is sealed from the rest of the row.
func (b *Bytes) seal(data, boxes float64) {
	b.Envelope += b.Payload - data - boxes
	b.Payload, b.Sealed = data, boxes
}
