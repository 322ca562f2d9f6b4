package foreign_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// stranger is a gRPC client that knows an address and a token, and learns the rest from the server.
type stranger struct {
	t     *testing.T
	conn  *grpc.ClientConn
	ctx   context.Context
	files *protoregistry.Files
}

func newStranger(t *testing.T, d door) *stranger {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+d.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+d.Token, "lethe-store", storeName)
	return &stranger{t: t, conn: conn, ctx: ctx}
}

// learn asks by reflection which services there are, and for the descriptors of all they are made of.
func (s *stranger) learn() []string {
	s.t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	ask := func(req *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		s.t.Helper()
		if err := stream.Send(req); err != nil {
			s.t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if e := answer.GetErrorResponse(); e != nil {
			s.t.Fatalf("reflection of %v: %s", req, e.GetErrorMessage())
		}
		return answer
	}
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	var names []string
	var set descriptorpb.FileDescriptorSet
	seen := map[string]bool{}
	for _, service := range list.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
		answer := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
				FileContainingSymbol: service.GetName(),
			},
		})
		for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
			var file descriptorpb.FileDescriptorProto
			if err := proto.Unmarshal(raw, &file); err != nil {
				s.t.Fatal(err)
			}
			if !seen[file.GetName()] {
				seen[file.GetName()] = true
				set.File = append(set.File, &file)
			}
		}
	}
	if err := stream.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	if s.files, err = protodesc.NewFiles(&set); err != nil {
		s.t.Fatal(err)
	}
	return names
}

// method finds what reflection told about a method.
func (s *stranger) method(name protoreflect.FullName) protoreflect.MethodDescriptor {
	s.t.Helper()
	d, err := s.files.FindDescriptorByName(name)
	if err != nil {
		s.t.Fatal(err)
	}
	m, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		s.t.Fatalf("%s is no method", name)
	}
	return m
}

func path(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// message reads JSON as a message that is known by reflection only.
func (s *stranger) message(d protoreflect.MessageDescriptor, text string) *dynamicpb.Message {
	s.t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// call makes a unary call with a request in JSON.
func (s *stranger) call(name protoreflect.FullName, request string) (*dynamicpb.Message, error) {
	s.t.Helper()
	m := s.method(name)
	answer := dynamicpb.NewMessage(m.Output())
	err := s.conn.Invoke(s.ctx, path(m), s.message(m.Input(), request), answer)
	return answer, err
}

// get follows field names into a message.
func get(m protoreflect.Message, names ...protoreflect.Name) protoreflect.Value {
	v := protoreflect.ValueOfMessage(m)
	for _, name := range names {
		m = v.Message()
		v = m.Get(m.Descriptor().Fields().ByName(name))
	}
	return v
}

// TestGRPC learns the services by reflection, then calls them: one answer, a stream, errors with their details, health.
func TestGRPC(t *testing.T) {
	s := newStranger(t, open(t))
	services := s.learn()
	for _, want := range []string{"LogService", "StreamService", "StoreService", "FollowerService", "TokenService"} {
		if !slices.Contains(services, "lethe.v1."+want) {
			t.Errorf("reflection names only %v", services)
		}
	}
	if m := s.method("lethe.v1.LogService.Append"); m.Input().Fields().ByName("condition") == nil {
		t.Errorf("reflection describes Append with %v", m.Input())
	}

	const first = `{"writes": [{"stream": "seat/12A", "expected_version": 0, "events": [
		{"type": "SeatTaken", "data": "{\"by\": \"a\"}"}, {"type": "SeatFreed"}]}]}`
	answer, err := s.call("lethe.v1.LogService.Append", first)
	if err != nil {
		t.Fatal(err)
	}
	placed := get(answer, "events").List()
	if placed.Len() != 2 || get(placed.Get(1).Message(), "version").Uint() != 2 {
		t.Fatalf("append: %v", answer)
	}
	s.followsBoth(placed)
	s.isRefused(first)
	s.isWell()
}

// followsBoth subscribes and expects the two events of the test, then hangs up.
func (s *stranger) followsBoth(placed protoreflect.List) {
	s.t.Helper()
	m := s.method("lethe.v1.LogService.Subscribe")
	ctx, hangUp := context.WithCancel(s.ctx)
	defer hangUp()
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path(m))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := stream.SendMsg(s.message(m.Input(), `{"filter": [{"kinds": ["seat"]}], "limit": 1}`)); err != nil {
		s.t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for len(got) < placed.Len() {
		batch := dynamicpb.NewMessage(m.Output())
		if err := stream.RecvMsg(batch); err != nil {
			s.t.Fatal(err)
		}
		events := get(batch, "events").List()
		for i := range events.Len() {
			got = append(got, get(events.Get(i).Message(), "id").String())
		}
		if get(batch, "cursor").String() == "" {
			s.t.Error("a message of a subscription has no cursor")
		}
	}
	for i, id := range got {
		if want := get(placed.Get(i).Message(), "id").String(); id != want {
			s.t.Errorf("event %d of the subscription is %s, appended was %s", i, id, want)
		}
	}
}

// isRefused repeats an append under new ids, and calls with a token that is none.
func (s *stranger) isRefused(again string) {
	s.t.Helper()
	_, err := s.call("lethe.v1.LogService.Append", again)
	detail := s.detail(err, codes.Aborted)
	if kind, code := get(detail, "kind").String(), get(detail, "code").String(); kind != "conflict" ||
		code != "version_conflict" || get(detail, "version_conflict", "actual").Uint() != 2 {
		s.t.Errorf("the conflict says %v", detail)
	}
	unknown := *s
	unknown.ctx = metadata.AppendToOutgoingContext(s.t.Context(), "authorization", "Bearer lethe_none")
	_, err = unknown.call("lethe.v1.LogService.Head", `{}`)
	if detail := s.detail(err, codes.Unauthenticated); get(detail, "kind").String() != "denied" {
		s.t.Errorf("the refusal says %v", detail)
	}
}

// detail is the only detail of an error, read by what reflection told.
func (s *stranger) detail(err error, code codes.Code) protoreflect.Message {
	s.t.Helper()
	refused, ok := status.FromError(err)
	if !ok || refused.Code() != code || len(refused.Proto().GetDetails()) != 1 {
		s.t.Fatalf("want %v with one detail, got %v", code, err)
	}
	detail := refused.Proto().GetDetails()[0]
	d, err := s.files.FindDescriptorByName(detail.MessageName())
	if err != nil {
		s.t.Fatal(err)
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
	if err := detail.UnmarshalTo(m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// isWell asks for health as load balancers do, without a token.
func (s *stranger) isWell() {
	s.t.Helper()
	health := grpc_health_v1.NewHealthClient(s.conn)
	for _, service := range []string{"", "lethe.v1.LogService"} {
		answer, err := health.Check(s.t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			s.t.Errorf("health of %q: %v %v", service, answer, err)
		}
	}
}
