package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/batholith/batholith"
)

// Traces sends spans to an OpenTelemetry collector. It is safe for concurrent use.
//
// A request to the API is a span in the trace of its sender (traceparent), or in a new one. A job outlives its requests by hours, so its spans
// are not in that trace: each is the root of a trace of its own with a link to the span of its Create. They are the times that the job spent in
// each status, its publications, and of its records a share (TraceOptions.Sample): one span for each request to a model server, which gets it as
// traceparent. An interactive call's request to the server is a child of the call's span.
//
// Spans wait in a bounded queue and are sent in the background. What does not fit is dropped, and nothing waits for the collector.
type Traces struct {
	all, some   *sdktrace.TracerProvider // some: a share of the records
	tracer      trace.Tracer
	records     trace.Tracer
	propagation propagation.TraceContext

	mu    sync.Mutex
	moved map[string]time.Time // latest move of a job that has not ended, by id; at most mostMoved
}

// mostMoved bounds the jobs whose latest move is remembered. The span of a status of any further job has no length.
const mostMoved = 100_000

// TraceOptions configure Traces.
type TraceOptions struct {
	// Endpoint is the URL of a collector that accepts OTLP over HTTP; without a path, /v1/traces. "": that of the standard OTEL_ variables.
	Endpoint string
	Headers  map[string]string // of each request to it; nil: those of the standard variables
	Sample   float64           // share of the requests for records that are traced, 0 to 1
	Version  string
	Instance string // id of the process
	Log      *slog.Logger
}

// OpenTraces starts to send spans. It does not wait for the collector.
func OpenTraces(ctx context.Context, o TraceOptions) (*Traces, error) {
	var to []otlptracehttp.Option
	if o.Endpoint != "" {
		to = append(to, otlptracehttp.WithEndpointURL(endpointOf(o.Endpoint)))
	}
	if len(o.Headers) > 0 {
		to = append(to, otlptracehttp.WithHeaders(o.Headers))
	}
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, fmt.Errorf("open the export of traces: %w", err)
	}
	otel.SetErrorHandler(&faults{log: o.Log})
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "batholith"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Instance)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe the process for traces: %w", err)
	}
	queue := sdktrace.NewBatchSpanProcessor(exporter)
	t := &Traces{moved: map[string]time.Time{},
		all:  sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSpanProcessor(queue)),
		some: sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSpanProcessor(queue), sdktrace.WithSampler(sdktrace.TraceIDRatioBased(o.Sample)))}
	t.tracer, t.records = t.all.Tracer("batholith"), t.some.Tracer("batholith")
	return t, nil
}

// endpointOf adds the standard path to a URL without one.
func endpointOf(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok && !strings.Contains(strings.TrimSuffix(rest, "/"), "/") {
		return strings.TrimSuffix(url, "/") + "/v1/traces"
	}
	return url
}

// faults logs the errors of the export, at most one a minute.
type faults struct {
	log  *slog.Logger
	mu   sync.Mutex
	told time.Time
}

// Handle implements otel.ErrorHandler.
func (f *faults) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.told) < time.Minute {
		return
	}
	f.told = time.Now()
	f.log.Warn("spans are lost, because the collector does not accept them; check its address and headers. Nothing waits for the collector", "err", err)
}

// Close sends what waits, until ctx ends.
func (t *Traces) Close(ctx context.Context) error {
	return errors.Join(t.all.Shutdown(ctx), t.some.Shutdown(ctx))
}

// Handler returns a handler whose requests are spans, in the traces of their senders.
func (t *Traces) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := t.propagation.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String("http.request.method", r.Method)))
		defer func() {
			if id := w.Header().Get("x-amzn-RequestId"); id != "" {
				span.SetAttributes(attribute.String("aws.request_id", id))
			}
			if code := w.Header().Get("x-amzn-ErrorType"); code != "" {
				span.SetAttributes(attribute.String("error.type", code))
				span.SetStatus(codes.Error, code)
			}
			span.End()
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Known names the span of a request, when its operation is known.
func (t *Traces) Known(ctx context.Context, operation string) {
	span := trace.SpanFromContext(ctx)
	span.SetName(operation)
	span.SetAttributes(attribute.String("rpc.method", operation))
}

// Of returns the trace context of a request, for the job that it creates; "": it is in no trace.
func (t *Traces) Of(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	t.propagation.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// link returns the option that links a span to the request that created a job.
func (t *Traces) link(parent string) trace.SpanStartOption {
	of := trace.SpanContextFromContext(t.propagation.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent}))
	if !of.IsValid() {
		return trace.WithLinks()
	}
	return trace.WithLinks(trace.Link{SpanContext: of})
}

// Record implements dispatch.Tracer.
func (t *Traces) Record(parent string, at batholith.Attempt) (string, func(batholith.Tokens, error)) {
	ctx, span := t.records.Start(context.Background(), Operation(at.Path)+" "+at.Model, trace.WithNewRoot(), t.link(parent), trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return "", nil
	}
	span.SetAttributes(attribute.String("batholith.job.id", at.Job), attribute.Int("batholith.record.file", at.Record.File), attribute.Int64("batholith.record.number", at.Record.Record),
		attribute.Int("batholith.attempt", at.Number))
	return t.request(ctx, span, at)
}

// Call implements dispatch.Tracer.
func (t *Traces) Call(ctx context.Context, at batholith.Attempt) (string, func(batholith.Tokens, error)) {
	ctx, span := t.tracer.Start(ctx, Operation(at.Path)+" "+at.Model, trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return "", nil
	}
	return t.request(ctx, span, at)
}

// request describes a span of a request to a model server, and returns its traceparent and its end.
func (t *Traces) request(ctx context.Context, span trace.Span, at batholith.Attempt) (string, func(batholith.Tokens, error)) {
	host, port := split(at.Backend)
	span.SetAttributes(attribute.String("gen_ai.operation.name", Operation(at.Path)), attribute.String("gen_ai.provider.name", Provider(at.Protocol)),
		attribute.String("gen_ai.request.model", at.Model), attribute.String("server.address", host))
	if port != "" {
		span.SetAttributes(attribute.String("server.port", port))
	}
	return t.Of(ctx), func(tokens batholith.Tokens, err error) {
		if err == nil {
			span.SetAttributes(attribute.Int64("gen_ai.usage.input_tokens", tokens.Input), attribute.Int64("gen_ai.usage.output_tokens", tokens.Output))
		} else {
			kind, why := faultOf(err)
			span.SetAttributes(attribute.String("error.type", kind))
			span.SetStatus(codes.Error, why)
		}
		span.End()
	}
}

// faultOf returns the kind of a failed request, and why it failed, without a byte of the server or of the record.
func faultOf(err error) (kind, why string) {
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return endOf(f), f.Reason()
	}
	if e, ok := errors.AsType[*batholith.RecordError](err); ok {
		return "bad_record", fmt.Sprintf("HTTP %d", e.Code)
	}
	return "cancelled", ""
}

// Listener makes spans of a job's statuses, claims and publications.
func (t *Traces) Listener() batholith.Listener {
	return batholith.Listener{Moved: t.move, Published: t.published, Claimed: t.claimed}
}

// move ends the span of the status that a job has left. The span is made only now, with its beginning: a job may change its process meanwhile.
func (t *Traces) move(m batholith.Moved) {
	t.mu.Lock()
	began, ok := t.moved[m.Job]
	switch {
	case m.To.Terminal():
		delete(t.moved, m.Job)
	case ok || len(t.moved) < mostMoved:
		t.moved[m.Job] = m.At
	}
	t.mu.Unlock()
	if !ok {
		if began = m.At; m.From == batholith.StatusSubmitted {
			began = m.Submitted
		}
	}
	t.past("job "+string(m.From), m.Job, m.Model, m.Trace, began, m.At, attribute.String("batholith.job.next_status", string(m.To)))
}

func (t *Traces) published(p batholith.Published) {
	now := time.Now()
	t.past("publish output", p.Job, p.Model, p.Trace, now.Add(-p.Took), now, attribute.Bool("batholith.publication.final", p.Final), attribute.Int("batholith.publication.files", p.Files),
		attribute.Int64("batholith.publication.bytes", p.Bytes))
}

// claimed makes a span of a claim. A large job has many, so they are traced in the share of the records.
func (t *Traces) claimed(c batholith.Claimed) {
	now := time.Now()
	pastOf(t.records, t.link(c.Trace), "claim chunks", c.Job, c.Model, now.Add(-c.Took), now, attribute.Int("batholith.claim.chunks", c.Chunks),
		attribute.Int64("batholith.claim.records", c.Records), attribute.Bool("batholith.claim.sample", c.Sample))
}

// past makes a span of a job that is over.
func (t *Traces) past(name, job, model, parent string, began, ended time.Time, more ...attribute.KeyValue) {
	pastOf(t.tracer, t.link(parent), name, job, model, began, ended, more...)
}

// pastOf is past with a tracer.
func pastOf(tracer trace.Tracer, link trace.SpanStartOption, name, job, model string, began, ended time.Time, more ...attribute.KeyValue) {
	_, span := tracer.Start(context.Background(), name, trace.WithNewRoot(), link, trace.WithTimestamp(began),
		trace.WithAttributes(append(more, attribute.String("batholith.job.id", job), attribute.String("gen_ai.request.model", model))...))
	span.End(trace.WithTimestamp(ended))
}

// Both is a listener that tells both of the events of jobs: a Moved and a Published. A claim is told to b alone; the others are a's.
func Both(a, b batholith.Listener) batholith.Listener {
	moved, published := a.Moved, a.Published
	a.Claimed = b.Claimed
	a.Moved = func(m batholith.Moved) {
		for _, f := range []func(batholith.Moved){moved, b.Moved} {
			if f != nil {
				f(m)
			}
		}
	}
	a.Published = func(p batholith.Published) {
		for _, f := range []func(batholith.Published){published, b.Published} {
			if f != nil {
				f(p)
			}
		}
	}
	return a
}
