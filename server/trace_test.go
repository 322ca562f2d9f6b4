package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/proto"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

// TestSpans appends within a trace: the call is a span of it, and the event says so.
func TestSpans(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	w := newReal(t, server.Options{NoTokens: true, Tracer: provider}, memory.Options{})
	r := w.protoRequest(t, t.Context(), appendPath, secretive())
	r.Header.Set("Traceparent", "00-"+trace+"-"+parent+"-01")
	r.Header.Set("CanaryBird-Header", "CANARYBIRD")
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, r)
	if err := proto.Unmarshal(answer.Body.Bytes(), &lethev1.AppendResponse{}); err != nil || answer.Code != 200 {
		t.Fatalf("%d %s, %v", answer.Code, answer.Body, err)
	}
	made := spans.GetSpans()
	if len(made) != 1 {
		t.Fatalf("%d spans", len(made))
	}
	of, above := made[0].SpanContext, made[0].Parent
	if of.TraceID().String() != trace || above.SpanID().String() != parent || !above.IsRemote() {
		t.Errorf("the span is %v under %v", of, above)
	}
	if got, want := w.one(t).Traceparent, fmt.Sprintf("00-%s-%s-01", trace, of.SpanID()); got != want {
		t.Errorf("the event has %s, want %s", got, want)
	}
	// What is refused makes spans too.
	for _, body := range []string{`{"CANARYBIRD": 1}`, `{"writes": [{"stream": "CANARYBIRD"}]}`, `CANARYBIRD`} {
		if answer := w.post(appendPath, body, w.loansHeader()); answer.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, answer.Code)
		}
	}
	made = spans.GetSpans()
	if len(made) < 2 {
		t.Errorf("%d spans", len(made))
	}
	for _, span := range made {
		text := fmt.Sprint(span.Name, span.Attributes, span.Events, span.Status, span.Links, span.Resource)
		if !strings.Contains(span.Name, "lethe.v1.LogService/Append") ||
			strings.Contains(strings.ToLower(text), "canarybird") {
			t.Errorf("span: %s", text)
		}
	}
}
