package openapi

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Compile reads every protobuf source of a tree, comments included, ordered by path.
func Compile(ctx context.Context, sources fs.FS) ([]protoreflect.FileDescriptor, error) {
	names, err := fs.Glob(sources, "lethe/v1/*.proto")
	if err != nil {
		return nil, fmt.Errorf("list protobuf sources: %w", err)
	}
	slices.Sort(names)
	open := func(name string) (io.ReadCloser, error) { return sources.Open(name) }
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: open}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("compile protobuf sources: %w", err)
	}
	files := make([]protoreflect.FileDescriptor, len(compiled))
	for i, f := range compiled {
		files[i] = f
	}
	return files, nil
}

// Comment is what the source says about a descriptor, as one text; empty: nothing.
func Comment(d protoreflect.Descriptor) string {
	where := d.ParentFile().SourceLocations().ByDescriptor(d)
	return joined(where.LeadingComments)
}

// options are a method's, with the contract's own ones in them: compiled sources have those as messages made up while
// compiling, which the generated code cannot read.
func options(m protoreflect.MethodDescriptor) *descriptorpb.MethodOptions {
	raw, err := proto.Marshal(m.Options())
	if err != nil {
		return nil
	}
	var o descriptorpb.MethodOptions
	if err := proto.Unmarshal(raw, &o); err != nil {
		return nil
	}
	return &o
}
