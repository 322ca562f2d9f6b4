package server

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
)

func services() []string {
	return []string{
		lethev1connect.ConsentServiceName, lethev1connect.FollowerServiceName, lethev1connect.KeyServiceName,
		lethev1connect.LogServiceName, lethev1connect.PolicyServiceName, lethev1connect.SchemaServiceName,
		lethev1connect.StoreServiceName, lethev1connect.StreamServiceName, lethev1connect.SubjectServiceName,
		lethev1connect.TokenServiceName,
	}
}

// describe adds what says of the server itself how it is and what it offers, as gRPC's tools ask for it. Health is
// open to everybody, since load balancers have no tokens, and it tells nothing of any store. Reflection is for who
// holds any valid token.
func (s *Server) describe(mux *http.ServeMux) {
	limit := connect.WithReadMaxBytes(64 << 10)
	mux.Handle(grpchealth.NewHandler(health{s}, limit))
	reflector := grpcreflect.NewStaticReflector(append(services(), grpchealth.HealthV1ServiceName)...)
	for _, create := range []func(*grpcreflect.Reflector, ...connect.HandlerOption) (string, http.Handler){
		grpcreflect.NewHandlerV1, grpcreflect.NewHandlerV1Alpha,
	} {
		path, handler := create(reflector, limit)
		mux.Handle(path, s.admitted(procedure{name: path, needs: lethev1.Permission_PERMISSION_ANY}, handler))
	}
}

// health is gRPC's health check: a server that ends takes no new calls.
type health struct{ server *Server }

func (h health) Check(_ context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if req.Service != "" && !slices.Contains(services(), req.Service) {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("check health: there is no such service"))
	}
	select {
	case <-h.server.ending:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	default:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
	}
}
