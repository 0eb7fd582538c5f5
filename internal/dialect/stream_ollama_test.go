package dialect

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// overOllama returns the dialects of the streamed families for Ollama, each with its request.
func overOllama(t fatal, visit func(f streamed, d Streamer, call batholith.Call)) {
	for _, f := range streamedFamilies {
		made, err := For(f.family, ProtocolOllama, cmp.Or(f.typ, batholith.InvokeModel), Options{Names: []string{f.family + ".model"}})
		if err != nil {
			t.Fatalf("%v", err)
		}
		call, err := made.(Streamer).StreamRequest([]byte(f.input), "served")
		if err != nil {
			t.Fatalf("%v", err)
		}
		visit(f, made.(Streamer), call)
	}
}

// line is a line of /api/chat or /api/generate: with the content of a message, and whether it is the last.
func (a answerOf) line(generate bool, text, thought string, calls []string, done bool) []byte {
	said := fmt.Sprintf(`"message":{"role":"assistant","content":%s`, quotedText(text))
	if thought != "" {
		said += `,"thinking":` + quotedText(thought)
	}
	if len(calls) > 0 {
		said += `,"tool_calls":[` + strings.Join(calls, ",") + `]`
	}
	said += "}"
	if generate {
		said = `"response":` + quotedText(text)
	}
	end := ""
	if done {
		if a.finish != "" {
			end = `,"done_reason":` + quotedText(a.finish)
		}
		if a.usage {
			end += `,"total_duration":9,"prompt_eval_count":7,"eval_count":5`
		}
	}
	return fmt.Appendf(nil, `{"model":"m","created_at":"2026-01-01T00:00:00Z",%s,"done":%v%s}`, said, done, end)
}

// ollamaLines are an answer as a stream, and whole.
func (a answerOf) ollamaLines(t *rapid.T, generate bool) (all [][]byte, whole []byte) {
	for _, p := range a.thought {
		all = append(all, a.line(generate, "", p, nil, false))
	}
	for _, p := range a.text {
		all = append(all, a.line(generate, p, "", nil, false))
	}
	var calls []string
	for i, c := range a.calls {
		id := fmt.Sprintf(`"id":"c%d",`, i)
		if rapid.Bool().Draw(t, "no id") { // before 0.12
			id = ""
		}
		calls = append(calls, fmt.Sprintf(`{%s"function":{"index":0,"name":"f%d","arguments":%s}}`, id, i, strings.Join(c, "")))
	}
	together := rapid.IntRange(1, 3).Draw(t, "calls in a line")
	for rest := calls; len(rest) > 0; rest = rest[min(together, len(rest)):] {
		all = append(all, a.line(generate, "", "", rest[:min(together, len(rest))], false))
	}
	return append(all, a.line(generate, "", "", nil, true)), a.line(generate, strings.Join(a.text, ""), strings.Join(a.thought, ""), calls, true)
}

// TestStreamsOfOllamaSayWhatTheWholeAnswerSays is the law of streams for Ollama's protocol: each line is passed on as it comes, the joined events say
// what the whole answer says, a stream that is cut before its last line is none, and a server that does not stream is one event.
func TestStreamsOfOllamaSayWhatTheWholeAnswerSays(t *testing.T) {
	type asked struct {
		streamed
		d    Streamer
		call batholith.Call
	}
	var all []asked
	overOllama(t, func(f streamed, d Streamer, call batholith.Call) {
		if n := strings.Count(string(call.Body), `"stream"`); n != 1 || !strings.HasSuffix(string(call.Body), `,"stream":true}`) || !strings.HasPrefix(string(call.Body), `{"options":{"num_ctx":`) {
			t.Errorf("%s: %s", f.family, call.Body)
		}
		all = append(all, asked{f, d, call})
	})
	rapid.Check(t, func(tt *rapid.T) {
		f := all[rapid.IntRange(0, len(all)-1).Draw(tt, "family")] // what they write has a law of its own
		input := []byte(f.input)
		a := someAnswer(tt)
		a.finish = rapid.SampledFrom([]string{"stop", "length", "", "load", "abort"}).Draw(tt, "reason")
		for i := range a.calls {
			args := rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"a":{"b":["\"}"]}}`, "null", `"{\"a\":2}"`, "7", `"{\"a\":"`})
			a.calls[i] = []string{args.Filter(func(s string) bool { return a.finish != "length" || s[0] == '{' }).Draw(tt, "arguments")} // calls that are cut have a test of their own
		}
		chunks, body := a.ollamaLines(tt, f.call.Path == ollamaGeneratePath)
		answer, wrong := f.d.Answer(input, f.call, body)
		for name, chunks := range map[string][][]byte{"stream": chunks, "one event": {body}} {
			s := f.d.NewStream(input, f.call)
			events, streamed, err := run(s, chunks)
			if (wrong == nil) != (err == nil) {
				tt.Fatalf("%s, whole %s: %v\n%s %s: %v", f.family, body, wrong, name, bytes.Join(chunks, []byte("\n")), err)
			}
			if err != nil {
				continue
			}
			for _, e := range events {
				wholesome(t, f.family, e.Payload)
			}
			want, got := f.whole(tt, decoded(tt, answer.Output)), f.joined(tt, events)
			if !gocmp.Equal(want, got, cmpopts.EquateEmpty()) || answer.Tokens != streamed.Tokens || answer.Model != streamed.Model || !s.Done() {
				tt.Fatalf("%s, %s (-whole +joined):\n%s\n%s\n%s", f.family, name, gocmp.Diff(want, got, cmpopts.EquateEmpty()), bytes.Join(chunks, []byte("\n")), payloads(events))
			}
		}
		n := rapid.IntRange(0, len(chunks)-1).Draw(tt, "lines before the cut")
		if _, _, err := run(f.d.NewStream(input, f.call), chunks[:n]); err == nil {
			tt.Fatalf("%s: cut after %d lines, it ends as an answer: %s", f.family, n, bytes.Join(chunks, []byte("\n")))
		}
	})
}

// TestWordsOfOllamaArePassedOnAsTheyCome: each line with text is an event before the next one is read.
func TestWordsOfOllamaArePassedOnAsTheyCome(t *testing.T) {
	overOllama(t, func(f streamed, d Streamer, call batholith.Call) {
		s := d.NewStream([]byte(f.input), call)
		for _, word := range []string{"one", "two"} {
			events, err := s.Event(answerOf{}.line(call.Path == ollamaGeneratePath, word, "", nil, false))
			if err != nil || !strings.Contains(payloads(events), word) {
				t.Errorf("%s: %q: %v, %v", f.family, word, payloads(events), err)
			}
		}
	})
}

// TestBrokenStreamsOfOllamaNeverEndAsAnswers: an error in the middle, a line that is no JSON, an end that is none.
func TestBrokenStreamsOfOllamaNeverEndAsAnswers(t *testing.T) {
	for name, lines := range map[string][]string{
		"cut off":            {`{"SAID","done":false}`},
		"an error":           {`{"SAID","done":false}`, `{"error":"an error was encountered while running the model: unexpected EOF"}`},
		"an error at first":  {`{"error":"model requires more system memory"}`},
		"a torn line":        {`{"SAID","done":false}`, `{"message":{"content":"ha`},
		"no message":         {`{"model":"m","done":true,"done_reason":"stop"}`},
		"nothing at all":     {``},
		"it was only loaded": {`{"SAID","done":true,"done_reason":"load"}`},
		"a list":             {`{"SAID","done":false}`, `[]`},
		"text as a number":   {`{"message":7,"response":7,"done":true}`},
	} {
		overOllama(t, func(f streamed, d Streamer, call batholith.Call) {
			said := `"message":{"content":"half"}`
			if call.Path == ollamaGeneratePath {
				said = `"response":"half"`
			}
			var chunks [][]byte
			for _, l := range lines {
				chunks = append(chunks, []byte(strings.ReplaceAll(l, `"SAID"`, said)))
			}
			if events, _, err := run(d.NewStream([]byte(f.input), call), chunks); err == nil {
				t.Errorf("%s, %s: %s", f.family, name, payloads(events))
			}
		})
	}
}

// TestStreamsOfAFormatFailAsWholeAnswersDo: servers that ignore the wish for JSON are seen in a stream too.
func TestStreamsOfAFormatFailAsWholeAnswersDo(t *testing.T) {
	input := []byte(`{"messages":[{"role":"user","content":"Hello"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}}`)
	for protocol, lines := range map[string]string{
		ProtocolOllama: `{"message":{"content":"TEXT"},"done":false}
			{"message":{"content":""},"done":true,"done_reason":"REASON"}`,
		ProtocolAnthropic: `{"type":"message_start","message":{"id":"x","usage":{}}}
			{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
			{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}
			{"type":"content_block_stop","index":0}
			{"type":"message_delta","delta":{"stop_reason":"REASON"},"usage":{}}`,
	} {
		d, err := For("openai", protocol, batholith.InvokeModel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.(Streamer).StreamRequest(input, "m")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			text, reason string
			ok           bool
		}{{`{\"a\":1}`, "stop", true}, {`{}`, "end_turn", true}, {"Hello", "stop", false}, {"Hello", "end_turn", false}, {`{\"a\":`, "length", true}} {
			var chunks [][]byte
			for line := range strings.Lines(strings.NewReplacer("TEXT", c.text, "REASON", c.reason).Replace(lines)) {
				chunks = append(chunks, []byte(line))
			}
			if _, _, err := run(d.(Streamer).NewStream(input, call), chunks); (err == nil) != c.ok {
				t.Errorf("%s, %+v: %v", protocol, c, err)
			}
		}
	}
}
