// Package tape reads JSON once, strictly, into a slice of entries, which is what checking data against a schema and
// finding places in it walk over. Numbers stay literals: a Decimal compares them without float64.
//
//	t := tape.Tape{Depth: 64}
//	err := t.Read([]byte(`{"amount": 1e400}`)) // entries: { "amount" 1e400
package tape

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/lethe-es/lethe/event"
)

// Entry is one value or one member's name in a tape. What is inside a container follows it; Next is the entry after it
// and all that is in it. A name is followed by its value, and its Next is the next name.
type Entry struct {
	At, End uint32 // its bytes, with quotes
	Next    uint32
	Kind    byte // { [ " 0 t f n
	Escaped bool // a text that has escapes
}

// Tape is JSON, read once and strictly (RFC 8259 in UTF-8, no name twice in an object, no lone surrogates): the entries
// in the order in which they stand. One pass and one growing slice is what makes checking and locating cheap.
type Tape struct {
	Data    []byte
	Entries []Entry
	Depth   int // how deep containers may be nested

	open  []uint32 // containers that are not closed yet
	buf   []byte   // texts whose escapes were read
	fault int      // where Read stopped
}

// None stands for a value that is not there.
const None = ^uint32(0)

// DataDepth is the depth that package event takes, by the reader that it uses.
const DataDepth = 10_000

func (t *Tape) fail(code string, at int) error {
	t.fault = at
	if code == "duplicate_name" {
		return event.Invalid(code, "check data: an object repeats a name at offset %d", at)
	}
	return event.Invalid(code, "check data: not valid JSON at offset %d", at)
}

func (t *Tape) invalid(at int) error { return t.fail("invalid_json", at) }

// Read fills the tape. data must stay as it is while the tape is used.
func (t *Tape) Read(data []byte) error {
	t.Data, t.Entries, t.open = data, t.Entries[:0], t.open[:0]
	i := t.space(0)
	for {
		var err error
		if i, err = t.value(i); err != nil {
			return err
		}
		if i, err = t.after(i); err != nil {
			return err
		}
		if len(t.open) == 0 {
			if i < len(data) {
				return t.invalid(i)
			}
			return nil
		}
	}
}

func (t *Tape) space(i int) int {
	for i < len(t.Data) && (t.Data[i] == ' ' || t.Data[i] == '\n' || t.Data[i] == '\t' || t.Data[i] == '\r') {
		i++
	}
	return i
}

// value reads a scalar, an empty container, or the opening of a container with its first name.
func (t *Tape) value(i int) (int, error) {
	if i >= len(t.Data) {
		return i, t.invalid(i)
	}
	switch c := t.Data[i]; c {
	case '{', '[':
		if len(t.open) >= t.Depth {
			return i, t.invalid(i)
		}
		t.open = append(t.open, uint32(len(t.Entries)))
		t.Entries = append(t.Entries, Entry{At: uint32(i), Kind: c})
		i = t.space(i + 1)
		if i < len(t.Data) && t.Data[i] == c+2 { // } and ] are two after { and [
			return i, nil
		}
		if c == '{' {
			var err error
			if i, err = t.name(i); err != nil {
				return i, err
			}
		}
		return t.value(i)
	case '"':
		return t.text(i)
	case 't':
		return t.word(i, "true")
	case 'f':
		return t.word(i, "false")
	case 'n':
		return t.word(i, "null")
	}
	return t.number(i)
}

// after goes on behind a value: over commas to the next value, and out of containers that end.
func (t *Tape) after(i int) (int, error) {
	for len(t.open) > 0 {
		i = t.space(i)
		if i >= len(t.Data) {
			return i, t.invalid(i)
		}
		top := t.open[len(t.open)-1]
		kind := t.Entries[top].Kind
		switch {
		case t.Data[i] == kind+2:
			i++
			t.open = t.open[:len(t.open)-1]
			t.Entries[top].End, t.Entries[top].Next = uint32(i), uint32(len(t.Entries))
			if kind == '{' && !t.namesDiffer(top) {
				return i, t.fail("duplicate_name", int(t.Entries[top].At))
			}
		case t.Data[i] != ',':
			return i, t.invalid(i)
		case kind == '{':
			return t.name(t.space(i + 1))
		default:
			return t.space(i + 1), nil
		}
	}
	return t.space(i), nil
}

// name reads a member's name and the colon behind it, and stops at the value.
func (t *Tape) name(i int) (int, error) {
	if i >= len(t.Data) || t.Data[i] != '"' {
		return i, t.invalid(i)
	}
	i, err := t.text(i)
	if err != nil {
		return i, err
	}
	i = t.space(i)
	if i >= len(t.Data) || t.Data[i] != ':' {
		return i, t.invalid(i)
	}
	return t.space(i + 1), nil
}

func (t *Tape) word(i int, want string) (int, error) {
	end := i + len(want)
	if end > len(t.Data) || string(t.Data[i:end]) != want {
		return i, t.invalid(i)
	}
	t.add(i, end, want[0])
	return end, nil
}

func (t *Tape) add(at, end int, kind byte) {
	t.Entries = append(t.Entries, Entry{At: uint32(at), End: uint32(end), Next: uint32(len(t.Entries) + 1), Kind: kind})
}

func (t *Tape) number(i int) (int, error) {
	at := i
	if t.Data[i] == '-' {
		i++
	}
	whole := t.digits(i)
	if whole == i || t.Data[i] == '0' && whole > i+1 {
		return i, t.invalid(at)
	}
	i = whole
	if i < len(t.Data) && t.Data[i] == '.' {
		if i = t.digits(i + 1); i == whole+1 {
			return i, t.invalid(at)
		}
	}
	if i < len(t.Data) && t.Data[i]|0x20 == 'e' {
		i++
		if i < len(t.Data) && (t.Data[i] == '+' || t.Data[i] == '-') {
			i++
		}
		end := t.digits(i)
		if end == i {
			return i, t.invalid(at)
		}
		i = end
	}
	t.add(at, i, '0')
	return i, nil
}

func (t *Tape) digits(i int) int {
	for i < len(t.Data) && t.Data[i]-'0' <= 9 {
		i++
	}
	return i
}

func (t *Tape) text(at int) (int, error) {
	ascii, escaped := true, false
	for i := t.plain(at + 1); i < len(t.Data); i = t.plain(i + 1) {
		switch c := t.Data[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(t.Data[at:i]) {
				return i, t.invalid(at)
			}
			t.add(at, i+1, '"')
			t.Entries[len(t.Entries)-1].Escaped = escaped
			return i + 1, nil
		case c == '\\':
			_, n := unescape(t.Data[i:])
			if n == 0 {
				return i, t.invalid(i)
			}
			escaped = true
			i += n - 1
		case c < ' ':
			return i, t.invalid(i)
		default:
			ascii = false
		}
	}
	return at, t.invalid(at)
}

// plain skips bytes of a text that mean themselves, eight at a time: it stops at quotes, back-slashes, control
// characters and what is not ASCII.
func (t *Tape) plain(i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(t.Data); i += 8 {
		x := binary.LittleEndian.Uint64(t.Data[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		// Each term has the high bit of the first byte that it is about; later bytes may be wrong, which does not matter.
		stop := (x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash | x
		if stop &= high; stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}
	for ; i < len(t.Data); i++ {
		if c := t.Data[i]; c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// unescape reads one escape, of n bytes; n is 0 where it is none, or half of a pair of surrogates.
func unescape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := hex4(b)
	switch {
	case !ok || r >= 0xdc00 && r < 0xe000:
		return 0, 0
	case r < 0xd800 || r >= 0xe000:
		return r, 6
	}
	low, ok := hex4(b[6:])
	if !ok || low < 0xdc00 || low >= 0xe000 {
		return 0, 0
	}
	return (r-0xd800)<<10 | (low - 0xdc00) + 0x10000, 12
}

// hex4 reads \uXXXX.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Raw is a value as it stands.
func (t *Tape) Raw(i uint32) []byte { e := &t.Entries[i]; return t.Data[e.At:e.End:e.End] }

// Text is a text or a name without quotes and escapes. It is good until the next call.
func (t *Tape) Text(i uint32) []byte {
	e := &t.Entries[i]
	b := t.Data[e.At+1 : e.End-1]
	if !e.Escaped {
		return b
	}
	t.buf = appendUnescaped(t.buf[:0], b)
	return t.buf
}

func appendUnescaped(to, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(to, b...)
		}
		to = append(to, b[:i]...)
		r, n := unescape(b[i:])
		to = utf8.AppendRune(to, r)
		b = b[i+n:]
	}
}

// fewNames is the number of names up to which comparing each with each is cheaper than a map.
const fewNames = 16

func (t *Tape) namesDiffer(object uint32) bool {
	var few [fewNames]uint32
	n, end := 0, t.Entries[object].Next
	for i := object + 1; i < end; i = t.Entries[i+1].Next {
		t.Entries[i].Next = t.Entries[i+1].Next
		if n == len(few) {
			return t.manyDiffer(object)
		}
		for _, j := range few[:n] {
			if t.sameText(i, j) {
				return false
			}
		}
		few[n] = i
		n++
	}
	return true
}

func (t *Tape) manyDiffer(object uint32) bool {
	end := t.Entries[object].Next
	seen := make(map[string]struct{}, 2*fewNames)
	for i := object + 1; i < end; i = t.Entries[i+1].Next {
		t.Entries[i].Next = t.Entries[i+1].Next
		name := string(t.Text(i))
		if _, twice := seen[name]; twice {
			return false
		}
		seen[name] = struct{}{}
	}
	return true
}

func (t *Tape) sameText(i, j uint32) bool {
	a, b := &t.Entries[i], &t.Entries[j]
	if a.Escaped || b.Escaped {
		first := string(t.Text(i))
		return first == string(t.Text(j))
	}
	return a.End-a.At == b.End-b.At && bytes.Equal(t.Data[a.At:a.End], t.Data[b.At:b.End])
}

// Member is the value of a member of an object, or None; also where object is none.
func (t *Tape) Member(object uint32, name string) uint32 {
	if object == None || t.Entries[object].Kind != '{' {
		return None
	}
	for i, end := object+1, t.Entries[object].Next; i < end; i = t.Entries[i].Next {
		if string(t.Text(i)) == name {
			return i + 1
		}
	}
	return None
}

// Element is the nth element of an array, or None; also where array is none.
func (t *Tape) Element(array uint32, n int) uint32 {
	if array == None || t.Entries[array].Kind != '[' {
		return None
	}
	i, end := array+1, t.Entries[array].Next
	for ; n > 0 && i < end; n-- {
		i = t.Entries[i].Next
	}
	if i >= end {
		return None
	}
	return i
}

// Broken says, after Read has failed, where it stopped, which containers were open (as steps of a JSON pointer), and
// whether they were too deep.
func (t *Tape) Broken() (at int, steps []string, tooDeep bool) {
	for k := 0; k+1 < len(t.open); k++ {
		steps = append(steps, t.step(t.open[k], t.open[k+1]))
	}
	return t.fault, steps, len(t.open) >= t.Depth
}

// step is the name or the number of a container in another that is not closed.
func (t *Tape) step(container, inner uint32) string {
	if t.Entries[container].Kind == '{' {
		return string(t.Text(inner - 1))
	}
	n := 0
	for i := container + 1; i != inner; i = t.Entries[i].Next {
		n++
	}
	return strconv.Itoa(n)
}
