package sealing_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// control is what is planted in clear on purpose, once in each kind of place: where it is not found, the scan does not
// look, or does not see.
const control = "wkvbxhqzmd"

// spelling is a form in which a mark may stand; case does not count.
type spelling struct {
	how  string
	text []byte // in lower case
}

// spellings are the forms of a mark, and of it in upper case.
func spellings(mark string) (list []spelling) {
	add := func(how string, b []byte) {
		b = fold(b)
		if !slices.ContainsFunc(list, func(s spelling) bool { return bytes.Equal(s.text, b) }) {
			list = append(list, spelling{how, b})
		}
	}
	title := strings.ToUpper(mark[:1]) + mark[1:]
	for _, word := range []string{mark, strings.ToUpper(mark), title} {
		var escaped, percent, wide, swapped []byte
		for _, c := range []byte(word) {
			escaped = fmt.Appendf(escaped, `\u%04x`, c)
			percent = fmt.Appendf(percent, "%%%02x", c)
			wide, swapped = append(wide, c, 0), append(swapped, 0, c)
		}
		add("clear", []byte(word))
		add("hex", []byte(hex.EncodeToString([]byte(word))))
		add("escaped", escaped)
		add("percent", percent)
		add("UTF-16", wide)
		add("UTF-16, swapped", swapped)
		for before := range 3 { // what stands before it moves its bits
			text := base64.StdEncoding.EncodeToString(append(make([]byte, before), word...))
			from := (8*before + 5) / 6 // characters that hold other bits too are left out
			add("base64", []byte(text[from:len(word)*8/6+(before*8)/6-1]))
		}
	}
	if n, err := strconv.ParseUint(mark, 10, 64); err == nil {
		add("integer", binary.BigEndian.AppendUint64(nil, n))
		add("integer, swapped", binary.LittleEndian.AppendUint64(nil, n))
		add("float", binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(n))))
		add("float, swapped", binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(n))))
	}
	return list
}

// place is something that was kept or said. Kinds are what must be looked at.
type place struct {
	kind, name string
	data       []byte
}

// find says where and how a mark stands; nothing: nowhere.
func find(p *place, forms []spelling) string {
	for _, data := range [][]byte{p.data, []byte(p.name)} {
		folded := fold(data)
		for _, s := range forms {
			if i := bytes.Index(folded, s.text); i >= 0 {
				around := data[max(0, i-60):min(len(data), i+len(s.text)+60)]
				return fmt.Sprintf("%s, %s, as %s: %q", p.kind, p.name, s.how, around)
			}
		}
	}
	return ""
}

// fold is bytes.ToLower for ASCII alone: what is folded need not be text.
func fold(b []byte) []byte {
	folded := bytes.Clone(b)
	for i, c := range folded {
		if c >= 'A' && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return folded
}

// scan looks for personal marks in all places: none may be there. In every kind of place the control must be.
func scan(t *testing.T, places []place, kinds ...string) {
	t.Helper()
	personal := append(spellings(stem), spellings(digits)...)
	known := spellings(control)
	seen, size := map[string]bool{}, 0
	for i := range places {
		p := &places[i]
		size += len(p.data)
		if found := find(p, personal); found != "" {
			t.Errorf("a marker stands in %s", found)
		}
		seen[p.kind] = seen[p.kind] || find(p, known) != ""
	}
	for _, kind := range kinds {
		if !seen[kind] {
			t.Errorf("the control was planted in %s, and not found there", kind)
		}
	}
	t.Logf("%d places of %d kinds, %d bytes: no marker in clear", len(places), len(seen), size)
}

// files reads everything below a folder. kind says of what kind a file is.
func files(dir string, kind func(name string) string) (places []place, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		places = append(places, place{kind(name), name, data})
		return err
	})
	return places, err
}

// TestScan plants marks in every spelling among noise: the scan finds each of them, and nothing in the noise.
func TestScan(t *testing.T) {
	random := chance(seed(t), 0)
	noise := func() []byte {
		b := make([]byte, 1000+random.IntN(1000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	forms := append(spellings(stem), spellings(digits)...)
	planted := map[string][]byte{"word": []byte(stem), "upper": []byte(strings.ToUpper(stem)),
		"number": []byte("1" + digits + ".50"),
		"json":   []byte(`"\u007a\u0071\u0078\u006a\u0076\u006b\u0077\u0070\u0079\u0066\u0067\u0062\u007a\u0071"`),
		"URL":    []byte("%7A%71%78%6A%76%6B%77%70%79%66%67%62%7A%71"),
		"wide":   []byte("Z\x00Q\x00X\x00J\x00V\x00K\x00W\x00P\x00Y\x00F\x00G\x00B\x00Z\x00Q\x00")}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	planted["integer"] = binary.LittleEndian.AppendUint64(nil, number)
	for before := range 7 {
		text := []byte(strings.Repeat("-", before) + "Zqxjvkwpyfgbzq name" + strings.Repeat("-", random.IntN(4)))
		planted[fmt.Sprint("base64-", before)] = []byte(base64.RawURLEncoding.EncodeToString(text))
		planted[fmt.Sprint("hex-", before)] = []byte(strings.ToUpper(hex.EncodeToString(text)))
		planted[fmt.Sprint("digits in base64-", before)] = []byte(base64.StdEncoding.EncodeToString(
			[]byte(strings.Repeat("1", before) + digits + ".50")))
	}
	for name, mark := range planted {
		if p := (place{"noise", name, slices.Concat(noise(), mark, noise())}); find(&p, forms) == "" {
			t.Errorf("%s is not found", name)
		}
	}
	for range 100 {
		if p := (place{"noise", "noise", noise()}); find(&p, forms) != "" {
			t.Errorf("found in noise: %s", find(&p, forms))
		}
	}
}
