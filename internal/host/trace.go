package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe/internal/setting"
)

// Logger writes a structured log; level and format are of setting.LogLevels and setting.LogFormats.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	o := &slog.HandlerOptions{Level: from}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// flush bounds how long traces may take to leave at the end.
const flush = 5 * time.Second

// Traces sends spans to the collector that the environment names, by the variables of OpenTelemetry; without one there
// are none: nil. close sends what is left; that traces are lost is logged, and fails nothing.
func Traces(ctx context.Context, environ []string, version string, log *slog.Logger) (
	traces trace.TracerProvider, close func(), err error,
) {
	if setting.Variable(environ, "OTEL_EXPORTER_OTLP_ENDPOINT") == "" &&
		setting.Variable(environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open traces: %w", err)
	}
	who, err := resource.Merge(
		resource.NewSchemaless(attribute.String("service.name", "lethe"), attribute.String("service.version", version)),
		resource.Environment()) // which may name the service otherwise
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open traces: %w", err), exporter.Shutdown(ctx))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "cause", err.Error()) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(who))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			otel.Handle(err)
		}
	}, nil
}
