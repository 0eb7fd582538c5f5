package control

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// Lists of batches neither repeat nor leave out one, also among jobs of the same millisecond and jobs that are no batches.
func TestPagesOfBatchesAreComplete(t *testing.T) {
	m := newMemory()
	at := time.UnixMilli(1_700_000_000_000)
	var want []string
	for n := range 23 {
		j := batholith.Job{ID: fmt.Sprintf("abcdefghij%02d", n), Account: "000000000000", Request: batholith.Request{Name: fmt.Sprint("openai-", n), InputLines: batholith.LinesOpenAI},
			Status: batholith.StatusSubmitted, Submitted: at.Add(time.Duration(n/5) * time.Millisecond)}
		if n%4 != 0 {
			j.Batch = &batholith.Batch{}
			want = append([]string{j.ID}, want...)
		}
		m.jobs = append(m.jobs, j)
	}
	a := New(Options{Store: m})
	ctx := bedrock.WithCaller(t.Context(), bedrock.Caller{Account: "000000000000", Principal: "alice"})
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := a.Batches(ctx, "openai-", after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page[:min(3, len(page))] {
			got = append(got, j.ID)
		}
		if len(page) <= 3 {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%v; want %v", got, want)
	}
	if _, err := a.Batches(bedrock.WithCaller(t.Context(), bedrock.Caller{Account: "111111111111"}), "openai-", want[0], 3); err == nil {
		t.Error("another account pages after a batch of this one")
	}
}

func TestTheFormOfLinesIsFixed(t *testing.T) {
	for _, key := range []string{batholith.InputTag, batholith.OutputTag} {
		if err := fixedTag(key); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
			t.Errorf("%s: %v", key, err)
		}
		if err := checkTagKeys([]batholith.Tag{{Key: key, Value: "xml"}}); err == nil {
			t.Errorf("%s=xml is taken", key)
		}
	}
	in := &bedrock.CreateModelInvocationJobInput{InputDataConfig: &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{}}, Tags: []bedrock.Tag{{Key: batholith.InputTag, Value: "openai"}}}
	if r := request(in); r.Type != batholith.ChatCompletions || r.InputLines != batholith.LinesOpenAI || r.OutputLines != batholith.LinesBedrock {
		t.Errorf("%+v", r)
	}
}
