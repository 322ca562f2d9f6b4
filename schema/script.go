package schema

import (
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
)

// Upcast is what an upcaster does with a document; Upcaster says what it may do.
type Upcast func(document map[string]any) (map[string]any, error)

// Language is a language in which upcasters are stored. Package starlark gives one; a program hands those it wants to
// a registry, as it does with notations.
type Language interface {
	// Name is what a stored upcaster names it by.
	Name() string
	// Compile reads a script: hostile input, whose reading and running take bounded time and memory. What it answers is
	// safe for concurrent use. Errors of both are *ScriptError.
	Compile(text string) (Upcast, error)
}

// ScriptError says where a script fails, and why. Nothing of the data is in it.
type ScriptError struct {
	Line, Column int // from 1; 0: not known
	Text         string
}

// Error is the place, if it is known, and the text.
func (e *ScriptError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// LanguageGo is the language of upcasters that programs bring along. What is stored is their name.
const LanguageGo = "go"

// Go is the language of a program's own upcasters.
func Go(upcasters ...*Upcaster) Language { return own(upcasters) }

type own []*Upcaster

func (own) Name() string { return LanguageGo }

func (o own) Compile(text string) (Upcast, error) {
	for _, u := range o {
		if u.Name == text {
			return u.Func, nil
		}
	}
	return nil, &ScriptError{Text: "this program has no upcaster of this name"}
}

// upcaster is the version's own, compiled when it is first asked for; nil: it has none.
func (v *Version) upcaster() (*Upcaster, error) {
	if v.Upcaster == (Script{}) {
		return nil, nil
	}
	return v.cache.upcasters.get(&v.script, func() (*Upcaster, error) {
		name := fmt.Sprintf("version %d of %q", v.Number, v.Type)
		language := v.cache.languages[v.Upcaster.Language]
		if language == nil {
			return nil, unknown("upcast by %s: this program does not know the language %q", name, v.Upcaster.Language)
		}
		do, err := language.Compile(v.Upcaster.Text)
		if err != nil {
			return nil, unknown("upcast by %s: the upcaster does not compile: %s", name, plainly(err))
		}
		return &Upcaster{Name: name, Func: do}, nil
	})
}

// plainly is the text of a language's error, without what is no ScriptError.
func plainly(err error) string {
	if s, ok := errors.AsType[*ScriptError](err); ok {
		return s.Error()
	}
	return "the function fails"
}

// checkUpcaster refuses an upcaster that would not run. One in Go need not be known here: who runs it needs it.
func (v *Version) checkUpcaster(before *Version) error {
	if v.Upcaster == (Script{}) {
		return nil
	}
	refuse := func(format string, args ...any) *event.Error {
		return event.Invalid("upcaster_invalid", "check upcaster of %q: "+format, append([]any{v.Type}, args...)...)
	}
	if before == nil {
		return refuse("there is no version before").Hint("leave it out")
	}
	for _, side := range []*Version{before, v} {
		if plan, err := side.Plan(); err != nil {
			return err
		} else if plan.Format() != event.JSON {
			return refuse("only data in JSON is upcast").Hint("keep what was valid, or make a new event type")
		}
	}
	language := v.cache.languages[v.Upcaster.Language]
	switch {
	case language != nil:
		if _, err := language.Compile(v.Upcaster.Text); err != nil {
			return refuse("%s", plainly(err))
		}
	case v.Upcaster.Language != LanguageGo:
		return refuse("unknown language %q", v.Upcaster.Language)
	case v.Upcaster.Text == "":
		return refuse("it has no name")
	}
	return nil
}
