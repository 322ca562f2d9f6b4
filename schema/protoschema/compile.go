package protoschema

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// privacyPath is what the file with our options is imported as.
const privacyPath = "lethe/privacy.proto"

// PrivacyProto is the text of lethe/privacy.proto, for who compiles schemas with other tools.
//
//go:embed privacy.proto
var PrivacyProto string

// Notation is schemas written in the language of Protocol Buffers.
type Notation struct{}

// New is the notation "protobuf".
func New() Notation { return Notation{} }

// Name is "protobuf".
func (Notation) Name() string { return "protobuf" }

// Compile reads a text of one or more .proto files into a *Plan.
func (Notation) Compile(text []byte, o schema.Options) (schema.Plan, error) {
	files, err := split(text)
	if err != nil {
		return nil, err
	}
	linked, err := link(files)
	if err != nil {
		return nil, err
	}
	plan, err := newPlan(linked, o)
	if err != nil {
		return nil, err // and not a nil *Plan in an interface
	}
	return plan, nil
}

// link compiles the files in memory. Nothing but them, Google's well-known files and ours can be imported.
func link(files []source) (linker.Files, error) {
	texts := map[string]string{privacyPath: PrivacyProto}
	names := make([]string, len(files))
	for i, f := range files {
		if err := checkLines(f); err != nil {
			return nil, err
		}
		if err := checkNesting(f); err != nil {
			return nil, err
		}
		texts[f.path], names[i] = f.text, f.path
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(
			func(name string) (protocompile.SearchResult, error) {
				text, ok := texts[name]
				if !ok {
					return protocompile.SearchResult{}, protoregistry.NotFound
				}
				return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
			})),
		MaxParallelism: 1, // the same error first, every time
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	linked, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, syntaxError(err, files)
	}
	return linked, nil
}

// quoted finds what a compiler's message quotes.
var quoted = regexp.MustCompile("\"[^\"]*\"|'[^']*'|`[^`]*`")

// name finds quoted text that is a name or a path; everything else could be a value.
var name = regexp.MustCompile("^[\"'`][A-Za-z0-9_./()\\[\\]{};:=,<>-]*[\"'`]$")

// syntaxError says where a text is not valid, and how the mended lines read where that is plain.
func syntaxError(err error, files []source) error {
	place, cause := "", err.Error()
	var at reporter.ErrorWithPos
	var gaveUp protocompile.PanicError
	switch {
	case errors.As(err, &gaveUp):
		place, cause = " "+gaveUp.File, "the compiler gave up"
	case errors.As(err, &at):
		pos := at.GetPosition()
		place, cause = fmt.Sprintf(" %s:%d:%d", pos.Filename, pos.Line, pos.Col), at.Unwrap().Error()
	}
	cause = quoted.ReplaceAllStringFunc(cause, func(q string) string {
		if len(q) > 120 || !name.MatchString(q) {
			return "…"
		}
		return q
	})
	bad := event.Invalid("schema_invalid", "compile schema%s: %s", place, strings.ToValidUTF8(clipTo(cause, 300), "?"))
	if at != nil {
		for _, f := range files {
			if f.path == at.GetPosition().Filename {
				return bad.Hint("%s", mend(f.text))
			}
		}
	}
	return bad
}

// choose finds the message that describes the event: the named one, or the only one at the top that no other uses.
func choose(files linker.Files, want string) (protoreflect.MessageDescriptor, error) {
	if want != "" {
		for _, f := range files {
			d, ok := f.FindDescriptorByName(protoreflect.FullName(want)).(protoreflect.MessageDescriptor)
			if ok && !d.IsMapEntry() {
				return d, nil
			}
		}
		return nil, event.Invalid("schema_invalid", "compile schema: message %q is not in the text", clip(want)).
			Hint("give its full name, with the package")
	}
	used := map[protoreflect.FullName]bool{}
	for _, f := range files {
		markUsed(f.Messages(), used)
		markOptions(f, used)
	}
	var found []protoreflect.MessageDescriptor
	var names []string
	for _, f := range files {
		for i := range f.Messages().Len() {
			if d := f.Messages().Get(i); !used[d.FullName()] {
				found, names = append(found, d), append(names, string(d.FullName()))
			}
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) == 0 {
		return nil, event.Invalid("schema_invalid", "compile schema: no message stands for the event").
			Hint("name the message where every one is used by another")
	}
	return nil, event.Invalid("schema_invalid", "compile schema: %d messages could stand for the event: %s",
		len(found), listed(names)).Hint("name the one that is meant")
}

// markUsed notes which messages are the types of fields of other messages.
func markUsed(ms protoreflect.MessageDescriptors, used map[protoreflect.FullName]bool) {
	for i := range ms.Len() {
		m := ms.Get(i)
		for j := range m.Fields().Len() {
			if d := m.Fields().Get(j).Message(); d != nil && d.FullName() != m.FullName() {
				used[d.FullName()] = true
			}
		}
		markUsed(m.Messages(), used)
	}
}

// markOptions notes the messages that are the types of options: they describe schemas and no event.
func markOptions(f protoreflect.FileDescriptor, used map[protoreflect.FullName]bool) {
	for i := range f.Extensions().Len() {
		x := f.Extensions().Get(i)
		if x.Message() != nil && strings.HasPrefix(string(x.ContainingMessage().FullName()), "google.protobuf.") {
			used[x.Message().FullName()] = true
		}
	}
}

// listed joins names for an error: the first ten.
func listed(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

func clipTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
