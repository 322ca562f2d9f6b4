package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/sealed"
)

func draw[T any](t *rapid.T, g *rapid.Generator[T], name string) T { return g.Draw(t, name) }

func bytesOf(n int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), n, n) }

func box(t *rapid.T) sealed.Box {
	name := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`)
	b := sealed.Box{Group: draw(t, name, "group"), Bucket: draw(t, rapid.Int64(), "bucket"),
		Joint: draw(t, rapid.Bool(), "joint")}
	if draw(t, rapid.Bool(), "kept for a time") {
		b.Class, b.Collection = draw(t, name, "class"), draw(t, name, "collection")
	}
	copy(b.Commitment[:], draw(t, bytesOf(32), "commitment"))
	copy(b.Nonce[:], draw(t, bytesOf(12), "nonce"))
	if c := draw(t, rapid.SliceOfN(rapid.Byte(), 0, 200), "cipher"); len(c) > 0 {
		b.Cipher = c
	}
	owners := 1
	if b.Joint {
		owners = draw(t, rapid.IntRange(2, 5), "owners")
	}
	for i := range owners {
		o := sealed.Owner{KRID: event.KRID{byte(i + 1)}, Generation: draw(t, rapid.Uint32Range(1, 9), "generation")}
		if b.Joint {
			copy(o.Wrapped[:], draw(t, bytesOf(sealed.WrappedBytes), "wrapped"))
		}
		b.Owners = append(b.Owners, o)
	}
	return b
}

func TestBoxesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var boxes []sealed.Box
		for i := range draw(t, rapid.IntRange(0, 4), "count") {
			b := box(t)
			b.Bucket = int64(i)
			b.Group = "g"
			boxes = append(boxes, b)
		}
		bytes := sealed.Append(nil, boxes)
		got, err := sealed.Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(boxes, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestContentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c sealed.Content
		copy(c.Seed[:], draw(t, bytesOf(32), "seed"))
		for range draw(t, rapid.IntRange(0, 5), "slots") {
			s := sealed.Slot{Kind: 5, State: draw(t, rapid.Uint8Range(0, 2), "state"), Path: draw(t, rapid.String(), "path"),
				Hole: draw(t, rapid.Uint32(), "hole")}
			if s.State == 2 {
				s.Value = draw(t, rapid.SliceOfN(rapid.Byte(), 0, 100), "value")
			}
			c.Slots = append(c.Slots, s)
		}
		b := sealed.AppendContent(nil, &c)
		if c.Size() != len(b) {
			t.Fatalf("content of %d bytes says that it takes %d", len(b), c.Size())
		}
		if len(b)%64 != 0 {
			t.Fatalf("content of %d bytes is not padded to a step of 64", len(b))
		}
		var got sealed.Content
		if err := sealed.ParseContent(b, &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sealed.AppendContent(nil, &got), b) {
			t.Fatal("what was parsed encodes to other bytes")
		}
	})
}

// FuzzParse holds that nothing but one encoding is accepted, and nothing crashes.
func FuzzParse(f *testing.F) {
	b := sealed.Box{Group: "contact", Class: "c", Bucket: 1, Owners: []sealed.Owner{{KRID: event.KRID{1}, Generation: 1}},
		Cipher: []byte("cipher")}
	f.Add(sealed.Append(nil, []sealed.Box{b}))
	b.Joint, b.Owners = true, append(b.Owners, sealed.Owner{KRID: event.KRID{2}, Generation: 3})
	f.Add(sealed.Append(nil, []sealed.Box{b}))
	f.Add([]byte{1, 1, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		boxes, err := sealed.Parse(in)
		switch {
		case err == nil && !bytes.Equal(sealed.Append(nil, boxes), in):
			t.Fatalf("accepted %x, which encodes to other bytes", in)
		case err != nil && !errors.Is(err, event.ErrCorrupt) && !errors.Is(err, event.ErrFormat):
			t.Fatalf("error of no class: %v", err)
		}
	})
}

// FuzzParseContent is FuzzParse for what is inside a box.
func FuzzParseContent(f *testing.F) {
	slot := sealed.Slot{Kind: 5, State: 2, Path: "/a", Value: []byte("1")}
	f.Add(sealed.AppendContent(nil, &sealed.Content{Slots: []sealed.Slot{slot}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		var c sealed.Content
		if sealed.ParseContent(in, &c) == nil && !bytes.Equal(sealed.AppendContent(nil, &c), in) {
			t.Fatalf("accepted %x, which encodes to other bytes", in)
		}
	})
}

func TestRefusesOtherFormats(t *testing.T) {
	good := sealed.Append(nil, []sealed.Box{{Group: "g", Owners: []sealed.Owner{{KRID: event.KRID{1}, Generation: 1}}}})
	for i := range 2 {
		b := bytes.Clone(good)
		b[i] = 9
		if _, err := sealed.Parse(b); !errors.Is(err, event.ErrFormat) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for n := 1; n < len(good); n++ {
		if _, err := sealed.Parse(good[:n]); !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}
