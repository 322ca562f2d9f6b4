package server

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
)

// compressFrom is the size from which an answer is compressed for who accepts that.
const compressFrom = 1 << 10

// speech is how every procedure is spoken.
func (s *Server) speech() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(protoCodec{}),
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
		connect.WithReadMaxBytes(s.limits.MessageBytes),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithCompression("gzip",
			func() connect.Decompressor { return &gunzip{limit: int64(s.limits.MessageBytes) + 2} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
	}
}

// message is a pointer to a generated message.
type message[M any] interface {
	*M
	proto.Message
}

// incoming is a request as connect reads it. A codec that fails would leave the error to connect, which knows neither
// codes nor details; so the error is kept here, and the method's caller answers with it.
type incoming[M any, P message[M]] struct {
	message M
	err     error
}

func (in *incoming[M, P]) read(decode func(proto.Message) error) { in.err = decode(P(&in.message)) }

type reader interface {
	read(decode func(proto.Message) error)
}

// decode reads data into an incoming or a message. Only programs of ours hand in anything else.
func decode(target any, how func(proto.Message) error) error {
	switch m := target.(type) {
	case reader:
		m.read(how)
		return nil
	case proto.Message:
		return how(m)
	}
	return errNoMessage()
}

func errNoMessage() error { return errors.New("a codec was given what is no message") }

// protoCodec is protobuf's binary form.
type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Marshal(v any) ([]byte, error) { return protoCodec{}.MarshalAppend(nil, v) }

func (protoCodec) MarshalAppend(b []byte, v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, errNoMessage()
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

func (protoCodec) Unmarshal(data []byte, v any) error {
	return decode(v, func(m proto.Message) error {
		if countParts(data, m.ProtoReflect().Descriptor(), maxParts) < 0 {
			return tooManyParts()
		}
		if proto.Unmarshal(data, m) != nil { // its error may quote what was sent
			return event.Invalid("malformed_message", "read request: it is not this procedure's protobuf message")
		}
		return nil
	})
}

// maxParts bounds the elements of lists and maps in one message. An empty one takes two bytes on its way and some
// hundred in memory, so that limits on bytes do not bound what a message costs. The largest append has fewer.
const maxParts = 500_000

func tooManyParts() error {
	return event.Invalid("oversized", "read request: it has more than %d parts", maxParts).Hint("split it")
}

// countParts takes the elements of lists and maps in a message off what is left; below 0: there are more. What is not
// well-formed is left to who decodes it.
func countParts(b []byte, md protoreflect.MessageDescriptor, left int) int {
	for len(b) > 0 && left >= 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return left
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return left
		}
		fd := md.Fields().ByNumber(number)
		if fd != nil && (fd.IsList() || fd.IsMap()) {
			left--
		}
		if fd != nil && fd.Message() != nil && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b)
			left = countParts(value, fd.Message(), left)
		}
		b = b[n:]
	}
	return left
}

// jsonCodec is protobuf's JSON form, with names as in the sources. What it reads is checked by rewriter.
type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) Marshal(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

func (jsonCodec) MarshalAppend(b []byte, v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, errNoMessage()
	}
	return protojson.MarshalOptions{UseProtoNames: true}.MarshalAppend(b, m)
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	return decode(v, func(m proto.Message) error { return parseJSON(data, m) })
}

// gunzip unpacks one message and ends, as if it were over, behind what a message may be: connect reads a message that
// is too large to its end, and of a few bytes that end may be very far.
type gunzip struct {
	gzip.Reader
	limit int64
	left  int64
}

func (g *gunzip) Reset(r io.Reader) error {
	g.left = g.limit
	return g.Reader.Reset(r)
}

func (g *gunzip) Read(b []byte) (int, error) {
	if g.left <= 0 {
		return 0, io.EOF
	}
	n, err := g.Reader.Read(b[:min(int64(len(b)), g.left)])
	g.left -= int64(n)
	return n, err
}
