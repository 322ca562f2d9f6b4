package openapi

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
)

//go:embed base.json
var base []byte

//go:embed example.json
var examples []byte

// frame is base.json. What it holds of paths and schemas stands behind what comes from the sources.
type frame struct {
	OpenAPI    string                     `json:"openapi"`
	Info       json.RawMessage            `json:"info"`
	Servers    json.RawMessage            `json:"servers"`
	Security   json.RawMessage            `json:"security"`
	Paths      map[string]json.RawMessage `json:"paths"`
	Components struct {
		SecuritySchemes json.RawMessage            `json:"securitySchemes"`
		Parameters      json.RawMessage            `json:"parameters"`
		Responses       json.RawMessage            `json:"responses"`
		Schemas         map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

// Example is one call as it may go: JSON of the request, and of its answer.
type Example struct {
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

// Examples are the calls that example.json shows, by procedure, such as lethe.v1.LogService/Append.
func Examples() (map[string]Example, error) {
	var all map[string]Example
	if err := strict(examples, &all); err != nil {
		return nil, fmt.Errorf("read example.json: %w", err)
	}
	return all, nil
}

func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Document is the OpenAPI document of the services in a tree of protobuf sources, indented. One tree has one document,
// byte for byte.
func Document(ctx context.Context, sources fs.FS) ([]byte, error) {
	files, err := Compile(ctx, sources)
	if err != nil {
		return nil, err
	}
	var f frame
	if err := strict(base, &f); err != nil {
		return nil, fmt.Errorf("read base.json: %w", err)
	}
	shown, err := Examples()
	if err != nil {
		return nil, err
	}
	d := document{examples: shown}
	for _, file := range files {
		for i := range file.Services().Len() {
			d.service(file.Services().Get(i))
		}
	}
	text, err := encode(d.assemble(f))
	if err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, fmt.Errorf("write OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// document collects what the services come to.
type document struct {
	examples map[string]Example
	tags     []object
	paths    object
	all      set // messages and enums of every call
	writer   writer
}

func (d *document) assemble(f frame) object {
	for _, name := range sorted(f.Paths) {
		d.paths = append(d.paths, member{name, f.Paths[name]})
	}
	schemas := object{}
	for _, part := range d.all.order {
		schemas = append(schemas, member{string(part.FullName()), d.writer.schema(part)})
	}
	for _, name := range sorted(f.Components.Schemas) {
		schemas = append(schemas, member{name, f.Components.Schemas[name]})
	}
	return object{
		{"openapi", f.OpenAPI}, {"info", f.Info}, {"servers", f.Servers}, {"security", f.Security}, {"tags", d.tags},
		{"paths", d.paths},
		{"components", object{
			{"securitySchemes", f.Components.SecuritySchemes}, {"parameters", f.Components.Parameters},
			{"responses", f.Components.Responses}, {"schemas", schemas},
		}},
	}
}

func (d *document) service(s protoreflect.ServiceDescriptor) {
	d.tags = append(d.tags, object{{"name", string(s.Name())}, {"description", Comment(s)}})
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		d.all.add(m.Input())
		d.all.add(m.Output())
		d.writer.requests.add(m.Input())
		d.writer.answers.add(m.Output())
		d.paths = append(d.paths, member{"/" + Procedure(m), d.path(m)})
	}
}

// Procedure is how a method is called: package, service and name.
func Procedure(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().FullName()) + "/" + string(m.Name())
}

func (d *document) path(m protoreflect.MethodDescriptor) object {
	kind := "application/json"
	if m.IsStreamingServer() {
		kind = "application/connect+json"
	}
	shown := d.examples[Procedure(m)]
	post := operation(m, "")
	post = append(post,
		member{"parameters", []object{parameter("Store"), parameter("Timeout")}},
		member{"requestBody", object{{"required", true}, {"content", object{{kind, media(m.Input(), shown.Request)}}}}},
		member{"responses", answers(m, kind, shown.Response)})
	item := object{{"post", post}}
	if !m.IsStreamingServer() && Idempotency(m) == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		get := operation(m, ".get")
		get = append(get,
			member{"parameters", []object{parameter("Store"), parameter("Timeout"), parameter("Encoding"), message(m)}},
			member{"responses", answers(m, kind, shown.Response)})
		item = append(item, member{"get", get})
	}
	return item
}

func parameter(name string) object { return object{{"$ref", "#/components/parameters/" + name}} }

// message is the request of a call that goes as GET.
func message(m protoreflect.MethodDescriptor) object {
	return object{
		{"name", "message"}, {"in", "query"}, {"required", true}, {"description", "The request, as JSON."},
		{"content", object{{"application/json", media(m.Input(), nil)}}},
	}
}

func operation(m protoreflect.MethodDescriptor, suffix string) object {
	comment := Comment(m)
	summary, _, _ := strings.Cut(comment, ". ")
	needs := Needs(m)
	says := "Needs the permission " + needs + "."
	if needs == "any" {
		says = "Any token of the store will do."
	}
	return object{
		{"operationId", string(m.Parent().Name()) + "." + string(m.Name()) + suffix},
		{"tags", []string{string(m.Parent().Name())}},
		{"summary", strings.TrimSuffix(summary, ".")},
		{"description", comment + " " + streaming(m) + says},
		{"x-lethe-needs", needs},
	}
}

func streaming(m protoreflect.MethodDescriptor) string {
	if !m.IsStreamingServer() {
		return ""
	}
	return "The answer is a stream: request and answers go in envelopes of the Connect protocol, each of 1 byte of " +
		"flags, 4 bytes of length, highest first, and the JSON shown here; the last one, with flag 2, holds the error if " +
		"there is one. "
}

func media(m protoreflect.MessageDescriptor, example json.RawMessage) object {
	content := object{{"schema", reference(m)}}
	if len(example) > 0 {
		content = append(content, member{"example", example})
	}
	return content
}

func answers(m protoreflect.MethodDescriptor, kind string, example json.RawMessage) object {
	said := "The answer."
	if m.IsStreamingServer() {
		said = "A stream of answers, each in an envelope."
	}
	return object{
		{"200", object{{"description", said}, {"content", object{{kind, media(m.Output(), example)}}}}},
		{"default", object{{"$ref", "#/components/responses/Error"}}},
	}
}

// Needs is the permission a method asks for, such as append, or any; empty: it names none.
func Needs(m protoreflect.MethodDescriptor) string {
	needs, _ := proto.GetExtension(options(m), lethev1.E_Needs).(lethev1.Permission)
	if needs == lethev1.Permission_PERMISSION_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(needs.String(), "PERMISSION_"))
}

// Idempotency is what a method says of its effects.
func Idempotency(m protoreflect.MethodDescriptor) descriptorpb.MethodOptions_IdempotencyLevel {
	return options(m).GetIdempotencyLevel()
}
