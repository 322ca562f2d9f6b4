package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lethe-es/lethe/api"
	"github.com/lethe-es/lethe/api/openapi"
	"github.com/lethe-es/lethe/event"
)

var update = flag.Bool("update", false, "rewrite api/openapi.json")

// TestDocumentIsFresh makes the document again: what is committed, and served, comes from the sources as they are.
func TestDocumentIsFresh(t *testing.T) {
	fresh, err := openapi.Document(t.Context(), api.Sources)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../openapi.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(api.OpenAPI), string(fresh)); diff != "" {
		t.Errorf("api/openapi.json is not what the sources come to (-committed +now); run make generate:\n%s", diff)
	}
}

// document is the fresh document as plain values.
func document(t *testing.T) map[string]any {
	t.Helper()
	text, err := openapi.Document(t.Context(), api.Sources)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows names into nested objects; nil where there is nothing.
func at(v any, names ...string) any {
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// walk visits every value of a document, with the names that lead to it.
func walk(v any, path []string, visit func(path []string, v any)) {
	visit(path, v)
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			walk(value, append(slices.Clip(path), name), visit)
		}
	case []any:
		for i, value := range v {
			walk(value, append(slices.Clip(path), fmt.Sprint(i)), visit)
		}
	}
}

// TestReferencesLead follows every $ref, and finds what nothing refers to.
func TestReferencesLead(t *testing.T) {
	doc := document(t)
	used := map[string]bool{}
	walk(doc, nil, func(path []string, v any) {
		ref, ok := at(v, "$ref").(string)
		if !ok {
			return
		}
		names, inside := strings.CutPrefix(ref, "#/")
		if !inside || at(doc, strings.Split(names, "/")...) == nil {
			t.Errorf("%s refers to %s, which is not there", strings.Join(path, "/"), ref)
		}
		used[names] = true
	})
	for _, part := range []string{"schemas", "parameters", "responses"} {
		parts, _ := at(doc, "components", part).(map[string]any)
		for name := range parts {
			if !used["components/"+part+"/"+name] {
				t.Errorf("nothing refers to components/%s/%s", part, name)
			}
		}
	}
}

// eachMethod visits the methods of the generated code, which the server serves.
func eachMethod(visit func(protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFilesByPackage("lethe.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				visit(methods.Get(j))
			}
		}
		return true
	})
}

// TestEveryCallIsThere compares paths with the services of the generated code: each as POST, those without effects also
// as GET, with the messages they take and give, and what they need.
func TestEveryCallIsThere(t *testing.T) {
	doc := document(t)
	paths, _ := at(doc, "paths").(map[string]any)
	calls := 0
	eachMethod(func(m protoreflect.MethodDescriptor) {
		calls++
		path := "/" + openapi.Procedure(m)
		item := paths[path]
		delete(paths, path)
		kind := "application/json"
		if m.IsStreamingServer() {
			kind = "application/connect+json"
		}
		schema := func(d protoreflect.Descriptor) string { return "#/components/schemas/" + string(d.FullName()) }
		if got := at(item, "post", "requestBody", "content", kind, "schema", "$ref"); got != schema(m.Input()) {
			t.Errorf("%s takes %v", path, got)
		}
		if got := at(item, "post", "responses", "200", "content", kind, "schema", "$ref"); got != schema(m.Output()) {
			t.Errorf("%s gives %v", path, got)
		}
		if got := at(item, "post", "x-lethe-needs"); got != openapi.Needs(m) || got == "" {
			t.Errorf("%s needs %v", path, got)
		}
		if summary, _ := at(item, "post", "summary").(string); summary == "" {
			t.Errorf("%s has no summary", path)
		}
		if reads := openapi.Needs(m) == "read"; reads && !m.IsStreamingServer() && at(item, "get", "operationId") == nil {
			t.Errorf("%s only reads, and cannot go as GET", path)
		}
	})
	if calls < 20 {
		t.Fatalf("the generated code has only %d calls", calls)
	}
	for path := range paths {
		if !slices.Contains([]string{"/v1/events", "/healthz", "/readyz", "/metrics", "/openapi.json"}, path) {
			t.Errorf("there is no call %s", path)
		}
	}
}

// TestSchemasAreMessages compares every schema's properties with the fields of the generated code, by name and type.
func TestSchemasAreMessages(t *testing.T) {
	schemas, _ := at(document(t), "components", "schemas").(map[string]any)
	compared := 0
	for name, schema := range schemas {
		if !strings.HasPrefix(name, "lethe.v1.") {
			continue
		}
		compared++
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Errorf("schema %s: %v", name, err)
			continue
		}
		m, ok := d.(protoreflect.MessageDescriptor)
		if !ok {
			continue
		}
		properties, _ := at(schema, "properties").(map[string]any)
		fields := map[string]any{}
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			fields[string(f.Name())] = nil
			checkProperty(t, f, properties[string(f.Name())])
		}
		for name := range properties {
			if _, there := fields[name]; !there {
				t.Errorf("schema %s has property %s, the message has no such field", m.FullName(), name)
			}
		}
	}
	if compared < 40 {
		t.Errorf("only %d schemas are messages", compared)
	}
}

func checkProperty(t *testing.T, f protoreflect.FieldDescriptor, property any) {
	t.Helper()
	object, _ := property.(map[string]any)
	if len(object) == 0 {
		t.Errorf("%s has no schema", f.FullName())
		return
	}
	text := fmt.Sprint(object["type"])
	wrong := false
	switch {
	case f.IsMap():
		wrong = text != "object" || object["additionalProperties"] == nil
	case f.IsList():
		wrong = text != "array" || object["items"] == nil
	case f.Kind() == protoreflect.Uint64Kind || f.Kind() == protoreflect.Fixed64Kind || f.Kind() == protoreflect.Int64Kind:
		wrong = text != "string" && text != "[string integer]"
	case f.Message() != nil || f.Enum() != nil:
		wrong = object["$ref"] == nil && object["type"] != "string"
	}
	if wrong {
		t.Errorf("%s has the schema %v", f.FullName(), object)
	}
}

// TestExamplesAreMessages reads the examples as the messages they are said to be, and writes them again: nothing is
// misspelt, and answers look as the server writes them.
func TestExamplesAreMessages(t *testing.T) {
	examples, err := openapi.Examples()
	if err != nil {
		t.Fatal(err)
	}
	eachMethod(func(m protoreflect.MethodDescriptor) {
		example, ok := examples[openapi.Procedure(m)]
		if !ok {
			return
		}
		delete(examples, openapi.Procedure(m))
		parse(t, m.Input(), dataAsText(t, example.Request))
		answer := parse(t, m.Output(), example.Response)
		again, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain(t, again), plain(t, example.Response)); diff != "" {
			t.Errorf("%s: a server writes the answer so (-server +example):\n%s", m.FullName(), diff)
		}
	})
	for name := range examples {
		t.Errorf("example.json shows %s, which is no call", name)
	}
}

func plain(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t *testing.T, d protoreflect.MessageDescriptor, text []byte) proto.Message {
	t.Helper()
	typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	m := typ.New().Interface()
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Errorf("read %s as %s: %v", text, d.FullName(), err)
	}
	return m
}

// dataAsText puts data that stands as an object into a text, as the server does.
func dataAsText(t *testing.T, request []byte) []byte {
	t.Helper()
	v := plain(t, request)
	walk(v, nil, func(_ []string, v any) {
		object, _ := v.(map[string]any)
		if data := object["data"]; data != nil && reflect.TypeOf(data).Kind() == reflect.Map {
			text, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			object["data"] = string(text)
		}
	})
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestEnvelopeIsWhatEventsAre compares the schema of events outside of calls with an event that has everything.
func TestEnvelopeIsWhatEventsAre(t *testing.T) {
	day := time.Date(2026, time.January, 5, 9, 30, 0, 0, time.UTC)
	full := event.Event{Position: 1, Version: 1, Stream: event.Stream("application", "1"), RecordedAt: day, Pruned: true,
		Draft: event.Draft{
			ID: event.ID{1}, Type: "Registered", OccurredAt: day, Schema: event.SchemaID{1}, Correlation: "c",
			Relations: []event.Relation{{Role: "r", Kind: "k", ID: "i"}}, Causation: event.ID{2},
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Producer: event.Producer{Name: "p"},
			Metadata: map[string]string{"m": "v"}, Data: json.RawMessage(`{}`),
		}}
	text, err := json.Marshal(&full)
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := plain(t, text).(map[string]any)
	schema, _ := at(document(t), "components", "schemas", "Envelope", "properties").(map[string]any)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(schema))); diff != "" {
		t.Errorf("schema Envelope has other fields than events (-event +schema):\n%s", diff)
	}
}
