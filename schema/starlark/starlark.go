// Package starlark runs upcasters that are written in Starlark (the language of Bazel's files, a small Python). It is a
// schema.Language, named "starlark"; a program hands it to the registry as it hands notations:
//
//	def upcast(data):
//	    data["name"] = {"first": data.pop("first"), "last": data.pop("last")}
//	    return data
//
// A script is pure, and the same data gives the same answer everywhere: there is no load, no print, no clock, no
// randomness, nothing that outlives a call, and members of objects are in the order of their names. It sees
//
//   - objects, arrays, texts, true, false and null as dict, list, string, True, False and None;
//   - whole numbers as int, without a bound that matters; every other number as a "number", which is moved as it is
//     written and never computed with: there are no floats;
//   - a personal value as a "personal", which can be moved or dropped, and nothing else.
//
// A script is hostile input. What it may cost is bounded by steps of the interpreter, and by work: bytes that are made
// or read on its behalf. The interpreter counts steps alone, and one step may copy a list, so every operation whose
// cost depends on its values is replaced before the script is compiled (rewrite.go) by one that pays first
// (operator.go, method.go, builtin.go). Errors name line and column, and never a value.
package starlark

import (
	"errors"
	"fmt"

	"go.starlark.net/resolve"
	star "go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/lethe-es/lethe/schema"
)

// Name is what stored upcasters name this language by.
const Name = "starlark"

// Bounds of a script and of one run of it.
const (
	MaxText  = 64 << 10  // bytes of a script
	MaxSteps = 1_000_000 // of the interpreter, in one run
	MaxWork  = 32 << 20  // bytes that one run may make and read
	MaxBits  = 4096      // of a whole number that is computed with
	MaxDepth = 200       // of expressions and statements in a script, and of data that is compared
)

// Language is Starlark. It is safe for concurrent use.
type Language struct{ names star.StringDict }

var _ schema.Language = Language{}

// New makes the language.
func New() Language { return Language{names()} }

// Name is "starlark".
func (Language) Name() string { return Name }

// Compile reads a script and runs what stands at its top. Errors are *schema.ScriptError.
func (l Language) Compile(text string) (schema.Upcast, error) {
	if len(text) > MaxText {
		return nil, &schema.ScriptError{Line: 1, Column: 1, Text: fmt.Sprintf("the script is longer than %d bytes", MaxText)}
	}
	file, err := (&syntax.FileOptions{}).Parse("upcaster", text, 0)
	if err != nil {
		return nil, broken(err)
	}
	if err := rewrite(file); err != nil {
		return nil, err
	}
	program, err := star.FileProgram(file, l.names.Has)
	if err != nil {
		return nil, broken(err)
	}
	if err := onlyOurs(file); err != nil {
		return nil, err
	}
	thread, _ := newThread()
	globals, err := program.Init(thread, l.names)
	globals.Freeze()
	if err != nil {
		return nil, failed(thread, err)
	}
	f, ok := globals["upcast"].(*star.Function)
	if !ok || f.NumParams() != 1 {
		return nil, &schema.ScriptError{Line: 1, Column: 1, Text: "it does not define upcast with one parameter"}
	}
	return func(document map[string]any) (map[string]any, error) { return run(f, document) }, nil
}

// run applies a script's function to a document, with a budget of its own.
func run(f *star.Function, document map[string]any) (map[string]any, error) {
	thread, m := newThread()
	data, err := m.fromGo(document, 0)
	if err != nil {
		return nil, at(f.Position(), err)
	}
	answer, err := star.Call(thread, f, star.Tuple{data}, nil)
	if err != nil {
		return nil, failed(thread, err)
	}
	dict, ok := answer.(*star.Dict)
	if !ok {
		return nil, at(f.Position(), fault("it does not return a dict"))
	}
	after, err := m.toGo(dict, 0)
	if err != nil {
		return nil, at(f.Position(), err)
	}
	return after.(map[string]any), nil
}

func newThread() (*star.Thread, *meter) {
	m := &meter{left: MaxWork}
	thread := &star.Thread{Name: "upcast", Print: func(*star.Thread, string) {}}
	thread.SetMaxExecutionSteps(MaxSteps)
	thread.SetLocal(meterKey, m)
	return thread, m
}

// fault is a reason that holds nothing of the data.
type fault string

func (f fault) Error() string { return string(f) }

func at(pos syntax.Position, err error) *schema.ScriptError {
	out := &schema.ScriptError{Line: int(pos.Line), Column: int(pos.Col), Text: "its values do not fit this"}
	var f fault
	if errors.As(err, &f) {
		out.Text = string(f)
	}
	return out
}

// failed is the error of a run. The interpreter's own messages quote values and are dropped.
func failed(thread *star.Thread, err error) error {
	var pos syntax.Position
	var evaluation *star.EvalError
	if errors.As(err, &evaluation) {
		for i := range evaluation.CallStack {
			if pos = evaluation.CallStack.At(i).Pos; pos.Line > 0 {
				break
			}
		}
	}
	if thread.ExecutionSteps() >= MaxSteps {
		err = fault(fmt.Sprintf("it takes more than %d steps", MaxSteps))
	}
	return at(pos, err)
}

// broken is the error of a script that does not compile. It is about the script's own text alone.
func broken(err error) error {
	pos, text := syntax.Position{Line: 1, Col: 1}, "it is no Starlark"
	var list resolve.ErrorList
	var one syntax.Error
	switch {
	case errors.As(err, &list) && len(list) > 0:
		pos, text = list[0].Pos, list[0].Msg
	case errors.As(err, &one):
		pos, text = one.Pos, one.Msg
	}
	const most = 200
	if len(text) > most {
		text = text[:most]
	}
	return &schema.ScriptError{Line: int(pos.Line), Column: int(pos.Col), Text: text}
}

// onlyOurs refuses names of the interpreter that are none of names().
func onlyOurs(file *syntax.File) (err error) {
	syntax.Walk(file, func(n syntax.Node) bool {
		id, ok := n.(*syntax.Ident)
		if !ok || err != nil {
			return err == nil
		}
		b, ok := id.Binding.(*resolve.Binding)
		if ok && b.Scope == resolve.Universal && id.Name != "None" && id.Name != "True" && id.Name != "False" {
			err = at(id.NamePos, fault(id.Name+" is not there"))
		}
		return true
	})
	return err
}
