package api_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/lethe-es/lethe/api"
	_ "github.com/lethe-es/lethe/api/lethe/v1" // registers the generated descriptors
	"github.com/lethe-es/lethe/api/openapi"
)

func sources(t *testing.T) []protoreflect.FileDescriptor {
	t.Helper()
	files, err := openapi.Compile(t.Context(), api.Sources)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Fatalf("only %d sources are compiled", len(files))
	}
	return files
}

// TestGeneratedIsFresh compiles the sources and compares them with what the generated code says of itself.
func TestGeneratedIsFresh(t *testing.T) {
	for _, source := range sources(t) {
		generated, err := protoregistry.GlobalFiles.FindFileByPath(source.Path())
		if err != nil {
			t.Errorf("%s has no generated code; run make generate: %v", source.Path(), err)
			continue
		}
		if diff := cmp.Diff(described(t, generated), described(t, source), protocmp.Transform()); diff != "" {
			t.Errorf("%s was changed; run make generate (-generated +source):\n%s", source.Path(), diff)
		}
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("lethe.v1", func(f protoreflect.FileDescriptor) bool {
		if _, err := fs.Stat(api.Sources, f.Path()); err != nil {
			t.Errorf("generated code has no source: %v", err)
		}
		return true
	})
}

// described is a file without its comments. Going over bytes turns every option into what the generated code knows.
func described(t *testing.T, f protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	t.Helper()
	raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(f))
	if err != nil {
		t.Fatal(err)
	}
	var d descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	d.SourceCodeInfo = nil
	return &d
}

// TestGeneratedHasComments finds every line of comment of the sources in the generated code. Only those of services do
// not get there.
func TestGeneratedHasComments(t *testing.T) {
	for _, source := range sources(t) {
		name := strings.TrimSuffix(source.Path(), ".proto")
		code := read(t, name+".pb.go")
		if source.Services().Len() > 0 {
			code += read(t, strings.Replace(name, "v1/", "v1/lethev1connect/", 1)+".connect.go")
		}
		text, err := fs.ReadFile(api.Sources, source.Path())
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`(?m)(^//.*\n)+service`).ReplaceAll(text, nil)
		for _, comment := range regexp.MustCompile(`(?m)^\s*//.*$`).FindAllString(string(text), -1) {
			if comment = strings.TrimSpace(comment); !strings.Contains(code, comment) {
				t.Errorf("%s: the generated code lacks this comment; run make generate: %s", source.Path(), comment)
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCallsSayWhatTheyNeed holds that the server can decide about every call, and callers can read about it.
func TestCallsSayWhatTheyNeed(t *testing.T) {
	calls := 0
	for _, file := range sources(t) {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if openapi.Comment(service) == "" {
				t.Errorf("%s has no comment", service.FullName())
			}
			for j := range service.Methods().Len() {
				calls++
				checkCall(t, service.Methods().Get(j))
			}
		}
	}
	if calls < 20 {
		t.Errorf("only %d calls are found", calls)
	}
}

func checkCall(t *testing.T, m protoreflect.MethodDescriptor) {
	t.Helper()
	needs := openapi.Needs(m)
	if needs == "" {
		t.Errorf("%s does not say what permission it needs, and is refused to everybody", m.FullName())
	}
	if !strings.HasSuffix(openapi.Comment(m), ".") {
		t.Errorf("%s has no comment in sentences", m.FullName())
	}
	if m.IsStreamingClient() {
		t.Errorf("%s takes a stream, which browsers cannot send", m.FullName())
	}
	writes := regexp.MustCompile(`^(Append|AppendEach|Advance|Close|Truncate|SetMaxAge|Expire|Create|Revoke|` +
		`Push|Demand|Set|Roll|Open)$`)
	// Calls about persons may not be made as GET: a URL is kept by others.
	persons := regexp.MustCompile(`^(Subject|Consent)Service$`).MatchString(string(m.Parent().Name()))
	effects := openapi.Idempotency(m) != descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	if effects != (persons || writes.MatchString(string(m.Name()))) {
		t.Errorf("%s: NO_SIDE_EFFECTS does not fit its name; if it is a new call that writes, name it here", m.FullName())
	}
	if needs == "read" && effects {
		t.Errorf("%s needs only read, and has side effects", m.FullName())
	}
}

// obvious are fields that their name and message explain. What is not here has a comment.
const obvious = `^(` +
	// Of the envelope: docs/format/envelope.md.
	`(Event|Draft)\.(id|type|stream|version|occurred_at|recorded_at|relations|correlation|causation|traceparent|` +
	`producer|metadata|schema)|` +
	`Match\.(types|kinds|relations|correlation|causation)|WhoamiResponse\.permissions|` +
	`(Relation|Producer|VersionConflict|Placed|Fork|Token)\.\w+|` +
	// A list or a message that says what it is made of, an answer's only word.
	`\w+\.(events|writes|requests|checkpoints?|streams|sizes|tokens?|max_ages|condition|result|error|event|key)|` +
	`Error\.(version_conflict|condition_failed|forked)|` +
	// Named like what they are.
	`\w+\.(follower|done|backward|part|bytes|closed|label|kind|age|stream|version|id|cursor|person|krid|placed)|HeadResponse\.fence` +
	`)$`

// TestFieldsAreExplained wants snake_case names, and comments where a name does not say it all.
func TestFieldsAreExplained(t *testing.T) {
	known := regexp.MustCompile(obvious)
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	fields := 0
	for _, file := range sources(t) {
		for i := range file.Messages().Len() {
			message := file.Messages().Get(i)
			for j := range message.Fields().Len() {
				f := message.Fields().Get(j)
				fields++
				if !snake.MatchString(string(f.Name())) {
					t.Errorf("%s is not in snake_case", f.FullName())
				}
				name := string(message.Name()) + "." + string(f.Name())
				if openapi.Comment(f) == "" && !known.MatchString(name) {
					t.Errorf("%s has no comment", f.FullName())
				}
			}
			checkMessage(t, message)
		}
	}
	if fields < 100 {
		t.Errorf("only %d fields are found", fields)
	}
}

// checkMessage wants a comment for what is no request or answer of a call; those are explained by the call.
func checkMessage(t *testing.T, m protoreflect.MessageDescriptor) {
	t.Helper()
	call := regexp.MustCompile(`(Request|Response)$`)
	plain := regexp.MustCompile(`^(Write|Outcome|Checkpoint|NamedCheckpoint|Size|VerifyReport|Finding|StreamState|MaxAge|` +
		`Fork|Token)$`)
	name := string(m.Name())
	if openapi.Comment(m) == "" && !call.MatchString(name) && !plain.MatchString(name) {
		t.Errorf("%s has no comment", m.FullName())
	}
}

// TestPermissionsAreExplained wants a comment for every permission but the one that stands for none.
func TestPermissionsAreExplained(t *testing.T) {
	for _, file := range sources(t) {
		for i := range file.Enums().Len() {
			values := file.Enums().Get(i).Values()
			for j := 1; j < values.Len(); j++ {
				if openapi.Comment(values.Get(j)) == "" {
					t.Errorf("%s has no comment", values.Get(j).FullName())
				}
			}
		}
	}
}
