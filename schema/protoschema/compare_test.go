package protoschema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/schema"
)

// TestCompareStructure tells what no longer fits, and is silent on what still does.
func TestCompareStructure(t *testing.T) {
	const old = `syntax = "proto2"; message M { optional int32 a = 1; repeated M list = 2; optional E e = 3; optional string s = 4;
		optional string t = 5; map<string, int32> m = 6; enum E { X = 1; Y = 2; } }`
	for _, c := range []struct{ name, text, want string }{
		{"the same", old, ""},
		{"more", `syntax = "proto2"; message M { optional int32 renamed = 1; repeated M list = 2; optional E e = 3; optional string s = 4;
			optional string t = 5; map<string, int32> m = 6; optional bool more = 7; enum E { X = 1; Y = 2; Z = 3; } }`, ""},
		{"other", `syntax = "proto2"; message M { optional sint32 a = 1; optional M list = 2; optional E e = 3; oneof o { string s = 4;
			string t = 5; } required bool more = 7; enum E { X = 1; } }`,
			"/1 type, /2 type, /3 values, /4 oneof, /5 oneof, /6 unknown_field, /7 required"},
		{"below", `syntax = "proto2"; message M { optional int32 a = 1; repeated N list = 2; optional E e = 3; optional string s = 4;
			optional string t = 5; map<string, bool> m = 6; enum E { X = 1; Y = 2; } } message N { optional int32 a = 1; }`,
			"/2/*/2 unknown_field, /2/*/3 unknown_field, /2/*/4 unknown_field, /2/*/5 unknown_field, " +
				"/2/*/6 unknown_field, /6/2 type"},
	} {
		got := ""
		o := schema.Options{Message: "M"}
		for i, change := range compile(t, c.text, o).CompareStructure(compile(t, old, o)) {
			if i > 0 {
				got += ", "
			}
			got += change.Path + " " + change.Code
			if !change.Breaking || change.Text == "" {
				t.Errorf("%s: %+v", c.name, change)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
