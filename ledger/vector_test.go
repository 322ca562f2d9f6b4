package ledger_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/ledger"
)

// bytesHex is printed as hexadecimal digits in JSON.
type bytesHex []byte

func (b bytesHex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

type slotVector struct {
	Kind  ledger.SlotKind  `json:"kind"`
	Path  string           `json:"path"`
	State ledger.SlotState `json:"state"`
	Value bytesHex         `json:"value"`
	Salt  bytesHex         `json:"salt"`
	Hash  bytesHex         `json:"hash"`
	Proof []bytesHex       `json:"proof"`
}

func hexes(hashes []ledger.Hash) []bytesHex {
	out := []bytesHex{}
	for _, h := range hashes {
		out = append(out, bytesHex(bytes.Clone(h[:])))
	}
	return out
}

func ascending(first byte) (h ledger.Hash) {
	for i := range h {
		h[i] = first + byte(i)
	}
	return h
}

func exampleSlots() []ledger.Slot {
	return []ledger.Slot{
		ledger.VersionSlot(3),
		{Kind: ledger.KindStream, State: ledger.Value, Value: []byte("application/173688")},
		{Kind: ledger.KindRelation, Path: "issuer/0", State: ledger.Value, Value: []byte("employee/112")},
		{Kind: ledger.KindProperty, Path: "amount", State: ledger.Value, Value: []byte("20000")},
		{Kind: ledger.KindProperty, Path: "note", State: ledger.Null},
	}
}

func TestCommitmentVectors(t *testing.T) {
	seed, slots := ascending(0), exampleSlots()
	root := ledger.Root(seed, slots)
	vectors := struct {
		Seed  bytesHex     `json:"seed"`
		Slots []slotVector `json:"slots"`
		Root  bytesHex     `json:"root"`
	}{Seed: seed[:], Root: root[:]}
	var w pagetest.Layout
	w.Part("seed", seed[:])
	for i, s := range slots {
		proof, err := ledger.ProveSlot(seed, slots, i)
		if err != nil {
			t.Fatal(err)
		}
		salt, hash := proof.Salt, ledger.SlotHash(proof.Salt, s)
		vectors.Slots = append(vectors.Slots, slotVector{s.Kind, s.Path, s.State, s.Value, salt[:], hash[:],
			hexes(proof.Path)})
		// The parts are laid out by hand, from oracleSlot, so that the page shows what is really hashed.
		b := append([]byte{0}, oracleSlot(t, seed, s)...)
		fmt.Fprintf(&w, "\nslot %d\n", i)
		for _, p := range []struct {
			label string
			n     int
		}{
			{"leaf prefix of RFC 6962", 1}, {`"lethe/slot/1"`, 12}, {"kind", 1}, {"salt", 32}, {"length of path", 4},
			{fmt.Sprintf("path %q", s.Path), len(s.Path)}, {"state", 1}, {"length of value", 4},
			{fmt.Sprintf("value %q", s.Value), len(s.Value)},
		} {
			if n := min(p.n, len(b)); n > 0 {
				w.Part(p.label, b[:n])
				b = b[n:]
			}
		}
		w.Part("= SHA-256 of the above, slot hash", hash[:])
	}
	w.WriteString("\n")
	w.Part("root, the commitment", root[:])
	compare(t, "commitment", vectors, w.String())
}

func TestLeafVectors(t *testing.T) {
	seed := ascending(0)
	box := func(first byte) ledger.Hash { return ascending(first) }
	leaf := ledger.Leaf{
		Store: [16]byte(unhex(t, "5f0c1d2e3a4b4c5d8e6f708192a3b4c5")), Incarnation: 1, Position: 42,
		ID: [16]byte(unhex(t, "0199a0d4e7c07abc8def0123456789ab")), Type: "OfferSent", Schema: ascending(0x40),
		RecordedAt: 1_790_000_000_123_456, Open: ledger.Root(seed, exampleSlots()),
	}
	boxed := leaf
	boxed.Boxes = []ledger.BoxCommitment{
		{Group: "contact", Bucket: 2027, Commitment: box(0x80)}, {Group: "identity", Bucket: 0, Commitment: box(0xa0)}}
	type vector struct {
		Bytes bytesHex `json:"bytes"`
		Hash  bytesHex `json:"hash"`
	}
	var vectors struct {
		Plain vector `json:"plain"`
		Boxed vector `json:"boxed"`
	}
	for _, v := range []struct {
		leaf ledger.Leaf
		to   *vector
	}{{leaf, &vectors.Plain}, {boxed, &vectors.Boxed}} {
		b := v.leaf.AppendTo(nil)
		h := ledger.LeafHash(b)
		*v.to = vector{b, h[:]}
	}
	var w pagetest.Layout
	b := []byte(vectors.Boxed.Bytes)
	for _, p := range []struct {
		label string
		n     int
	}{
		{"format version 1", 1}, {"suite 1", 1}, {"store", 16}, {"incarnation", 8}, {"position 42", 8},
		{"event id", 16}, {"length of type", 2}, {`type "OfferSent"`, 9}, {"schema", 32}, {"recorded at, µs", 8}, {"open commitment", 32},
		{"count of boxes", 2}, {"length of group", 2}, {`group "contact"`, 7}, {"bucket 2027", 8}, {"box commitment", 32},
		{"length of group", 2}, {`group "identity"`, 8}, {"bucket 0", 8}, {"box commitment", 32},
	} {
		w.Part(p.label, b[:p.n])
		b = b[p.n:]
	}
	w.WriteString("\n")
	w.Part("leaf hash", vectors.Boxed.Hash)
	w.Part("leaf hash of the same leaf without boxes (count 0)", vectors.Plain.Hash)
	compare(t, "leaf", vectors, w.String())
}

func TestTreeVectors(t *testing.T) {
	var world world
	type sized struct {
		Size     int      `json:"size"`
		Root     bytesHex `json:"root"`
		Frontier bytesHex `json:"frontier"`
	}
	var vectors struct {
		Leaf        string     `json:"leaf"`
		Trees       []sized    `json:"trees"`
		Tile        bytesHex   `json:"tile_1_0_first_hash"`
		Inclusion   []bytesHex `json:"inclusion_6_of_21"`
		Consistency []bytesHex `json:"consistency_13_of_21"`
		Verifier    string     `json:"verifier"`
		Checkpoint  string     `json:"checkpoint"`
	}
	vectors.Leaf = "leaf at position p is the 8 bytes of p-1, big-endian"
	for _, size := range []int{0, 1, 2, 3, 21, 256, 1000} {
		world.grow(t, size, 1)
		root := world.frontier.Root()
		frontier, err := world.frontier.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		vectors.Trees = append(vectors.Trees, sized{size, root[:], frontier})
	}
	reader := ledger.NewReader(world.tiler, world.read)
	inclusion, err1 := ledger.Inclusion(reader, 6, 21)
	consistency, err2 := ledger.Consistency(reader, 13, 21)
	first, err3 := reader.Tree(256)
	signer, verifier := testKey(t, "loans/1", 7)
	tree, err4 := reader.Tree(21)
	msg, err5 := ledger.Sign(ledger.Checkpoint{Origin: "loans/1", Size: tree.Size, Root: tree.Root}, signer)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ledger.OpenCheckpoint(msg, note.VerifierList(verifier)); err != nil {
		t.Fatal(err)
	}
	vectors.Inclusion, vectors.Consistency, vectors.Tile = hexes(inclusion), hexes(consistency), first.Root[:]
	_, vectors.Verifier = testKeyText(t, "loans/1", 7)
	vectors.Checkpoint = string(msg)
	compare(t, "tree", vectors, treePage(vectors.Trees[4].Frontier, tree, inclusion, consistency)+
		"\ncheckpoint of this tree, signed by "+vectors.Verifier+"\n\n"+string(msg))
}

func treePage(frontier []byte, tree ledger.Tree, inclusion, consistency []ledger.Hash) string {
	var w pagetest.Layout
	for i, label := range []string{"format version 1", "suite 1"} {
		w.Part(label, frontier[i:i+1])
	}
	w.Part("size 21", frontier[2:10])
	for i, label := range []string{"positions 1 to 16", "positions 17 to 20", "position 21"} {
		w.Part("root over "+label, frontier[10+32*i:][:32])
	}
	w.WriteString("\n")
	w.Part("root of the tree of size 21", tree.Root[:])
	w.WriteString("\ninclusion of position 6 in size 21\n")
	for _, h := range inclusion {
		w.Part("", h[:])
	}
	w.WriteString("\nconsistency of size 13 with size 21\n")
	for _, h := range consistency {
		w.Part("", h[:])
	}
	return w.String()
}

// compare holds what another implementation is held to. It stands twice: for machines in testdata/name.json, for people
// as the example of docs/format/name.md.
func compare(t *testing.T, name string, vectors any, page string) {
	t.Helper()
	want, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Golden(t, "testdata/"+name+".json", append(want, '\n'))
	pagetest.Compare(t, "../docs/format/"+name+".md", "", page)
}
