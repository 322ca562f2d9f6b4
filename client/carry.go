package client

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe/wire"
)

// carrier sends requests: it adds what every call carries, follows no redirect (the token would go along), and takes
// answers for strange that no server of this protocol gives.
type carrier struct {
	transport http.RoundTripper
	token     string
	store     string
}

func newCarrier(at address, o *Options) *carrier {
	c := &carrier{transport: o.Transport, store: at.name}
	if o.Token != "" {
		c.token = "Bearer " + o.Token
	}
	if c.transport == nil {
		c.transport = tuned(o)
	}
	return c
}

// tuned keeps a connection for each of many concurrent calls, and notices when one is dead.
func tuned(o *Options) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	if o.TLS != nil {
		t.TLSClientConfig = o.TLS.Clone()
	}
	return t
}

// Do implements connect.HTTPClient.
func (c *carrier) Do(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r.Header.Set("Authorization", c.token)
	}
	if c.store != "" {
		r.Header.Set(wire.HeaderStore, c.store)
	}
	if r.Header.Get("Traceparent") == "" {
		if parent := traceparent(trace.SpanContextFromContext(r.Context())); parent != "" {
			r.Header.Set("Traceparent", parent)
		}
	}
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if strange := judgeAnswer(answer); strange != nil {
		_ = answer.Body.Close()
		return nil, strange
	}
	return answer, nil
}

// strange is an answer of something that does not speak the protocol, a proxy most often. What it wrote is not kept.
type strange struct{ status int }

func (s *strange) Error() string {
	return fmt.Sprintf("an answer with status %d that is not Lethe's", s.status)
}

func judgeAnswer(answer *http.Response) *strange {
	form := answer.Header.Get("Content-Type")
	if answer.StatusCode == http.StatusOK {
		if strings.HasPrefix(form, "application/proto") || strings.HasPrefix(form, "application/connect+proto") {
			return nil
		}
	} else if strings.HasPrefix(form, "application/json") {
		return nil
	}
	return &strange{answer.StatusCode}
}

// traceparent is the W3C form of a span, empty where there is none.
func traceparent(s trace.SpanContext) string {
	if !s.IsValid() {
		return ""
	}
	return "00-" + s.TraceID().String() + "-" + s.SpanID().String() + "-" + s.TraceFlags().String()
}

func (c *carrier) closeIdle() {
	if idle, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}
