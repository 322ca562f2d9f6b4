package tape_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// texts are JSON and what is nearly JSON.
func texts() []string {
	deep := strings.Repeat(`{"a":[`, 60)
	return []string{
		`{}`, `{"a":1}`, ` { "a" : [ ] , "b" : { } } `, `{"a":[1,2,{"b":null}],"c":true,"d":false}`, `{"a":"\u00e4\ud834\udd1e"}`,
		`{"a":"\ud834"}`, `{"a":"\udd1e\ud834"}`, `{"a":"\ud834\n"}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{\"\xc3\x28\":1}",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"\u0061":2}}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`,
		`{"a":1e}`, `{"a":1e+}`, `{"a":-0}`, `{"a":1e400}`, `{"a":1E-5}`, `{"a":+1}`, `{"a":tru}`, `{"a":nul`, `{"a"`, `{"a":`,
		`{"a":1,}`, `{,}`, `{"a" 1}`, `{1:1}`, `{"a":1}}`, `{"a":1} x`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":"`,
		`{"a":"\`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"` + "ä𝄞" + `"}`, `{"a":'b'}`, `{"a":"b"`, "\ufeff{}", `{]`,
		`{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"\u0061":0}`,
		`{"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0}`,
		deep + strings.Repeat(`]}`, 60), deep, `{"a":"0123456` + `7` + "\t" + `"}`, `{"a":"01234567\"89","b":"\\"}`, `{"":{"":""}}`, ``, ` `,
	}
}

// TestReadLikeEvent holds the tape to what package event takes for JSON: data that an event may have is read, and
// nothing else.
func TestReadLikeEvent(t *testing.T) {
	for _, text := range texts() {
		compare(t, []byte(text))
	}
}

func TestReadMutated(t *testing.T) {
	some := rapid.SampledFrom(texts())
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(some.Draw(t, "text"))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			if len(text) == 0 {
				break
			}
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			text[at] = rapid.SampledFrom([]byte(`{}[],:"\ue01-.tn`+"\x00\xc3\xa4")).Draw(t, "byte")
		}
		compare(t, text)
	})
}

func FuzzRead(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { compare(t, text) })
}

func compare(t interface{ Errorf(string, ...any) }, text []byte) {
	if len(text) == 0 || len(text) > event.MaxDataBytes {
		return
	}
	read := tape.Tape{Depth: tape.DataDepth}
	err := read.Read(text)
	if err == nil && read.Entries[0].Kind != '{' {
		return // an event's data is an object
	}
	if want := event.ValidateData(text); (err == nil) != (want == nil) {
		t.Errorf("read %q: %v, and package event: %v", text, err, want)
	}
}

func TestDepth(t *testing.T) {
	for depth, ok := range map[int]bool{64: true, 65: false} {
		read := tape.Tape{Depth: 64}
		err := read.Read([]byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)))
		if (err == nil) != ok {
			t.Errorf("depth %d: %v", depth, err)
		}
		if _, steps, tooDeep := read.Broken(); !ok && (!tooDeep || len(steps) != 63) {
			t.Errorf("depth %d: broken at %v, too deep: %v", depth, steps, tooDeep)
		}
	}
}

func TestEntries(t *testing.T) {
	read := tape.Tape{Depth: 9}
	if err := read.Read([]byte(`{"a/b":[10,{"c\n":"d\u00e4"}],"e":null}`)); err != nil {
		t.Fatal(err)
	}
	array := read.Member(0, "a/b")
	inner := read.Member(read.Element(array, 1), "c\n")
	if got := string(read.Text(inner)); got != "dä" {
		t.Errorf("text is %q", got)
	}
	if got := string(read.Raw(read.Element(array, 0))); got != "10" {
		t.Errorf("element is %q", got)
	}
	for what, i := range map[string]uint32{
		"member": read.Member(0, "b"), "element": read.Element(array, 2), "member of an array": read.Member(array, "c"),
		"element of an object": read.Element(0, 0), "member of nothing": read.Member(tape.None, "a"),
	} {
		if i != tape.None {
			t.Errorf("%s that is not there is entry %d", what, i)
		}
	}
}

// numbers are literals whose value big.Rat can hold.
var numbers = rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`)

func rat(t *rapid.T, literal string) *big.Rat {
	r, ok := new(big.Rat).SetString(literal)
	if !ok {
		t.Fatalf("no number: %s", literal)
	}
	return r
}

func TestDecimalLikeRat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			b = a + "0"
			if !strings.ContainsAny(a, ".eE") {
				b = a + ".0"
			}
		}
		x, y := tape.Number([]byte(a)), tape.Number([]byte(b))
		r, s := rat(t, a), rat(t, b)
		if got, want := x.Compare(y), r.Cmp(s); sign(got) != want {
			t.Errorf("compare %s and %s: %d, want %d", a, b, got, want)
		}
		if got, want := string(x.AppendCanonical(nil)) == string(y.AppendCanonical(nil)), r.Cmp(s) == 0; got != want {
			t.Errorf("%s and %s are written alike: %v, want %v", a, b, got, want)
		}
		if x.Integer() != r.IsInt() {
			t.Errorf("%s is an integer: %v", a, x.Integer())
		}
		if s.Sign() > 0 {
			if got, want := x.Multiple(y), new(big.Rat).Quo(r, s).IsInt(); got != want {
				t.Errorf("%s is a multiple of %s: %v, want %v", a, b, got, want)
			}
		}
	})
}

func sign(n int) int { return big.NewInt(int64(n)).Sign() }

func TestHugeNumbers(t *testing.T) {
	number := func(s string) tape.Decimal { return tape.Number([]byte(s)) }
	for _, less := range [][2]string{
		{"1e400", "1e401"}, {"-1e1000000000", "-1"}, {"9e999999999", "1e1000000000"}, {"1e-1000000000", "1e-5"},
		{"0", "1e-99999999999"}, {"9007199254740992", "9007199254740993"}, {"-1e400", "1e-400"},
	} {
		if number(less[0]).Compare(number(less[1])) >= 0 {
			t.Errorf("%s is not less than %s", less[0], less[1])
		}
	}
	if !number("1e1000000000").Integer() || number("1e-1000000000").Integer() {
		t.Error("exponents decide what is an integer")
	}
	if !number("3e1000000000").Multiple(number("7.5")) || number("3e1000000000").Multiple(number("7")) {
		t.Error("multiples are found without writing the number out")
	}
	long := "1" + strings.Repeat("0123456789", 50_000) + "4"
	if !number(long).Multiple(number("2")) || number(long).Multiple(number("5")) {
		t.Error("multiples of long numbers")
	}
	if s := fmt.Sprint(number("-0").Sign(), number("0.00").Sign(), number("-1e-9").Sign()); s != "0 0 -1" {
		t.Errorf("signs are %s", s)
	}
}
