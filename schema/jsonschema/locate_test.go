package jsonschema_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

func compile(t interface {
	Helper()
	Fatal(...any)
}, text string) schema.Plan {
	t.Helper()
	plan, err := jsonschema.New().Compile([]byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func household(t testing.TB) schema.Plan {
	t.Helper()
	text, err := os.ReadFile("testdata/household.json")
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, string(text))
}

// shown is what was found, one line each.
func shown(f *schema.Findings) []string {
	var lines []string
	for _, v := range f.Values {
		line := fmt.Sprintf("%s %s %s", v.Path, [...]string{"absent", "null", "value"}[v.State], v.Mark.Group)
		if v.State == ledger.Value {
			line += " " + string(v.Bytes)
		}
		for _, s := range v.Subjects {
			line += fmt.Sprintf(" %d:%s%s/%s", s.From, s.Role, s.Kind, s.Ref)
		}
		lines = append(lines, line)
	}
	for _, r := range f.References {
		lines = append(lines, fmt.Sprintf("%s -> %s/%s", r.Path, r.Kind, r.Ref))
	}
	return lines
}

func TestLocate(t *testing.T) {
	plan := household(t)
	data := `{"customer":"c1","partner":"c2","income":1e400,"joint/account":"j",
		"home":{"street":"s","zip":12,"rooms":3,"owners":["x","y"],"flags":{"k":true}},
		"members":[{"person":"m1","name":"n1","visits":[{"note":"v1"},{"minutes":5}]},{"person":"m2","born":null,"phones":["p"]}],
		"scores":{"any":[1,{"thing":2}]},"pair":["first","second"],"till":"t","signed":"2026-01-05","rates":{"a":1},
		"clerk":"e1","remark":{"free":[1]}}`
	if err := plan.Validate([]byte(data)); err != nil {
		t.Fatal(err)
	}
	var f schema.Findings
	if err := plan.Locate([]byte(data), &f); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`/home/flags value contact {"k":true} 1:customer/c1`,
		`/home/owners value contact ["x","y"] 1:customer/c1`,
		`/home/street value contact "s" 1:customer/c1`,
		`/home/zip value contact 12 1:customer/c1`,
		`/income value finance 1e400 1:customer/c1`,
		`/joint~1account value finance "j" 1:customer/c1 1:customer/c2`,
		`/members/0/born absent identity 1:member/m1`,
		`/members/0/name value identity "n1" 1:member/m1`,
		`/members/0/phones absent contact 1:member/m1`,
		`/members/0/visits/0/note value notes "v1" 1:member/m1`,
		`/members/0/visits/1/note absent notes 1:member/m1`,
		`/members/1/born null identity 1:member/m2`,
		`/members/1/name absent identity 1:member/m2`,
		`/members/1/phones value contact ["p"] 1:member/m2`,
		`/pair/0 value identity "first" 3:owner/`,
		`/remark value notes {"free":[1]} 1:employee/e1`,
		`/scores value derived {"any":[1,{"thing":2}]} 2:/`,
		`/till value operations "t" 4:/`,
		`/clerk -> employee/e1`, `/customer -> customer/c1`, `/members/0/person -> member/m1`,
		`/members/1/person -> member/m2`, `/partner -> customer/c2`,
	}
	if diff := cmp.Diff(want, shown(&f)); diff != "" {
		t.Error(diff)
	}
	if m := f.Values[0].Mark; m.Retention != "contract-3y" || m.From != "/signed" {
		t.Errorf("the object's mark is %+v", *m)
	}
}

// TestLocateNothing has no data: what is declared and cannot repeat is absent, as far as it is known whose it is.
func TestLocateNothing(t *testing.T) {
	var f schema.Findings
	if err := household(t).Locate(nil, &f); err != nil {
		t.Fatal(err)
	}
	want := []string{"/pair/0 absent identity 3:owner/", "/scores absent derived 2:/", "/till absent operations 4:/"}
	if diff := cmp.Diff(want, shown(&f)); diff != "" {
		t.Error(diff)
	}
}

func TestLocateUnresolved(t *testing.T) {
	plan := household(t)
	for data, place := range map[string]string{
		`{"income":1}`: "/income", `{"customer":"","income":1}`: "/income", `{"customer":"c","joint/account":"j"}`: "/joint~1account",
		`{"customer":"c","partner":null,"joint/account":"j"}`: "/joint~1account",
		`{"members":[{"person":"p"},{"name":"Ada"}]}`:         "/members/1/name",
	} {
		var f schema.Findings
		err := plan.Locate([]byte(data), &f)
		if event.Code(err) != "subject_unresolved" || !strings.Contains(err.Error(), " "+place+" is:") {
			t.Errorf("%s: %v", data, err)
		}
		if len(f.Values) != 0 {
			t.Errorf("%s: %d values are left", data, len(f.Values))
		}
	}
}

func TestLocateSamePersonOnce(t *testing.T) {
	var f schema.Findings
	data := `{"customer":"c","partner":"c","joint/account":"j"}`
	if err := household(t).Locate([]byte(data), &f); err != nil {
		t.Fatal(err)
	}
	for _, v := range f.Values {
		if v.Path == "/joint~1account" && len(v.Subjects) != 1 {
			t.Errorf("subjects are %v", v.Subjects)
		}
	}
}

func TestLocateTooMany(t *testing.T) {
	data := `{"members":[` + strings.Repeat(`{"person":"p"},`, 4000) + `{"person":"p"}]}`
	var f schema.Findings
	if err := household(t).Locate([]byte(data), &f); event.Code(err) != "oversized" {
		t.Errorf("12,000 values: %v", err)
	}
}

// literals are values as they may stand in data, byte for byte.
var (
	textLiterals = []string{`"plain"`, `""`, `"\u00e4\ud834\udd1e\/\\\""`, `"𝄞 ä €"`, `"null"`, `"krid_x"`, "\"\u2028\u007f\"",
		`"` + strings.Repeat("long ", 40) + `"`}
	numberLiterals = []string{"0", "-0", "1e400", "9007199254740993", "-0.0", "1E-7",
		"1234567890123456789012345678901234567890.12345"}
)

type writer struct {
	t *rapid.T
	strings.Builder
}

func (w *writer) some(literals ...string) string {
	return rapid.SampledFrom(literals).Draw(w.t, "literal")
}
func (w *writer) space() string { return w.some("", "", " ", "\n\t") }
func (w *writer) maybe() bool   { return rapid.Bool().Draw(w.t, "there") }

func (w *writer) object(members ...string) string {
	members = slices.DeleteFunc(members, func(m string) bool { return m == "" })
	members = rapid.Permutation(members).Draw(w.t, "order")
	for i, m := range members {
		name, value, _ := strings.Cut(m, "=")
		members[i] = w.space() + `"` + name + `"` + w.space() + ":" + w.space() + value + w.space()
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (w *writer) opt(name string, value func() string) string {
	if !w.maybe() {
		return ""
	}
	return name + "=" + value()
}

func (w *writer) list(each func() string) string {
	var list []string
	for range rapid.IntRange(0, 12).Draw(w.t, "length") {
		list = append(list, w.space()+each())
	}
	return "[" + strings.Join(list, ",") + w.space() + "]"
}

func (w *writer) household() string {
	text := func() string { return w.some(textLiterals...) }
	number := func() string { return w.some(numberLiterals...) }
	anything := func() string {
		return w.some(text(), number(), "null", "true", `{"a":[1, {}]}`, "[ ]")
	}
	visit := func() string { return w.object(w.opt("note", text), w.opt("minutes", func() string { return "5" })) }
	member := func() string {
		return w.object(`person=`+w.some(`"m1"`, `"m2"`, `"\u006d3"`), w.opt("name", text),
			w.opt("born", func() string { return w.some(text(), "null") }),
			w.opt("phones", func() string { return w.list(text) }),
			w.opt("visits", func() string { return w.list(visit) }))
	}
	return w.object(`customer="c1"`, `partner="c2"`, `clerk="e\/1"`, w.opt("income", number), w.opt("joint/account", text),
		w.opt("home", func() string {
			if w.maybe() {
				return "null"
			}
			return w.object(w.opt("street", text), w.opt("zip", func() string { return w.some(text(), "12") }),
				w.opt("rooms", func() string { return "3" }), w.opt("owners", func() string { return w.list(text) }),
				w.opt("flags", func() string { return w.some("{}", `{"k":true}`, `{ "l" : false, "m":true }`) }))
		}),
		w.opt("members", func() string { return w.list(member) }),
		w.opt("scores", func() string { return w.object("x="+anything(), w.opt("y", anything)) }),
		w.opt("pair", func() string { return w.some("[]", "["+text()+"]", "[ "+text()+" ,"+text()+"]") }),
		w.opt("till", text), w.opt("remark", anything),
		w.opt("rates", func() string { return w.object(w.opt("chf", number)) }))
}

// TestCutAndFill is the law of sealing: cut data holds no personal value, filling it gives back every byte, and cut
// data has the same places.
func TestCutAndFill(t *testing.T) {
	plan := household(t)
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{t: t}
		data := []byte(w.household())
		if err := event.ValidateData(data); err != nil {
			t.Fatalf("the test makes no JSON: %s", data)
		}
		if err := plan.Validate(data); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var f schema.Findings
		if err := plan.Locate(data, &f); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(f.Values, func(a, b schema.Value) int { return strings.Compare(a.Path, b.Path) }) {
			t.Errorf("values are not ordered: %v", shown(&f))
		}
		alias := make([]event.KRID, len(f.References))
		for i := range alias {
			alias[i] = event.KRID{15: byte(i + 1)}
		}
		open, holes, err := plan.Cut(data, &f, alias, []uint32{7})
		if err != nil {
			t.Fatal(err)
		}
		if len(holes) != 1+len(f.Values) || holes[0] != 7 {
			t.Fatalf("%d holes for %d values", len(holes)-1, len(f.Values))
		}
		filled(t, plan, &f, holes[1:], open, data)
		again(t, plan, &f, alias, open)
	})
}

// filled fills what was cut, in any order, with the references put back by the test itself.
func filled(t *rapid.T, plan schema.Plan, f *schema.Findings, holes []uint32, open, data []byte) {
	var back []schema.Filling
	for i, v := range f.Values {
		if there := holes[i] != schema.NoHole; there != (v.State != ledger.Absent) {
			t.Errorf("%s has state %d and hole %d", v.Path, v.State, holes[i])
		}
		back = append(back, schema.Filling{Path: v.Path, Hole: holes[i], State: v.State, Bytes: v.Bytes})
	}
	var cut schema.Findings
	if err := plan.Locate(open, &cut); err != nil {
		t.Fatal(err)
	}
	for i, r := range f.References {
		back = append(back, schema.Filling{
			Path: r.Path, Hole: cut.References[i].At, State: ledger.Value, Bytes: data[r.At:r.End],
		})
	}
	got, err := plan.Fill(open, rapid.Permutation(back).Draw(t, "fillings"))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("filled %v\n got %s\nwant %s", err, got, data)
	}
	none, err := plan.Fill(open, nil)
	if err != nil || !bytes.Equal(none, open) {
		t.Errorf("nothing was filled, and it is %s", none)
	}
}

// again locates what was cut.
func again(t *rapid.T, plan schema.Plan, f *schema.Findings, alias []event.KRID, open []byte) {
	var cut schema.Findings
	if err := plan.Locate(open, &cut); err != nil {
		t.Fatal(err)
	}
	if len(cut.Values) != len(f.Values) || len(cut.References) != len(f.References) {
		t.Fatalf("found\n%v, and in cut data\n%v", shown(f), shown(&cut))
	}
	for i, v := range cut.Values {
		was := f.Values[i]
		if v.Path != was.Path || (v.State == ledger.Absent) != (was.State == ledger.Absent) || v.State == ledger.Value {
			t.Errorf("%s with state %d is %s with state %d in cut data", was.Path, was.State, v.Path, v.State)
		}
		if v.Mark != was.Mark || len(v.Subjects) != len(was.Subjects) {
			t.Errorf("%s is declared in another way in cut data", v.Path)
		}
	}
	for i, r := range cut.References {
		if r.Path != f.References[i].Path || r.Ref != alias[i].String() {
			t.Errorf("reference %s became %s %s", f.References[i].Path, r.Path, r.Ref)
		}
	}
}

func TestFillRefuses(t *testing.T) {
	plan := household(t)
	open := []byte(`{"till":null,"customer":"krid_x"}`)
	value := func(hole uint32, literal string) schema.Filling {
		return schema.Filling{Path: "/till", Hole: hole, State: ledger.Value, Bytes: []byte(literal)}
	}
	for what, values := range map[string][]schema.Filling{
		"no null":   {value(7, `"x"`)},
		"outside":   {value(99, `"x"`)},
		"no hole":   {value(schema.NoHole, `"x"`)},
		"at a text": {value(24, `"x"`)},
		"nothing":   {value(8, "")},
		"twice":     {value(8, `"x"`), value(8, `"y"`)},
	} {
		if got, err := plan.Fill(open, values); event.Code(err) != "corrupt" {
			t.Errorf("%s: %s, %v", what, got, err)
		}
	}
}

func TestCutRefuses(t *testing.T) {
	plan := household(t)
	var f schema.Findings
	data := []byte(`{"customer":"c","income":1}`)
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	if _, _, err := plan.Cut(data, &f, nil, nil); err == nil {
		t.Error("a reference may not stay as it is")
	}
	if _, _, err := plan.Cut(data, &f, []event.KRID{{}}, nil); err == nil {
		t.Error("nobody is no alias")
	}
	if _, _, err := plan.Cut(data[:12], &f, []event.KRID{{1}}, nil); err == nil {
		t.Error("the findings are of longer data")
	}
}
