package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const metricsPath = "/metrics"

// meter is what a server tells Prometheus; docs/metrics.md says what each series means.
type meter struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec   // by store, procedure, code
	seconds  *prometheus.HistogramVec // by store, procedure
	appended *prometheus.CounterVec   // by store
	streams  *prometheus.GaugeVec     // by store
	cut      *prometheus.CounterVec   // by store, code
	refused  *prometheus.CounterVec   // by reason
	guests   prometheus.Gauge
}

func newMeter(s *Server) *meter {
	m := &meter{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lethe_calls_total",
			Help: "Calls that are over, by the code they came to; store is empty for those refused at the door."},
			[]string{"store", "procedure", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lethe_call_seconds",
			Help:    "How long calls took; subscriptions count when they end.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}},
			[]string{"store", "procedure"}),
		appended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lethe_events_appended_total",
			Help: "Events that this server appended; repeated appends count nothing."}, []string{"store"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "lethe_subscriptions_open",
			Help: "Subscriptions that are open."}, []string{"store"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lethe_subscriptions_ended_total",
			Help: "Subscriptions that are over, by the code they came to."}, []string{"store", "code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lethe_refused_total",
			Help: "What limits refused, by the limit."}, []string{"reason"}),
		guests: prometheus.NewGauge(prometheus.GaugeOpts{Name: "lethe_connections_open", Help: "Connections."}),
	}
	m.begin(s.tenants)
	m.registry.MustRegister(m.calls, m.seconds, m.appended, m.streams, m.cut, m.refused, m.guests, heads{s},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lethe_message_bytes_held",
			Help: "Bytes of messages that are being read, worked on or answered."},
			func() float64 { return float64(s.guard.bytes.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lethe_calls_open",
			Help: "Calls that are not over, subscriptions among them."},
			func() float64 { return float64(s.guard.open.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lethe_build_info",
			Help: "1, with the version of the program.", ConstLabels: prometheus.Labels{"version": s.options.Version}},
			func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// begin shows series at 0 from the start: a rate over one that appears with its first event misses that event.
func (m *meter) begin(stores map[string]*tenant) {
	for name := range stores {
		m.streams.WithLabelValues(name)
		m.appended.WithLabelValues(name)
		for _, code := range []string{"draining", "slow_subscriber", "token_expired", "token_revoked"} {
			m.cut.WithLabelValues(name, code)
		}
	}
	for _, code := range append(limitCodes(), codeConnections) {
		m.refused.WithLabelValues(code)
	}
}

// codeConnections is the reason why a connection is closed that has not said anything yet.
const codeConnections = "too_many_connections"

// heads asks each store for its head when it is scraped.
type heads struct{ server *Server }

func headPosition() *prometheus.Desc {
	return prometheus.NewDesc("lethe_head_position", "Position of the last event.", []string{"store"}, nil)
}

// Describe names the series.
func (heads) Describe(out chan<- *prometheus.Desc) { out <- headPosition() }

// Collect leaves a store out that does not answer in time.
func (h heads) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, t := range h.server.tenants {
		if head, err := t.Store.Head(ctx); err == nil {
			out <- prometheus.MustNewConstMetric(headPosition(), prometheus.GaugeValue, float64(head.Position), t.Name)
		}
	}
}

// serveMetrics shows an admin the series of the store its token is for, and those that are of none. With tokens off
// everybody may see everything.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	gatherer := prometheus.Gatherer(s.meter.registry)
	if c := callerOf(r.Context()); !s.options.NoTokens {
		gatherer = ownSeries{gatherer, c.Name}
	}
	promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// ownSeries leaves out what is another store's.
type ownSeries struct {
	from  prometheus.Gatherer
	store string
}

// Gather keeps series without the label store, and those of this store or of none.
func (g ownSeries) Gather() ([]*dto.MetricFamily, error) {
	all, err := g.from.Gather()
	var kept []*dto.MetricFamily
	for _, family := range all {
		var own []*dto.Metric
		for _, m := range family.GetMetric() {
			if g.owns(m) {
				own = append(own, m)
			}
		}
		if family.Metric = own; len(own) > 0 {
			kept = append(kept, family)
		}
	}
	return kept, err
}

func (g ownSeries) owns(m *dto.Metric) bool {
	for _, label := range m.GetLabel() {
		if label.GetName() == "store" {
			return label.GetValue() == "" || label.GetValue() == g.store
		}
	}
	return true
}

// knownProcedure is the procedure at a path; what callers make up does not become a series.
func knownProcedure(path string) string {
	if path == eventsPath || path == metricsPath {
		return path
	}
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
	method, ok := found.(protoreflect.MethodDescriptor)
	// A name has one form as a path: of others there would be a series each.
	if err != nil || !ok || path != "/"+string(method.Parent().FullName())+"/"+string(method.Name()) {
		return "other"
	}
	return path
}

// appended counts what a call appended.
func (c *caller) appended(events int, repeated bool) {
	if !repeated {
		c.server.meter.appended.WithLabelValues(c.Name).Add(float64(events))
	}
}
