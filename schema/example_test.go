package schema_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

const page = "../docs/format/schema.md"

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
	var w pagetest.Layout
	var all []byte
	w.Part(`label "lethe/schema/1"`, []byte("lethe/schema/1"))
	all = append(all, "lethe/schema/1"...)
	for _, part := range [][2]string{
		{"notation", "jsonschema"}, {"event type", "MailChanged"}, {"kind of persons", "customer"}, {"message", ""},
		{"text", string(v.Text)}, {"language of the upcaster", "go"}, {"upcaster", "mail-2"},
	} {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(part[1])))
		w.Part("length of "+part[0], length)
		if part[1] != "" {
			w.Part(part[0], []byte(part[1]))
		}
		all = append(append(all, length...), part[1]...)
	}
	sum := sha256.Sum256(all)
	fmt.Fprintf(&w, "\n%-66s  %s\n", hex.EncodeToString(sum[:]), "fingerprint")
	if sum != v.ID {
		t.Errorf("the page gives %x, the code %x", sum, v.ID)
	}
	pagetest.Compare(t, page, "fingerprint", w.String())
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
	pagetest.Compare(t, page, "event", out.String())
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
