// Package traces runs the real program with a receiver of OpenTelemetry's traces, and reads the spans that it gets.
package traces

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// receiver is a collector in the test's process.
type receiver struct {
	mu    sync.Mutex
	spans []*otlp.Span
	about map[string]string // of the resource
	keys  []string          // values of the header X-Key
}

// ServeHTTP takes an export.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var body io.Reader = q.Body
	if q.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(q.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	text, err := io.ReadAll(body)
	var export collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(text, &export)
	}
	if err != nil || q.URL.Path != "/v1/traces" {
		http.Error(w, "no export", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, q.Header.Get("X-Key"))
	for _, of := range export.ResourceSpans {
		r.about = attributes(of.Resource.Attributes)
		for _, scope := range of.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
}

// attributes are the attributes of a span as text.
func attributes(all []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range all {
		v := a.Value.GetStringValue()
		if v == "" {
			v = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(a.Value.String(), "int_value:"), "bool_value:"))
		}
		out[a.Key] = v
	}
	return out
}

// named returns the spans with a name.
func (r *receiver) named(name string) (found []*otlp.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// parents are the headers traceparent that a model server gets.
type parents struct {
	mu  sync.Mutex
	all []string
}

// over returns a handler that notes the header of each chat request, and passes it on.
func (p *parents) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/chat/completions") {
			p.mu.Lock()
			p.all = append(p.all, r.Header.Get("Traceparent"))
			p.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (p *parents) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.all...)
}

const (
	senderTrace = "0af7651916cd43dd8448eb211c80319c"
	senderSpan  = "b7ad6b7169203331"
)

// traced adds the sender's traceparent to a request of an SDK.
func traced(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("traceparent", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		in.Request.(*smithyhttp.Request).Header.Set("Traceparent", "00-"+senderTrace+"-"+senderSpan+"-01")
		return next.HandleBuild(ctx, in)
	}), middleware.After)
}

// A request to the API continues the trace of its sender; what its job does later is linked to it; each request to a model server carries the
// trace on; and a call is one trace from its sender to the model server.
func TestARequestIsFollowedFromItsSenderToTheModelServer(t *testing.T) {
	spans, headers := &receiver{}, &parents{}
	to := httptest.NewServer(spans)
	t.Cleanup(to.Close)
	witness := harness.NewWitness(t, 0)
	model := httptest.NewServer(headers.over(witness))
	t.Cleanup(model.Close)
	t.Setenv("TRACE_HEADERS", "X-Key=s3cret")
	s := harness.Start(t, "traces: {endpoint: '"+to.URL+"', sample: 1, headers_env: TRACE_HEADERS}\n"+harness.Model(model.URL+"/v1", ""))
	s.Put("a.jsonl", harness.Prompts(3))
	out, err := s.BedrockClient().CreateModelInvocationJob(t.Context(), s.Request("a.jsonl"), func(o *bedrock.Options) { o.APIOptions = append(o.APIOptions, traced) })
	if err != nil {
		t.Fatal(err)
	}
	s.End(*out.JobArn)
	records := headers.got()
	_, err = s.RuntimeClient().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("m"),
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello"}}}}},
		func(o *bedrockruntime.Options) { o.APIOptions = append(o.APIOptions, traced) })
	if err != nil {
		t.Fatal(err)
	}
	call := headers.got()[len(records)]
	if code := s.Stop(); code != 0 { // sends what waits
		t.Fatalf("the server ended with %d\n%s", code, s.Log())
	}

	created := spans.named("CreateModelInvocationJob")
	if len(created) != 1 || hex.EncodeToString(created[0].TraceId) != senderTrace || hex.EncodeToString(created[0].ParentSpanId) != senderSpan {
		t.Fatalf("the span of Create is not in the trace of its sender: %v", created)
	}
	linked := func(s *otlp.Span) {
		t.Helper()
		if len(s.Links) != 1 || hex.EncodeToString(s.Links[0].TraceId) != senderTrace || string(s.Links[0].SpanId) != string(created[0].SpanId) {
			t.Errorf("%s is not linked to the span of Create: %v", s.Name, s.Links)
		}
		if hex.EncodeToString(s.TraceId) == senderTrace {
			t.Errorf("%s is in the trace of the sender", s.Name)
		}
		if got := attributes(s.Attributes)["batholith.job.id"]; got != harness.ID(*out.JobArn) {
			t.Errorf("%s is of the job %q", s.Name, got)
		}
	}
	for _, name := range []string{"job Submitted", "job Validating", "job Scheduled", "job InProgress", "claim chunks", "publish output"} {
		got := spans.named(name)
		if len(got) != 1 {
			t.Errorf("%d spans are named %s", len(got), name)
			continue
		}
		linked(got[0])
		if got[0].EndTimeUnixNano < got[0].StartTimeUnixNano {
			t.Errorf("%s ends before it begins", name)
		}
	}

	requests := map[string]*otlp.Span{}
	for _, one := range spans.named("chat m") {
		requests["00-"+hex.EncodeToString(one.TraceId)+"-"+hex.EncodeToString(one.SpanId)+"-01"] = one
	}
	if len(records) != 3 || len(requests) != 4 {
		t.Errorf("%d requests for records, %d spans of requests", len(records), len(requests))
	}
	for _, parent := range records {
		one := requests[parent]
		if one == nil {
			t.Errorf("no span is %q, which the model server got", parent)
			continue
		}
		linked(one)
		got := attributes(one.Attributes)
		for name, want := range map[string]string{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "server.address": "127.0.0.1",
			"gen_ai.usage.input_tokens": "3", "gen_ai.usage.output_tokens": "2", "batholith.attempt": "1"} {
			if got[name] != want {
				t.Errorf("%s of a record is %q, want %q", name, got[name], want)
			}
		}
		for name, v := range got {
			if strings.Contains(v, "answer to") || v == "p0" {
				t.Errorf("%s has a prompt or an answer: %q", name, v)
			}
		}
	}

	converse := spans.named("Converse")
	if len(converse) != 1 || hex.EncodeToString(converse[0].TraceId) != senderTrace {
		t.Fatalf("the span of Converse is not in the trace of its sender: %v", converse)
	}
	if one := requests[call]; one == nil || string(one.ParentSpanId) != string(converse[0].SpanId) || hex.EncodeToString(one.TraceId) != senderTrace {
		t.Errorf("the model server got %q, which is no child of the call", call)
	}
	spans.mu.Lock()
	defer spans.mu.Unlock()
	if spans.about["service.name"] != "batholith" || spans.about["service.version"] == "" {
		t.Errorf("resource: %v", spans.about)
	}
	for _, key := range spans.keys {
		if key != "s3cret" {
			t.Errorf("an export has the header X-Key: %q", key)
		}
	}
}

// Without traces no request has the header, and a receiver that is away holds nothing up.
func TestTracesAreOffUntilTheyAreAskedForAndHoldNothingUp(t *testing.T) {
	for name, settings := range map[string]string{
		"off":  "",
		"away": "traces: {endpoint: 'http://127.0.0.1:1', sample: 0}\n",
	} {
		t.Run(name, func(t *testing.T) {
			headers := &parents{}
			model := httptest.NewServer(headers.over(harness.NewWitness(t, 0)))
			t.Cleanup(model.Close)
			s := harness.Start(t, settings+harness.Model(model.URL+"/v1", ""))
			s.Put("a.jsonl", harness.Prompts(50))
			s.End(s.Create("a.jsonl"))
			if code := s.Stop(); code != 0 {
				t.Errorf("the server ended with %d\n%s", code, s.Log())
			}
			for _, parent := range headers.got() {
				if parent != "" {
					t.Errorf("a request has the header %q", parent)
				}
			}
		})
	}
}
