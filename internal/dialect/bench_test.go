package dialect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// benchmark bodies are of the size that batch records have: a prompt of about a kilobyte, an answer of half of it.
var (
	benchPrompt = strings.Repeat(`The quick brown fox jumps over the \"lazy\" dog.\n`, 20)
	benchChat   = `{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,"model":"served","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		benchPrompt[:500] + `","refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"service_tier":null,"usage":{"prompt_tokens":220,"total_tokens":330,"completion_tokens":110,"prompt_tokens_details":{"cached_tokens":64}},"prompt_logprobs":null}`
	benchText  = `{"id":"cmpl-1","object":"text_completion","created":1,"model":"served","choices":[{"index":0,"text":"` + benchPrompt[:500] + `","logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}}`
	benchEmbed = `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[` + strings.Repeat("-0.03125000,", 1023) + `0.03125]}],"model":"served","usage":{"prompt_tokens":6,"total_tokens":6}}`
)

// BenchmarkRecord translates one record both ways; "floor" checks the same bytes to be JSON and copies them.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name, family string
		typ          batholith.InvocationType
		input        string
		answer       string
	}{
		{"anthropic", "anthropic", batholith.InvokeModel, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":256,"temperature":0.2,"system":"You are terse.","messages":[{"role":"user","content":[{"type":"text","text":"` + benchPrompt + `"}]}]}`, benchChat},
		{"converse", "anthropic", batholith.Converse, `{"system":[{"text":"You are terse."}],"messages":[{"role":"user","content":[{"text":"` + benchPrompt + `"}]}],"inferenceConfig":{"maxTokens":256,"temperature":0.2}}`, benchChat},
		{"openai", "openai", batholith.InvokeModel, `{"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"` + benchPrompt + `"}],"max_tokens":256,"temperature":0.2}`, benchChat},
		{"titan-text", "titan-text", batholith.InvokeModel, `{"inputText":"` + benchPrompt + `","textGenerationConfig":{"maxTokenCount":256}}`, benchChat},
		{"llama", "llama", batholith.InvokeModel, `{"prompt":"` + benchPrompt + `","max_gen_len":256}`, benchText},
		{"titan-embed", "titan-embed", batholith.InvokeModel, `{"inputText":"` + benchPrompt + `","dimensions":1024}`, benchEmbed},
	} {
		d, err := For(c.family, ProtocolOpenAI, c.typ, Options{Names: []string{"m"}})
		if err != nil {
			b.Fatal(err)
		}
		input, answer := []byte(c.input), []byte(c.answer)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call, err := d.Request(input, "served")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Answer(input, call, answer); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s-floor", c.name), func(b *testing.B) {
			for b.Loop() {
				for _, v := range []jsontext.Value{input, answer} {
					if !v.IsValid() {
						b.Fatal("not JSON")
					}
					v.Clone()
				}
			}
		})
	}
}

// BenchmarkPromptOf reads what is on the way of every record; "floor" looks for the end of the same bytes once.
func BenchmarkPromptOf(b *testing.B) {
	for name, input := range map[string]string{
		"anthropic": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":256,"temperature":0.2,"system":"You are terse.","messages":[{"role":"user","content":[{"type":"text","text":"` + benchPrompt + `"}]}]}`,
		"converse":  `{"system":[{"text":"You are terse."}],"messages":[{"role":"user","content":[{"text":"` + benchPrompt + `"}]}],"inferenceConfig":{"maxTokens":256,"temperature":0.2}}`,
		"openai":    `{"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"` + benchPrompt + `"}],"max_tokens":256,"temperature":0.2}`,
		"turns":     `{"messages":[` + strings.Repeat(`{"role":"user","content":[{"type":"text","text":"short"}]},{"role":"assistant","content":"short"},`, 50) + `{"role":"user","content":"go"}],"max_tokens":256}`,
		"titan":     `{"inputText":"` + benchPrompt + `","textGenerationConfig":{"maxTokenCount":256}}`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				PromptOf([]byte(input))
			}
		})
		b.Run(name+"-floor", func(b *testing.B) {
			for b.Loop() {
				skip(value(input), 0)
			}
		})
	}
}

// BenchmarkRequest makes the request of a body of a kilobyte and lets it go, as validation does; "weigh" is what it costs to estimate its tokens,
// "floor" a search for its quotes and a copy.
func BenchmarkRequest(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20)
	for _, c := range []struct{ name, family, input string }{
		{"anthropic", "anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"` + text + `"}]}`},
		{"blocks", "anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":256,"temperature":0.2,"system":"You are terse.","messages":[{"role":"user","content":[{"type":"text","text":"` + benchPrompt + `"}]}]}`},
		{"openai", "openai", `{"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"` + text + `"}],"max_tokens":64}`},
	} {
		d, err := For(c.family, ProtocolOpenAI, batholith.InvokeModel, Options{Names: []string{"m"}, Checked: true})
		if err != nil {
			b.Fatal(err)
		}
		input := []byte(c.input)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			b.ReportAllocs()
			for b.Loop() {
				call, err := d.Request(input, "m")
				if err != nil {
					b.Fatal(err)
				}
				Discard(call)
			}
		})
		b.Run(c.name+"-weigh", func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			for b.Loop() {
				Weigh(input)
			}
		})
		b.Run(c.name+"-prompt", func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			for b.Loop() {
				PromptOf(input)
			}
		})
		b.Run(c.name+"-floor", func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			out := make([]byte, 0, len(input))
			for b.Loop() {
				for rest := input; ; {
					n := bytes.IndexByte(rest, '"')
					if n < 0 {
						break
					}
					rest = rest[n+1:]
				}
				out = append(out[:0], input...)
			}
		})
	}
}
