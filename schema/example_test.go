package schema_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// The examples in docs/format are what another implementation is held to. They are compared with what the code gives
// now; -update rewrites them, which is right only for a new format version.
var update = flag.Bool("update", false, "rewrite the examples in docs/format")

const page = "../docs/format/schema.md"

// worked renders labelled bytes, 32 to a line.
type worked struct{ strings.Builder }

func (w *worked) part(label string, b []byte) {
	for first := true; first || len(b) > 0; first = false {
		n := min(32, len(b))
		fmt.Fprintf(w, "%-66s  %s\n", hex.EncodeToString(b[:n]), label)
		label, b = "", b[n:]
	}
}

func exampleVersion() *schema.Version {
	v := &schema.Version{
		Type: "MailChanged", Number: 2, Notation: "jsonschema", Options: schema.Options{Kind: "customer"},
		Text: []byte(`{"type":"object","additionalProperties":false,"properties":{"piiref":{"type":"string"},` +
			`"mail":{"type":"string","contentMediaType":"aes256gcm"}}}`),
		Upcaster: schema.Script{Language: "go", Text: "mail-2"},
	}
	v.ID = v.Fingerprint()
	return v
}

// TestFingerprintExample lays the bytes out by hand, from the page and not from the code.
func TestFingerprintExample(t *testing.T) {
	v := exampleVersion()
	var w worked
	var all []byte
	w.part(`label "lethe/schema/1"`, []byte("lethe/schema/1"))
	all = append(all, "lethe/schema/1"...)
	for _, part := range [][2]string{
		{"notation", "jsonschema"}, {"event type", "MailChanged"}, {"kind of persons", "customer"}, {"message", ""},
		{"text", string(v.Text)}, {"language of the upcaster", "go"}, {"upcaster", "mail-2"},
	} {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(part[1])))
		w.part("length of "+part[0], length)
		if part[1] != "" {
			w.part(part[0], []byte(part[1]))
		}
		all = append(append(all, length...), part[1]...)
	}
	sum := sha256.Sum256(all)
	fmt.Fprintf(&w, "\n%-66s  %s\n", hex.EncodeToString(sum[:]), "fingerprint")
	if sum != v.ID {
		t.Errorf("the page gives %x, the code %x", sum, v.ID)
	}
	compareExample(t, "fingerprint", regexp.MustCompile(` +\n`).ReplaceAllString(w.String(), "\n"))
}

func TestPushedExample(t *testing.T) {
	data, err := exampleVersion().Pushed()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(data)); err != nil {
		t.Fatal(err)
	}
	compareExample(t, "event", out.String())
	r := schema.NewRegistry(jsonschema.New())
	first := exampleVersion()
	first.Number, first.Upcaster = 1, schema.Script{}
	first.ID = first.Fingerprint()
	before, _ := first.Pushed()
	for _, d := range [][]byte{before, data} {
		if err := r.Apply(applied(schema.TypePushed, d)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(exampleVersion().Upcaster, r.Current("MailChanged").Upcaster); diff != "" {
		t.Error(diff)
	}
}

func compareExample(t *testing.T, name, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), "<!-- example "+name+" -->\n```\n")
	example, after, ok2 := strings.Cut(rest, "```\n<!-- end of example -->")
	switch {
	case !ok1 || !ok2:
		t.Fatalf("%s has no marked example %s", page, name)
	case *update:
		all := before + "<!-- example " + name + " -->\n```\n" + want + "```\n<!-- end of example -->" + after
		if err := os.WriteFile(page, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
	case example != want:
		t.Errorf("%s shows another example than the code gives:\n%s", page, want)
	}
}
