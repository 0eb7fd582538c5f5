package servers_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	runtime "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/batholith/batholith/tests/harness"
)

// told is what an answer says. pieces is the number of a stream's texts.
type told struct {
	text, stop    string
	input, output int32
	pieces        int
}

// conversed reads a ConverseStream to its end.
func conversed(t *testing.T, s *harness.Server, model, question string) (a told) {
	t.Helper()
	out, err := s.RuntimeClient().ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: &model,
		InferenceConfig: &runtime.InferenceConfiguration{MaxTokens: aws.Int32(90)},
		Messages:        []runtime.Message{{Role: runtime.ConversationRoleUser, Content: []runtime.ContentBlock{&runtime.ContentBlockMemberText{Value: question}}}}})
	if err != nil {
		t.Fatalf("%s: %v", model, err)
	}
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		switch e := e.(type) {
		case *runtime.ConverseStreamOutputMemberContentBlockDelta:
			if d, ok := e.Value.Delta.(*runtime.ContentBlockDeltaMemberText); ok {
				a.text += d.Value
				a.pieces++
			}
		case *runtime.ConverseStreamOutputMemberMessageStop:
			a.stop = string(e.Value.StopReason)
		case *runtime.ConverseStreamOutputMemberMetadata:
			a.input, a.output = aws.ToInt32(e.Value.Usage.InputTokens), aws.ToInt32(e.Value.Usage.OutputTokens)
		}
	}
	if err := stream.Err(); err != nil {
		t.Errorf("%s: %v", model, err)
	}
	return a
}

// generated reads a stream of Llama's chunks, whose requests are prompts that are templated already.
func generated(t *testing.T, s *harness.Server, model, body string) (a told) {
	t.Helper()
	out, err := s.RuntimeClient().InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &model, Body: []byte(body)})
	if err != nil {
		t.Fatalf("%s: %v", model, err)
	}
	stream := out.GetStream()
	defer stream.Close()
	for e := range stream.Events() {
		c, ok := e.(*runtime.ResponseStreamMemberChunk)
		if !ok {
			continue
		}
		var chunk struct {
			Generation string `json:"generation"`
			Stop       string `json:"stop_reason"`
			Output     int32  `json:"generation_token_count"`
		}
		if err := json.Unmarshal(c.Value.Bytes, &chunk); err != nil {
			t.Fatalf("%s: %s: %v", model, c.Value.Bytes, err)
		}
		if chunk.Generation != "" {
			a.pieces++
		}
		a.text, a.stop, a.output = a.text+chunk.Generation, chunk.Stop, chunk.Output
	}
	if err := stream.Err(); err != nil {
		t.Errorf("%s: %v", model, err)
	}
	return a
}

// A stream of llama.cpp says through each protocol what the whole answer of a job says, and comes in several pieces.
func TestStreamsOfARealEngineSayWhatItsWholeAnswersSay(t *testing.T) {
	needEngine(t)
	command := engine(t)
	settings := "models:\n"
	for _, p := range protocols() {
		settings += model(p.name+"-nova", "nova", p.name, command)
		if p.raw {
			settings += model(p.name+"-llama", "llama", p.name, command)
		}
	}
	s := harness.Start(t, settings)
	all := asked(t)
	questions := []string{all[0], all[len(all)/2], all[len(all)-1]} // of different kinds
	converse := func(q string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":%s}]}],"inferenceConfig":{"maxTokens":90}}`, q)
	}
	prompt := func(q string) string { return fmt.Sprintf(`{"prompt":%s,"max_gen_len":90}`, q) }
	for _, p := range protocols() {
		id := p.name + "-nova"
		whole := answers(t, s, create(s, id, input(questions, false, converse), types.ModelInvocationTypeConverse))
		for i, q := range questions {
			var w struct {
				Stop  string `json:"stopReason"`
				Usage struct {
					Input  int32 `json:"inputTokens"`
					Output int32 `json:"outputTokens"`
				} `json:"usage"`
			}
			if err := json.Unmarshal(whole[i].ModelOutput, &w); err != nil {
				t.Fatal(err)
			}
			want := told{at("output", "message", "content", "text")(string(whole[i].ModelOutput)), w.Stop, w.Usage.Input, w.Usage.Output, 0}
			compare(t, id, conversed(t, s, id, q), want)
		}
		if !p.raw {
			continue
		}
		id = p.name + "-llama"
		whole = answers(t, s, create(s, id, input(questions, true, prompt), types.ModelInvocationTypeInvokeModel))
		for i, q := range questions {
			var w struct {
				Text   string `json:"generation"`
				Stop   string `json:"stop_reason"`
				Output int32  `json:"generation_token_count"`
			}
			if err := json.Unmarshal(whole[i].ModelOutput, &w); err != nil {
				t.Fatal(err)
			}
			compare(t, id, generated(t, s, id, prompt(quoted(q, true))), told{w.Text, w.Stop, 0, w.Output, 0})
		}
	}
}

// compare compares a stream with a whole answer. A text of several tokens comes in several pieces.
func compare(t *testing.T, model string, stream, whole told) {
	t.Helper()
	pieces := stream.pieces
	stream.pieces = 0
	if stream != whole {
		t.Errorf("%s: the stream says %+v, the whole answer %+v", model, stream, whole)
	}
	if whole.text == "" || whole.output > 3 && pieces < 2 {
		t.Errorf("%s: %d pieces of %d tokens: %q", model, pieces, whole.output, whole.text)
	}
}
