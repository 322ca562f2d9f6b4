package starlark_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/starlark"
)

// TestHostileRuns would each take for ever, or all memory.
func TestHostileRuns(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, do := range []string{
		"for i in range(1000000000): pass",
		"x = [i for i in range(1000000000)]",
		"x = list(range(1000000000))",
		"x = sorted(range(1000000000))",
		"x = tuple(range(1000000000))",
		"x = max(range(1000000000))",
		"x = all(range(1, 1000000000))",
		"x = [1]; x.extend(range(1000000000))",
		"x = zip(range(1000000000), range(1000000000))",
		"x = 'x' * 1000000000",
		"x = 1000000000 * [1]",
		"x = 'x'\n    for i in range(100): x = x + x",
		"x = 'x'\n    for i in range(100): x += x",
		"x = [1]\n    for i in range(100): x += x",
		"x = [1]\n    for i in range(100): x.extend(x)",
		"x = (1,)\n    for i in range(100): x = x + x",
		"x = 'x'\n    for i in range(100): x = x.replace('x', 'xx')",
		"x = 'x'\n    for i in range(100): x = x.join([x, x, x])",
		"x = 3\n    for i in range(100): x = x * x",
		"x = 3\n    for i in range(100): x *= x",
		"x = 1\n    for i in range(100): x = x << 500",
		"x = 1\n    for i in range(1000000): x = x - (0 - x)",
		"x = [0]\n    for i in range(300): x = [x]\n    y = x == x",
		"x = [0] * 1000\n    for i in range(9): x = [x] * 1000\n    y = x == x",
		"x = [0] * 1000\n    for i in range(9): x = [x] * 1000\n    return {'x': x}",
		"x = [0]; x.append(x)\n    y = x == x",
		"x = [0]; x.append(x)\n    return {'x': x}",
		"x = [0]; x.append(x)\n    y = 1 in x",
		"for i in range(1000000): x = d['long'] == d['long2']",
		"for i in range(1000000): x = d['long'] in d",
		"for i in range(1000000): x = {d['long']: 1}",
		"for i in range(1000000): d.get(d['long'])",
		"for i in range(1000000): d['long'].count('y')",
		"for i in range(1000000): d['long'].upper()",
		"for i in range(1000000): x = d['long'].split('x')",
		"for i in range(1000000): x = d['list'][1:]",
		"for i in range(1000000): x = list(d['list'])",
		"for i in range(1000000): d['list'].insert(0, 1)",
		"for i in range(1000000): x = dict(d)",
		"for i in range(1000000): d['list'].index('y')",
		"x = sorted([d['long']] * 1000)",
		"x = [{} for i in range(1000000)]",
		"x = {i: i for i in range(1000000)}",
		"x = int(d['long'])",
	} {
		in := map[string]any{"long": long, "long2": "x" + long[1:], "list": []any{}}
		for i := range 10_000 {
			in["list"] = append(in["list"].([]any), json.Number(fmt.Sprint(i)))
		}
		up := compile(t, body(do, "return d"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := up(in)
		runtime.ReadMemStats(&after)
		if _, ok := errors.AsType[*schema.ScriptError](err); !ok || out != nil {
			t.Errorf("%s: want an error, got %v", do, err)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 6*starlark.MaxWork {
			t.Errorf("%s: %d MiB were made", do, made>>20)
		}
	}
}

// TestHostileScripts cost too much to read.
func TestHostileScripts(t *testing.T) {
	n := starlark.MaxText / 2
	for what, script := range map[string]string{
		"a long script":   "#" + strings.Repeat("x", 1<<20),
		"parentheses":     "x = " + strings.Repeat("(", 2*n-10),
		"closed ones":     "x = " + strings.Repeat("(", n-10) + "1" + strings.Repeat(")", n-10),
		"brackets":        "x = " + strings.Repeat("[", n-10) + strings.Repeat("]", n-10),
		"braces":          "x = " + strings.Repeat("{1:", n/2-10) + "1" + strings.Repeat("}", n/2-10),
		"minus":           "x = " + strings.Repeat("-", 2*n-10) + "1",
		"not":             "x = " + strings.Repeat("not ", n/2-10) + "1",
		"sums":            "x = 1" + strings.Repeat("+1", n-10),
		"lambdas":         "x = " + strings.Repeat("lambda:", n/4) + "1",
		"conditions":      "x = " + strings.Repeat("1 if 1 else ", n/6-10) + "1",
		"calls":           "x = f" + strings.Repeat("()", n-10),
		"dots":            "x = f" + strings.Repeat(".x", n-10),
		"blocks":          nested(150),
		"a loop at load":  "x = [i for i in range(1000000000)]\n" + body("return d"),
		"a list at load":  "x = list(range(1000000000))\n" + body("return d"),
		"a long number":   "x = " + strings.Repeat("9", 2*n-10),
		"tuples":          strings.Repeat("(", n/2) + "x" + strings.Repeat(",)", n/2) + " = 1",
		"zero byte":       "x = \x00",
		"no UTF-8":        "x = '\xff\xfe'",
		"an empty escape": `x = "\`,
	} {
		if _, err := starlark.New().Compile(script); err == nil {
			t.Errorf("%s: it compiles", what)
		} else if _, ok := errors.AsType[*schema.ScriptError](err); !ok || len(err.Error()) > 300 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func nested(n int) string {
	var b strings.Builder
	b.WriteString("def upcast(d):\n")
	for i := range n {
		fmt.Fprintf(&b, "%sif d:\n", strings.Repeat(" ", i+1))
	}
	return b.String() + strings.Repeat(" ", n+1) + strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100) + "\n"
}

// TestRecursion calls itself, also behind its own back.
func TestRecursion(t *testing.T) {
	for _, script := range []string{
		"def upcast(d):\n    return upcast(d)\n",
		"def f(g, d):\n    return g(g, d)\ndef upcast(d):\n    return f(f, d)\n",
		"def upcast(d):\n    f = lambda g: g(g)\n    return f(f)\n",
	} {
		out, err := compile(t, script)(document())
		if _, ok := errors.AsType[*schema.ScriptError](err); !ok || out != nil {
			t.Errorf("%s: %v", script, err)
		}
	}
	var b strings.Builder // a chain of as many functions as there is room for
	b.WriteString("def f0(d): return d\n")
	n := 0
	for b.Len() < starlark.MaxText-100 {
		n++
		fmt.Fprintf(&b, "def f%d(d): return f%d(d)\n", n, n-1)
	}
	fmt.Fprintf(&b, "def upcast(d): return f%d(d)\n", n)
	if _, err := compile(t, b.String())(document()); err != nil {
		t.Errorf("a chain of %d functions: %v", n, err)
	}
}

// TestSame gives the same answer, and names in the same order, every time.
func TestSame(t *testing.T) {
	in := map[string]any{}
	for i := range 100 {
		in[fmt.Sprint("k", i)] = json.Number(fmt.Sprint(i))
	}
	up := compile(t, body(`return {"keys": d.keys()}`))
	first := ""
	for range 20 {
		out, err := up(in)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(out["keys"]); first == "" {
			first = text
		} else if text != first {
			t.Fatalf("got %s, then %s", first, text)
		}
	}
}

func FuzzUpcast(f *testing.F) {
	for _, script := range []string{body("return d"), body(`d["x"] = [d.pop("first")] + [1][:1]`, "return d"),
		"X = {1: 2}\n" + body("for k, v in d.items():", "    X[k] += 1 if k in d else 2", "return {'x': d['text'].split()}"),
		body("return {k: v for k, v in d.items() if type(v) == 'personal'}"),
		body("d['list'][0] += str(1 << 5) * 3", "return d")} {
		f.Add(script)
	}
	l := starlark.New()
	f.Fuzz(func(t *testing.T, script string) {
		up, err := l.Compile(script)
		if err == nil {
			_, err = up(document())
		}
		if err == nil {
			return
		}
		if _, ok := errors.AsType[*schema.ScriptError](err); !ok {
			t.Errorf("%q: %v", script, err)
		}
		if strings.Contains(err.Error(), canary) && !strings.Contains(script, canary) {
			t.Errorf("%q: the error is %v", script, err)
		}
	})
}
