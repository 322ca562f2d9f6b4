package protoschema_test

import (
	"embed"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/protoschema"
)

//go:embed testdata/*.proto
var texts embed.FS

func text(t testing.TB, name string) []byte {
	t.Helper()
	b, err := texts.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compile(t testing.TB, text string, o schema.Options) *protoschema.Plan {
	t.Helper()
	plan, err := protoschema.New().Compile([]byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return plan.(*protoschema.Plan)
}

// refuse compiles a text that must be refused with a code, and returns what the error says.
func refuse(t *testing.T, text, code string) string {
	t.Helper()
	plan, err := protoschema.New().Compile([]byte(text), schema.Options{})
	if err == nil || plan != nil || !errors.Is(err, event.ErrInvalid) || event.Code(err) != code {
		t.Fatalf("got %v, code %q; want code %q", err, event.Code(err), code)
	}
	return err.Error()
}

func wantParts(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q\n is not in: %s", part, got)
		}
	}
}

// TestPrintedTexts compiles the founding document's examples as they are printed: the error shows every mended line.
func TestPrintedTexts(t *testing.T) {
	got := refuse(t, string(text(t, "printed.proto")), "schema_invalid")
	wantParts(t, got, "schema.proto:1:8:", "line 1: `syntax = \"proto3\";`",
		"line 2: `import \"google/protobuf/descriptor.proto\";`", "line 5: `string email = 1;`",
		"line 8: `double purchase_value = 4;`")
	got = refuse(t, string(text(t, "printed-marked.proto")), "schema_invalid")
	wantParts(t, got, "line 1: `syntax = \"proto3\";`", "line 9: `string email = 1 [(gdpr) = {pii: true, key:true}];`",
		"line 10: `string name = 2 [(gdpr) = {pii: true, dataGrouping: \"clientaggregate\" }];`")
}

// TestMendedTexts compiles the same after doing what the errors say, step by step.
func TestMendedTexts(t *testing.T) {
	nothing := []schema.Place{
		{Path: "/1", Type: "string"}, {Path: "/2", Type: "string"}, {Path: "/3", Type: "string"},
		{Path: "/4", Type: "number"},
	}
	if diff := cmp.Diff(nothing, compile(t, string(text(t, "mended.proto")), schema.Options{}).Marks()); diff != "" {
		t.Error(diff)
	}
	mended := string(text(t, "mended-marked.proto"))
	undeclared := strings.Replace(mended, ` [(lethe.privacy).not_personal = "business-fact"]`, "", 1)
	got := refuse(t, undeclared, "schema_unmarked")
	wantParts(t, got, "schema.proto:13 MyMessage.purchase_value", `import "lethe/privacy.proto";`,
		"`double purchase_value = 4 [(lethe.privacy).not_personal = \"business-fact\"];`", "pii: true", "pii: false")

	store := strings.Replace(undeclared, "purchase_value = 4;",
		`purchase_value = 4 [(gdpr) = {pii: false, dataGrouping: "clientaggregate"}];`, 1)
	group := &schema.Mark{Group: "clientaggregate"}
	want := []schema.Place{
		{Path: "/1", Reference: "client", Type: "string"},
		{Path: "/2", Mark: group, Subjects: []string{"email"}, Type: "string"},
		{Path: "/3", Mark: group, Subjects: []string{"store"}, Type: "string"},
		{Path: "/4", Open: "business-fact", Type: "number"},
	}
	if diff := cmp.Diff(want, compile(t, mended, schema.Options{Kind: "client"}).Marks()); diff != "" {
		t.Error(diff)
	}
	want[3] = schema.Place{Path: "/4", Mark: group, Subjects: []string{"store"}, Type: "number"}
	if diff := cmp.Diff(want, compile(t, store, schema.Options{Kind: "client"}).Marks()); diff != "" {
		t.Error(diff)
	}
}

const head = "syntax = \"proto3\";\nimport \"lethe/privacy.proto\";\nimport \"google/protobuf/descriptor.proto\";\n" +
	"import \"google/protobuf/any.proto\";\nimport \"google/protobuf/struct.proto\";\n"

const gdprHead = head + "message G { bool key = 1; bool pii = 2; string dataGrouping = 3; }\n" +
	"extend google.protobuf.FieldOptions { G gdpr = 51234; }\n"

const person = `string id = 1 [(lethe.privacy).person = "customer"];`

// TestRefusedTexts holds what a schema may not say, and what the error tells.
func TestRefusedTexts(t *testing.T) {
	message := func(fields string) string { return head + "message M {" + person + fields + "}" }
	field := func(option string) string { return message("string v = 2 [(lethe.privacy) = {" + option + "}];") }
	for _, c := range []struct{ name, text, code, part string }{
		{"misspelt option", message(`string v = 2 [(lethe.privcy).person = "x"];`), "schema_invalid", "lethe.privcy"},
		{"misspelt part", field(`subjct: "id"`), "schema_invalid", "subjct"},
		{"nothing said", field(``), "schema_invalid", "it says 0 of"},
		{"two things said", field(`person: "customer" group: "g"`), "schema_invalid", "it says 2 of"},
		{"no subject", field(`group: "g"`), "schema_subject", "does not say whose"},
		{"subject unknown", field(`group: "g" subject: "idd"`), "schema_subject", `message M has no field "idd"`},
		{"subject empty", field(`group: "g" subject: ""`), "schema_subject", "no field path"},
		{"subject below text", field(`group: "g" subject: "id.x"`), "schema_subject", "nothing can be named below M.id"},
		{"subject is open", message(`string o = 3 [(lethe.privacy).not_personal = "public"];` +
			`string v = 2 [(lethe.privacy) = {group: "g" subject: "o"}];`), "schema_subject", "M.o is declared as something else"},
		{"subject is a number", message(`int64 o = 3; string v = 2 [(lethe.privacy) = {group: "g" subject: "o"}];`),
			"schema_subject", "declare it as: string o = 3;"},
		{"subject repeated", message(`repeated string o = 3; string v = 2 [(lethe.privacy) = {group: "g" subject: "o"}];`),
			"schema_subject", "M.o holds several"},
		{"store and other", field(`group: "g" subject: ["store", "id"]`), "schema_subject", "store cannot be one of several"},
		{"relation without role", field(`group: "g" subject: "relation:"`), "schema_subject", "names no role"},
		{"no group", field(`subject: "id"`), "schema_invalid", "it has no group"},
		{"subject twice", field(`group: "g" subject: ["id", "id"]`), "schema_subject", "there twice"},
		{"17 subjects", field(`group: "g" subject: ["` + strings.Repeat(`id", "`, 16) + `id"]`), "schema_subject", "at most 16"},
		{"group", field(`subject: "id" group: "a b"`), "schema_invalid", "is no name"},
		{"category", field(`group: "g" subject: "id" category: "secret"`), "schema_invalid", "special, criminal"},
		{"origin", field(`group: "g" subject: "id" origin: "bought"`), "schema_invalid", "provided, observed"},
		{"from", field(`group: "g" subject: "id" from: "tomorrow"`), "schema_invalid", "recorded or occurred"},
		{"special indexed", field(`group: "g" subject: "id" category: "special" indexed: true`), "schema_invalid", "not indexed"},
		{"reason", field(`not_personal: "because"`), "schema_reason", "business-fact"},
		{"kind", field(`person: "a b"`), "schema_invalid", "no kind of person"},
		{"system kind", field(`person: "lethe"`), "schema_invalid", "no kind of person"},
		{"integer reference", message(`int64 v = 2 [(lethe.privacy).person = "customer"];`), "schema_subject", "string v = 2;"},
		{"map reference", message(`map<string,string> v = 2 [(lethe.privacy).person = "customer"];`), "schema_subject", "alias is text"},
		{"person on message", head + `message M { option (lethe.fields).person = "x"; string a = 1; }`, "schema_invalid", "of fields"},
		{"undeclared bool", message("bool v = 2;"), "schema_unmarked", "M.v"},
		{"undeclared enum", head + "enum E { A = 0; } message M {" + person + "E v = 2;}", "schema_unmarked", "`E v = 2"},
		{"undeclared bytes", message("repeated bytes v = 2;"), "schema_unmarked", "`repeated bytes v = 2"},
		{"undeclared map", message("map<string, M2> v = 2;} message M2 { "), "schema_unmarked", "`map<string, M2> v = 2"},
		{"undeclared below", message("M2 v = 2;} message M2 { string deep = 7;"), "schema_unmarked", "M2.deep"},
		{"undeclared struct", message("google.protobuf.Struct v = 2;"), "schema_unmarked", "M.v"},
		{"any", message("google.protobuf.Any v = 2;"), "schema_unsupported", "members of a oneof"},
		{"any below", message("repeated M2 v = 2;} message M2 { map<string, google.protobuf.Any> deep = 7;"),
			"schema_unsupported", "google.protobuf.Any"},
		{"group", "syntax = \"proto2\"; message M { optional group V = 1 {} }", "schema_unsupported", "groups"},
		{"message set", "syntax = \"proto2\"; message M { option message_set_wire_format = true; extensions 4 to max; }",
			"schema_unsupported", "message sets"},
		{"mark in a map", message(`map<string, M2> v = 2 [(lethe.privacy).not_personal = "public"];} message M2 {` +
			`string x = 1 [(lethe.privacy) = {group: "g" subject: "stream"}];`), "schema_invalid", "inside of a value that is one whole"},
		{"mark in a mark", message(`M2 v = 2 [(lethe.privacy) = {group: "g" subject: "id"}];} message M2 {` +
			`option (lethe.fields) = {group: "g" subject: "stream"}; string x = 1;`), "schema_invalid", "declares its fields"},
		{"reference in a mark", message(`M2 v = 2 [(lethe.privacy) = {group: "g" subject: "id"}];} message M2 {` +
			`string x = 1 [(lethe.privacy).person = "x"];`), "schema_invalid", "one whole"},
		{"our number taken", head + "extend google.protobuf.FieldOptions { string mine = 51235; } message M {}",
			"schema_invalid", ""},
		{"another gdpr", head + "extend google.protobuf.FieldOptions { string gdpr = 51234; } message M {}",
			"schema_invalid", "dataGrouping"},
		{"another gdpr inside", head + "message M { extend google.protobuf.FieldOptions { string gdpr = 51234; } }",
			"schema_invalid", "dataGrouping"},
		{"pii without key", gdprHead + "message M { string v = 1 [(gdpr).pii = true]; }", "schema_subject", "no key says"},
		{"two keys", gdprHead + "message M { string a = 1 [(gdpr).key = true]; string b = 2 [(gdpr).key = true]; }",
			"schema_invalid", "another key, a"},
		{"key in the store", gdprHead + `message M { string a = 1 [(gdpr) = {key: true, dataGrouping: "x"}]; }`,
			"schema_invalid", "own keyring"},
		{"empty gdpr", gdprHead + "message M { string a = 1 [(gdpr).key = true]; string b = 2 [(gdpr) = {}]; }",
			"schema_unmarked", "M.b"},
		{"both options", gdprHead + `message M { string a = 1 [(gdpr).key = true, (lethe.privacy).person = "x"]; }`,
			"schema_invalid", "two options"},
		{"no message", "syntax = \"proto3\";", "schema_invalid", "no message"},
		{"two messages", "syntax = \"proto3\"; message A {} message B {}", "schema_invalid", "A, B"},
		{"foreign import", `syntax = "proto3"; import "/etc/passwd"; message A {}`, "schema_invalid", ""},
	} {
		t.Run(c.name, func(t *testing.T) { wantParts(t, refuse(t, c.text, c.code), c.part) })
	}
}

// TestFiles compiles texts of several files.
func TestFiles(t *testing.T) {
	two := "// file: shop/order.proto\nsyntax = \"proto3\";\npackage shop;\nimport \"base/item.proto\";\n" +
		"message Order { base.Item item = 1; map<int32, bool> map = 2; }\n" +
		"// file: base/item.proto\nsyntax = \"proto3\";\npackage base;\nmessage Item { string x = 1; }\n"
	if got := compile(t, two, schema.Options{}).Message(); got != "shop.Order" {
		t.Errorf("the event is %s", got)
	}
	if got := compile(t, two, schema.Options{Message: "base.Item"}).Message(); got != "base.Item" {
		t.Errorf("the event is %s", got)
	}
	files := compile(t, two, schema.Options{}).Describe().File
	if len(files) != 2 || files[0].GetName() != "base/item.proto" {
		t.Errorf("described as %v", files)
	}
	typo := strings.Replace(two, "string x = 1;", "strin x = 1;", 1)
	wantParts(t, refuse(t, typo, "schema_invalid"), "base/item.proto:3:16")
	for _, name := range []string{
		"../x.proto", "/x.proto", "x.txt", "google/protobuf/any.proto", "lethe/privacy.proto", "shop/order.proto", "",
	} {
		wantParts(t, refuse(t, two+"// file: "+name+"\n", "schema_invalid"), "file ")
	}
	cycle := strings.Replace(two, "package base;", "package base;\nimport \"shop/order.proto\";", 1)
	wantParts(t, refuse(t, cycle, "schema_invalid"), "cycle")
	for _, o := range []schema.Options{
		{Message: "shop.Nothing"}, {Message: "shop.Order.MapEntry"}, {Kind: "not a kind", Message: "shop.Order"},
	} {
		if _, err := protoschema.New().Compile([]byte(two), o); event.Code(err) != "schema_invalid" {
			t.Errorf("options %v: %v", o, err)
		}
	}
}

// TestMarks lists declarations that come from everywhere a declaration may stand.
func TestMarks(t *testing.T) {
	plan := compile(t, head+`message M {
		option (lethe.fields) = {subject: ".owner.id", group: "all"};
		Owner owner = 1;
		string plain = 2;
		string own = 3 [(lethe.privacy) = {group: "own", indexed: true}];
		repeated Inner inner = 4;
		Inner open = 5 [(lethe.privacy).not_personal = "public"];
		repeated string refs = 6 [(lethe.privacy).person = "member"];
		google.protobuf.Struct any = 7;
		map<string, int32> map = 8;
		repeated Inner whole = 9 [(lethe.privacy) = {group: "whole"}];
	}
	message Owner { string id = 1; }
	message Inner { bool yes = 1; E e = 2; repeated bytes raw = 3; M2 none = 4; }
	message M2 {}
	enum E { ZERO = 0; }`, schema.Options{Kind: "member"})
	all, owner := &schema.Mark{Group: "all"}, []string{".owner.id"}
	want := []schema.Place{
		{Path: "/1/1", Reference: "member", Type: "string"},
		{Path: "/2", Mark: all, Subjects: owner, Type: "string"},
		{Path: "/3", Mark: &schema.Mark{Group: "own", Indexed: true}, Subjects: owner, Type: "string"},
		{Path: "/4/*/1", Mark: all, Subjects: owner, Type: "boolean"},
		{Path: "/4/*/2", Mark: all, Subjects: owner, Type: "enum"},
		{Path: "/4/*/3", Mark: all, Subjects: owner, Type: "array"},
		{Path: "/5/1", Open: "public", Type: "boolean"},
		{Path: "/5/2", Open: "public", Type: "enum"},
		{Path: "/5/3", Open: "public", Type: "array"},
		{Path: "/6/*", Reference: "member", Type: "string"},
		{Path: "/7", Mark: all, Subjects: owner, Type: "object"},
		{Path: "/8", Mark: all, Subjects: owner, Type: "object"},
		{Path: "/9", Mark: &schema.Mark{Group: "whole"}, Subjects: owner, Type: "array"},
	}
	if diff := cmp.Diff(want, plan.Marks()); diff != "" {
		t.Error(diff)
	}
}
