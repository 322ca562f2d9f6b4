package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
)

// People of the examples.
const (
	clerk        = "krid_64o3gchk6ko30d9i6ko30d9i6k"
	investigator = "krid_04g2gc9g6co30d9i6ko30d9i6g"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.ParseDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compile(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.New(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func bank(t testing.TB) *policy.Policy {
	t.Helper()
	return compile(t, string(readFile(t, "testdata/bank.json")))
}

func krid(t testing.TB, text string) event.KRID {
	t.Helper()
	k, err := event.ParseKRID(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wantCode compares the code of an error, and its class.
func wantCode(t *testing.T, err error, class error, code string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("got %v", err)
		}
		return
	}
	if event.Code(err) != code || !errors.Is(err, class) {
		t.Fatalf("got %q, %v; want %q", event.Code(err), err, code)
	}
}

// TestGoldenDocuments holds the canonical form, which is stored, against golden files, and reads it back.
func TestGoldenDocuments(t *testing.T) {
	for _, name := range []string{"bank", "example"} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, string(readFile(t, filepath.Join("testdata", name+".json"))))
			text, err := d.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			pagetest.Golden(t, filepath.Join("testdata", name+".canonical.json"), text)
			again := parse(t, string(text))
			if diff := cmp.Diff(d, again); diff != "" {
				t.Errorf("the canonical form reads back as something else:\n%s", diff)
			}
			p, err := policy.New(d)
			if err != nil {
				t.Fatal(err)
			}
			q, err := policy.New(again)
			if err != nil || p.Digest() != q.Digest() || p.Digest() == [32]byte{} {
				t.Errorf("digests %x and %x, %v", p.Digest(), q.Digest(), err)
			}
			if diff := cmp.Diff(d, p.Document()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSpaceDoesNotCount finds one canonical form for one meaning, however a document is written.
func TestSpaceDoesNotCount(t *testing.T) {
	text := readFile(t, "testdata/bank.json")
	var wide bytes.Buffer
	if err := json.Indent(&wide, text, " ", "\t\t"); err != nil {
		t.Fatal(err)
	}
	if compile(t, wide.String()).Digest() != compile(t, string(text)).Digest() {
		t.Error("the digest depends on insignificant space")
	}
}

// TestSetEvent puts a document into its event and takes it out again.
func TestSetEvent(t *testing.T) {
	d := parse(t, string(readFile(t, "testdata/bank.json")))
	draft, err := d.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if draft.Type != policy.TypeSet || policy.SetStream().String() != "lethe/policy" {
		t.Errorf("type %s, stream %s", draft.Type, policy.SetStream())
	}
	again, err := policy.ParseSet(draft.Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
	for _, data := range []string{``, `{}`, `{"document":{},"more":1}`, `{"other":{}}`, `[]`, `{"document":[]}`} {
		if _, err := policy.ParseSet([]byte(data)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s: %v", data, err)
		}
	}
	if _, err := (&policy.Document{Version: 2}).Draft(); event.Code(err) != "policy_invalid" {
		t.Errorf("version 2: %v", err)
	}
}

// TestEmptyPolicy declares nothing, holds nothing, opens nothing.
func TestEmptyPolicy(t *testing.T) {
	p, err := policy.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Grant(event.Opening{Purpose: "support"}); event.Code(err) != "purpose_unknown" {
		t.Errorf("Grant: %v", err)
	}
	if err := p.MayHold("contact", ""); event.Code(err) != "no_purpose" {
		t.Errorf("MayHold: %v", err)
	}
	if p.Person("customer") {
		t.Error("a kind is one of persons")
	}
	if _, ok := p.Metadata("x"); ok {
		t.Error("a metadata key is personal")
	}
	if _, ok := p.Collection("x"); ok {
		t.Error("a collection is registered")
	}
	if b, err := p.Bucket("", time.Now()); b != 0 || err != nil {
		t.Errorf("bucket %d, %v", b, err)
	}
}

// TestDeclarations looks declarations up.
func TestDeclarations(t *testing.T) {
	p := bank(t)
	if !p.Person("customer") || p.Person("application") || p.Person("nobody") {
		t.Error("persons are not customer alone")
	}
	mark, ok := p.Metadata("x-auth-email")
	if diff := cmp.Diff(policy.MetadataMark{Group: "identity", Role: "issuer"}, mark); diff != "" || !ok {
		t.Error(diff)
	}
	if c, ok := p.Collection("credit-report"); !ok || !c.Indirect() {
		t.Error("data from a third party is not flagged")
	}
	if c, ok := p.Collection("web-form"); !ok || c.Indirect() || c.Notice.Version != "3" {
		t.Errorf("web-form: %v", c)
	}
	if !p.Undisclosed("suspicion") || p.Undisclosed("contact") || p.Undisclosed("nothing") {
		t.Error("undisclosed is not suspicion alone")
	}
	if diff := cmp.Diff([]string{"contract", "legal-claims", "newsletter", "offers", "support"},
		p.Covering("contact")); diff != "" {
		t.Error(diff)
	}
	if u, ok := p.Purpose("aml"); !ok || !u.Undisclosed {
		t.Error("aml is not undisclosed")
	}
}

// TestMayHold stores only what every purpose that covers the group may use.
func TestMayHold(t *testing.T) {
	p := compile(t, `{
		"groups": {"contact": {}, "idle": {}, "health": {"category": "special"}, "notes": {}, "mixed": {}, "record": {}},
		"purposes": {
			"care": {"basis": "contract", "groups": ["contact", "health", "notes", "mixed"], "special": "h"},
			"ask": {"basis": "consent", "groups": ["health", "mixed"], "special": "a"},
			"court": {"basis": "legal-obligation", "groups": ["record"], "criminal": "law"},
			"mail": {"basis": "contract", "groups": ["contact"]}
		}}`)
	tests := []struct {
		group    string
		category schema.Category
		code     string
	}{
		{"contact", "", ""},
		{"contact", schema.Financial, ""},
		{"contact", schema.Child, ""},
		{"contact", schema.Special, "no_condition"}, // mail has none, and could open it
		{"idle", "", "no_purpose"},
		{"other", "", "no_purpose"},
		{"reference", "", "no_purpose"},
		{"health", schema.Special, ""},
		{"notes", schema.Special, ""},
		{"notes", schema.Criminal, "no_condition"},
		{"mixed", schema.Special, "no_condition"}, // explicit consent is asked for in groups declared special alone
		{"record", schema.Criminal, ""},
		{"record", schema.Special, "no_condition"},
	}
	for _, test := range tests {
		t.Run(test.group+" "+string(test.category), func(t *testing.T) {
			wantCode(t, p.MayHold(test.group, test.category), event.ErrDenied, test.code)
		})
	}
}

// TestNormal finds one form for spellings of one person, and shows none in errors.
func TestNormal(t *testing.T) {
	p := compile(t, `{"kinds": {
		"exact": {"person": true}, "lower": {"person": true, "normalise": "lower"},
		"email": {"person": true, "normalise": "email"}, "thing": {}}}`)
	tests := []struct{ kind, ref, want string }{
		{"exact", "4711", "4711"},
		{"exact", "Erika@Example.Org", "Erika@Example.Org"},
		{"exact", " 4711", ""},
		{"exact", "", ""},
		{"exact", "a\x00b", ""},
		{"exact", "a\xff", ""},
		{"exact", clerk, ""},
		{"exact", strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{"exact", strings.Repeat("x", 256), ""},
		{"lower", " AbC ", "abc"},
		{"lower", "Ame\u0301lie", "am\u00e9lie"},
		{"lower", "AM\u00c9LIE", "am\u00e9lie"},
		{"lower", "KRID_64O3", ""},
		{"email", "Erika@Example.ORG", "erika@example.org"},
		{"email", "Erika", ""},
		{"email", "a@b@c.org", ""},
		{"email", "a b@c.org", ""},
		{"email", strings.Repeat("x", 1<<20) + "@c.org", ""},
		{"thing", "1", ""},
		{"nothing", "1", ""},
	}
	for _, test := range tests {
		got, err := p.Normal(test.kind, test.ref)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s %.40q: %.40q, %v", test.kind, test.ref, got, err)
		}
		if err != nil && !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%s %.40q: %v is not invalid", test.kind, test.ref, err)
		}
		if err != nil && len(test.ref) > 2 && strings.Contains(err.Error(), strings.TrimSpace(test.ref)) {
			t.Errorf("%v shows the reference", err)
		}
	}
}

func day(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.Parse("2006-01-02T15:04:05", text+"T12:00:00")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestBucket counts periods as calendars do, and rounds up.
func TestBucket(t *testing.T) {
	p := compile(t, `{"retention": {
		"d30": {"period": "P30D", "granularity": "day"}, "m1": {"period": "P1M", "granularity": "day"},
		"y3": {"period": "P3Y"}, "y10": {"period": "P10Y", "granularity": "year"},
		"mix": {"period": "P1Y2M2W3D", "granularity": "day"}, "open": {"triggered": "when it is over"}}}`)
	tests := []struct {
		class, from string
		want        int64
	}{
		{"", "2026-03-15", 0},
		{"open", "2026-03-15", 0},
		{"d30", "2026-03-15", 20260414},
		{"m1", "2026-01-31", 20260228},
		{"m1", "2024-01-31", 20240229},
		{"m1", "2025-12-31", 20260131},
		{"y3", "2026-03-15", 20290331},
		{"y3", "2024-02-29", 20270228},
		{"y10", "2026-01-01", 20361231},
		{"mix", "2026-01-01", 20270318},
	}
	for _, test := range tests {
		got, err := p.Bucket(test.class, day(t, test.from))
		if got != test.want || err != nil {
			t.Errorf("%s from %s: %d, %v; want %d", test.class, test.from, got, err, test.want)
		}
	}
	east := time.Date(2026, time.April, 1, 1, 0, 0, 0, time.FixedZone("", 7200)) // in UTC it is still March
	if got, err := p.Bucket("y3", east); got != 20290331 || err != nil {
		t.Errorf("from %v: %d, %v", east, got, err)
	}
	_, err := p.Bucket("other", east)
	wantCode(t, err, event.ErrInvalid, "retention_unknown")
	for _, year := range []int{-1, 0, 9998, 99999} {
		_, err := p.Bucket("y3", time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
		wantCode(t, err, event.ErrInvalid, "retention_out_of_range")
	}
}

// TestBucketAt refuses what is past its period, from the day after the last one.
func TestBucketAt(t *testing.T) {
	p := compile(t, `{"retention": {"y3": {"period": "P3Y"}, "open": {"triggered": "when it is over"}}}`)
	from := day(t, "2020-01-15")
	got, err := p.BucketAt("y3", from, time.Date(2023, 1, 31, 23, 59, 59, 0, time.UTC))
	if got != 20230131 || err != nil {
		t.Errorf("on the last day: %d, %v", got, err)
	}
	_, err = p.BucketAt("y3", from, time.Date(2023, 2, 1, 0, 0, 0, 0, time.UTC))
	wantCode(t, err, event.ErrInvalid, "retention_passed")
	if got, err := p.BucketAt("open", from, time.Date(9000, 2, 1, 0, 0, 0, 0, time.UTC)); got != 0 || err != nil {
		t.Errorf("without an end: %d, %v", got, err)
	}
}
