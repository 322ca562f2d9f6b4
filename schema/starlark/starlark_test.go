package starlark_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/starlark"
)

// canary is in every document, and may be in no error.
const canary = "CANARY"

func document() map[string]any {
	return map[string]any{
		"first": &schema.Token{}, "last": &schema.Token{}, "email": &schema.Token{},
		"text": canary, "list": []any{"c", "a", "b"}, "none": nil, "yes": true,
		"whole":   json.Number("1234567890123456789012345678901234567890"),
		"decimal": json.Number("1234567890.123456789012345678901234567890"),
		"huge":    json.Number("1e400"), "minus": json.Number("-0"),
		"in": map[string]any{canary: json.Number("1")},
	}
}

func compile(t testing.TB, script string) schema.Upcast {
	t.Helper()
	do, err := starlark.New().Compile(script)
	if err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return do
}

// body is a script whose function is these lines.
func body(lines ...string) string {
	return "def upcast(d):\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestMoves(t *testing.T) {
	do := compile(t, `
STATUS = {"a": "open", "b": "closed"}

def label(x, mark = "!"):
    return x.upper() + mark

def upcast(d):
    first, last = d.pop("first"), d.pop("last")
    out = {"name": {"first": first, "last": last}, "numbers": (d["whole"], d["decimal"], d["huge"], d["minus"])}
    out["double"] = d["whole"] * 2 + 1
    out["rate"] = number("1.50")
    out["sorted"] = [label(x) for x in sorted(d["list"]) if x != "c"]
    out["status"] = STATUS[d["list"][1]]
    n = 0
    for k, v in {"x": 1, "y": 2}.items():
        n += v if k in ["x", "y"] else 100
    out["n"] = n
    out["n"] -= 1
    out["n"] *= -7 // 2
    both = [1]
    both += [2]
    both.extend([3])
    out["slice"] = both[1:] + both[:-2] + [both[-1]]
    more = {"z": None}
    more |= {"t": str(5) + " " + str(True) + "-".join(["p", "q"])}
    out["more"] = more
    out["type"] = [type(first), type(d["decimal"]), type(n)]
    out["is"] = ["email" in d, "first" in d, d.get("nothing", 5), not d["none"], d["yes"] and n > 2]
    return out
`)
	in := document()
	out, err := do(in)
	if err != nil {
		t.Fatal(err)
	}
	name := out["name"].(map[string]any)
	if name["first"] != in["first"] || name["last"] != in["last"] {
		t.Error("the tokens are others")
	}
	delete(out, "name")
	number := func(s string) any { return json.Number(s) }
	want := map[string]any{
		"numbers": []any{in["whole"], in["decimal"], in["huge"], in["minus"]},
		"double":  number("2469135780246913578024691357802469135781"), "rate": number("1.50"),
		"sorted": []any{"A!", "B!"}, "status": "open", "n": number("-8"),
		"slice": []any{number("2"), number("3"), number("1"), number("3")},
		"more":  map[string]any{"z": nil, "t": "5 Truep-q"},
		"type":  []any{"personal", "number", "int"}, "is": []any{true, false, number("5"), true, true},
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
}

// TestPersonal does everything but moving and dropping.
func TestPersonal(t *testing.T) {
	for _, do := range []string{
		`str(d["first"])`, `d["first"] == d["last"]`, `d["first"] != None`, `d["first"] == "x"`, `"x" == d["first"]`,
		`[d["first"]] == ["x"]`, `d["first"] < d["last"]`, `d["first"] + "x"`, `"x" + d["first"]`, `d["first"] * 2`,
		`2 * d["first"]`, `"x" % d["first"]`, `{d["first"]: 1}`, `{d["first"]: 1 for x in [1]}`, `d[d["first"]]`,
		`d.get(d["first"])`, `d["first"] in d`, `d["first"] in ["x"]`, `"x" in [d["first"]]`, `"x" in d["first"]`,
		`len(d["first"])`, `list(d["first"])`, `sorted([d["first"], d["last"]])`, `max(d["first"], d["last"])`,
		`min([d["first"]])`, `d["first"].upper()`, `d["first"][0]`, `d["first"][1:]`, `[x for x in d["first"]]`,
		`"".join([d["first"]])`, `"x".replace("x", d["first"])`, `int(d["first"])`, `number(d["first"])`, `-d["first"]`,
		`[d["first"]].index(d["first"])`, `[d["first"]].remove("x")`, `range(d["first"])`, `enumerate(d["first"])`,
		`abs(d["first"])`, `zip(d["first"])`, `dict(d["first"])`, `{"k": 1}.update(d["first"])`, `d["first"]()`,
		`[1][d["first"]]`, `"abc"[d["first"]:]`, `fail(d["first"])`, `"x".startswith(d["first"])`,
	} {
		out, err := compile(t, body("d["+`"out"`+"] = "+do, "return d"))(document())
		refused(t, do, out, err, 2)
	}
	for _, do := range []string{`d["decimal"] + 1`, `d["huge"] == d["huge"]`, `str(d["decimal"])`, `int(d["huge"])`,
		`{d["decimal"]: 1}`, `d["huge"] > 1`, `-d["huge"]`} {
		out, err := compile(t, body("d["+`"out"`+"] = "+do, "return d"))(document())
		refused(t, do, out, err, 2)
	}
	// what asks nothing of the value
	out, err := compile(t, body(`return {"l": [d["first"]] + [d["last"]], "b": bool(d["email"]), "r": reversed([d["email"]])}`))(
		document())
	if err != nil || out["b"] != true {
		t.Errorf("moving is refused: %v, %v", out, err)
	}
}

// refused wants an error of a line, with nothing of the data in it.
func refused(t *testing.T, what string, out map[string]any, err error, line int) {
	t.Helper()
	script, ok := errors.AsType[*schema.ScriptError](err)
	if !ok || out != nil || script.Line != line || script.Column == 0 {
		t.Errorf("%s: want an error of line %d, got %v, %v", what, line, out, err)
		return
	}
	if text := err.Error(); strings.Contains(text, canary) || strings.Contains(text, "1e400") || len(text) > 300 {
		t.Errorf("%s: the error is %s", what, text)
	}
}

// TestSilent fails on every kind of thing the interpreter would quote.
func TestSilent(t *testing.T) {
	for _, do := range []string{
		`d[d["text"]]`, `d.pop(d["text"])`, `d["in"]["x"]`, `fail(d["text"])`, `int(d["text"])`, `d["text"].nothing`,
		`d["list"][7]`, `d["list"].index(d["text"])`, `d["text"] + 1`, `number(d["text"])`, `d["text"].index("x")`,
		`[1, 2].remove(3)`, `1 // 0`, `1 % 0`, `d["text"]()`, `sorted([1, "x"])`, `sorted(["x"], key = len)`, `1 << 600`,
		`len(1, 2)`, `upcast(d)`, `{[]: 1}`, `d["text"] % 1`, `{"a": 1}.update(a = 1)`, `"x".join("y")`,
	} {
		out, err := compile(t, body("d["+`"out"`+"] = "+do, "return d"))(document())
		refused(t, do, out, err, 2)
	}
	for _, do := range []string{`return d["list"]`, `return None`, `return {1: 2}`, `return {"x": len}`, `return {"x": range(3)}`} {
		out, err := compile(t, body(do))(document())
		refused(t, do, out, err, 1)
	}
}

func TestCompile(t *testing.T) {
	for script, place := range map[string]string{
		"":                                "line 1, column 1: it does not define upcast",
		"def upcast(): return {}":         "line 1, column 1: it does not define upcast",
		"def upcast(d):\n  return d +":    "line 2, column",
		"load('x', 'y')":                  "line 1, column",
		body("print(d)", "return d"):      "line 2, column 5: print is not there",
		body("return d", "x = hash('a')"): "line 3, column 9: hash is not there",
		body("return getattr(d, 'x')"):    "line 2, column 12: getattr is not there",
		body("return nothing(d)"):         "line 2, column 12: undefined: nothing",
		body("return 1.5"):                "line 2, column 12: there are no floats",
		body("return 4 / 2"):              "line 2, column 14: there are no floats",
		body("d['x'] /= 2"):               "line 2, column",
		body("return b'x'"):               "line 2, column 12: there are no bytes",
		body("while True:", "    pass"):   "line 2, column",
		body("f(d)['x'] += 1"):            "line 2, column 15: give what is left",
		body("d['a'], d['b'] = 1, 2"):     "line 2, column 5: assign to a name",
		body("for d['x'] in [1]: pass"):   "line 2, column 9: assign to a name",
		body("d.x = 1"):                   "line 2, column",
		body("return f(*d)"):              "line 2, column 14: name every argument",
		body("return f(**d)"):             "line 2, column 14: name every argument",
		"def upcast(*d): return d":        "line 1, column 12: name every parameter",
		"N = [1]\nN[4] = 2":               "line 2, column",
		"if True:\n  x = 1":               "line 1, column 1",
		body("return d[1:2:3]"):           "line 2, column 13: there are no steps",
		"x = 1\nx = 2":                    "line 2, column 1",
		body("return " + fmt.Sprint(1<<62) + strings.Repeat("0", 2000)): "line 2, column 12: a whole number is too long",
	} {
		_, err := starlark.New().Compile(script)
		if err == nil || !strings.HasPrefix(err.Error(), place) {
			t.Errorf("%.60q: want %s, got %v", script, place, err)
		}
	}
}

// TestNoState changes what stands at the top, which is the same for every run.
func TestNoState(t *testing.T) {
	for _, do := range []string{`N.append(1)`, `N += [1]`, `N[0] = 2`, `M["x"] = 1`, `M.update({"x": 1})`, `M.pop("a")`} {
		do := strings.ReplaceAll(do, "N += [1]", "n = N; n += [1]")
		up := compile(t, "N = [1]\nM = {'a': 1}\ndef upcast(d):\n    "+do+"\n    return {'n': N, 'm': M}\n")
		for range 2 {
			out, err := up(map[string]any{})
			refused(t, do, out, err, 4)
		}
	}
}
