package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
)

// The tokenizer of the model's server counts all records of a small input, and a part of a large one, which corrects the estimate.
func TestTheServersTokenizerCorrectsTheEstimate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			Messages []struct {
				Content string `json:"content"`
			} `json:"messages"`
		}
		if r.URL.Path != "/tokenize" || json.UnmarshalRead(r.Body, &question) != nil || len(question.Messages) != 1 {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"count":%d}`, tokensOf(question.Messages[0].Content))
	}))
	defer server.Close()
	c, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	backend := config.Backend{URL: server.URL + "/v1"}
	c.Models = []config.Model{{ID: "qwen.qwen3-32b-v1:0", Backends: []config.Backend{backend}}}
	for _, records := range []int{1, sampleRecords, 3000} {
		var before float64
		for range 2 {
			a := &app{stderr: plain.NewWriter(t.Output())}
			b, err := a.newBodies(c, "qwen.qwen3-32b-v1:0", batholith.InvokeModel)
			if err != nil {
				t.Fatal(err)
			}
			truth := int64(0)
			for n := range records {
				text := strings.Repeat("word ", 1+n*7919%200)
				truth += tokensOf(text)
				if why := b.remark(jsonl.Line{Offset: int64(n * 1000), Input: fmt.Appendf(nil, `{"messages":[{"role":"user","content":%q}]}`, text)}); why != "" {
					t.Fatal(why)
				}
			}
			f := &validated{Records: int64(records), InputTokens: b.likely.Load() / 1000, LeastTokens: b.least.Load() / 1000, MostTokens: b.most.Load() / 1000}
			f.counted(b.sample.count(t.Context()))
			off := math.Abs(float64(f.InputTokens-truth)) / float64(truth)
			if records <= sampleRecords && (f.InputTokens != truth || f.LeastTokens != truth || f.MostTokens != truth) || off > 0.03 || f.Counted != int64(min(records, sampleRecords)) {
				t.Errorf("%d records: %d tokens (%d to %d) are estimated from %d of them, %d are right", records, f.InputTokens, f.LeastTokens, f.MostTokens, f.Counted, truth)
			}
			if got := float64(f.InputTokens); before != 0 && got != before {
				t.Errorf("the same input has %v tokens, then %v", before, got)
			}
			before = float64(f.InputTokens)
		}
	}
}

// tokensOf is a tokenizer that makes three tokens of five bytes.
func tokensOf(text string) int64 { return int64(len(text))*3/5 + 4 }

// hanging is a server that never answers.
type hanging struct{}

func (hanging) Count(ctx context.Context, _ batholith.Call) (int64, bool) {
	<-ctx.Done()
	return 0, false
}

// A server that does not answer holds validate up for a moment, and the estimate stays what it was.
func TestAServerThatHangsDoesNotHoldTheEstimateUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := dialect.For("anthropic", dialect.ProtocolOpenAI, batholith.InvokeModel, dialect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &tokenSample{model: "m", servers: []tokenCounter{hanging{}, hanging{}}, dialects: []dialect.Dialect{d, d}}
		for n := range 500 {
			s.see(jsonl.Line{Offset: int64(n), Input: []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`)}, 1000)
		}
		began := time.Now()
		f := &validated{Records: 500, InputTokens: 500, LeastTokens: 100, MostTokens: 900}
		f.counted(s.count(t.Context()))
		if took := time.Since(began); took > samplePatience || f.InputTokens != 500 || f.Counted != 0 || len(s.kept) != sampleRecords {
			t.Errorf("after %s: %+v, %d records are kept", took, f, len(s.kept))
		}
	})
}
