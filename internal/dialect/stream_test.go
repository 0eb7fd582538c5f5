package dialect

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// said is what an answer says, in no family's words: what must be the same in a stream and in the whole answer.
type said struct {
	Text, Thought, Stop, Sequence string
	Calls                         []saidCall
	Tokens                        map[string]float64
}

type saidCall struct {
	ID, Name string
	Input    any
}

type jsonObject = map[string]any

// dig returns a member of nested objects and lists, or nil.
func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(jsonObject)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func digText(v any, path ...any) string { s, _ := dig(v, path...).(string); return s }

// counts returns the numbers of a usage object.
func counts(v any) map[string]float64 {
	all := map[string]float64{}
	m, _ := v.(jsonObject)
	for name, n := range m {
		if f, ok := n.(float64); ok {
			all[name] = f
		}
	}
	return all
}

func decoded(t fatal, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

type fatal interface {
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// streamed is a family with a body of its own, and two readers: of its whole answers, and of its streams.
type streamed struct {
	family, input string
	typ           batholith.InvocationType
	whole         func(t fatal, out any) said
	joined        func(t fatal, events []Event) said
}

var streamedFamilies = []streamed{
	{"anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hello"}],"stop_sequences":["END"]}`, batholith.InvokeModel, wholeAnthropic, joinedAnthropic},
	{"nova", `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"stopSequences":["END"]}}`, batholith.InvokeModel, wholeConverse, joinedNova},
	{"openai", `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"stopSequences":["END"]}}`, batholith.Converse, wholeConverse, joinedConverse},
	{"titan-text", `{"inputText":"Hello","textGenerationConfig":{"stopSequences":["END"]}}`, batholith.InvokeModel, wholeTitan, joinedTitan},
	{"llama", `{"prompt":"Hello"}`, batholith.InvokeModel, wholeLlama, joinedLlama},
	{"mistral", `{"prompt":"Hello"}`, batholith.InvokeModel, wholeList("outputs"), joinedList("outputs")},
	{"mistral", `{"messages":[{"role":"user","content":"Hello"}]}`, batholith.InvokeModel, wholeOpenAI, joinedOpenAI},
	{"cohere", `{"message":"Hello"}`, batholith.InvokeModel, wholeCohere, joinedCohere},
	{"jamba", `{"messages":[{"role":"user","content":"Hello"}]}`, batholith.InvokeModel, wholeOpenAI, joinedOpenAI},
	{"deepseek-r1", `{"prompt":"Hello"}`, batholith.InvokeModel, wholeList("choices"), joinedList("choices")},
	{"openai", `{"messages":[{"role":"user","content":"Hello"}],"stream":true}`, batholith.InvokeModel, wholeOpenAI, joinedOpenAI},
	{"gpt-oss", `{"messages":[{"role":"user","content":"Hello"}]}`, batholith.InvokeModel, wholeOpenAI, joinedOpenAI},
	{"anthropic", `{"prompt":"\n\nHuman: Hello\n\nAssistant:","max_tokens_to_sample":9}`, batholith.InvokeModel, wholeClaudeText, joinedClaudeText},
	{"llama", `{"input":"Hello"}`, Responses, wholeResponses, joinedResponses},
	{"llama", `{"messages":[{"role":"user","content":"Hello"}],"stream":true}`, ChatCompletions, wholeOpenAI, joinedOpenAI},
	{"llama", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`, Messages, wholeAnthropic, joinedAnthropic},
}

func wholeAnthropic(_ fatal, out any) (s said) {
	for i := 0; dig(out, "content", i) != nil; i++ {
		b := dig(out, "content", i)
		s.Text += digText(b, "text")
		s.Thought += digText(b, "thinking")
		if dig(b, "type") == "tool_use" {
			s.Calls = append(s.Calls, saidCall{digText(b, "id"), digText(b, "name"), dig(b, "input")})
		}
	}
	s.Stop, s.Sequence, s.Tokens = digText(out, "stop_reason"), digText(out, "stop_sequence"), counts(dig(out, "usage"))
	return s
}

// joinedAnthropic joins events as Anthropic's SDKs do, and checks their order.
func joinedAnthropic(t fatal, events []Event) said {
	var message jsonObject
	var content []any
	open, ended := -1, false
	args := map[int]string{}
	for i, e := range events {
		v := decoded(t, e.Payload)
		if digText(v, "type") != e.Type {
			t.Fatalf("event %s is %s", e.Type, e.Payload)
		}
		at, _ := dig(v, "index").(float64)
		switch e.Type {
		case "message_start":
			message, _ = dig(v, "message").(jsonObject)
		case "content_block_start":
			if open >= 0 || int(at) != len(content) {
				t.Fatalf("block %v begins out of order", at)
			}
			open, content = int(at), append(content, dig(v, "content_block"))
		case "content_block_delta":
			if open != int(at) {
				t.Fatalf("a delta of block %v while %d is open", at, open)
			}
			b := content[open].(jsonObject)
			switch digText(v, "delta", "type") {
			case "text_delta":
				b["text"] = digText(b, "text") + digText(v, "delta", "text")
			case "thinking_delta":
				b["thinking"] = digText(b, "thinking") + digText(v, "delta", "thinking")
			case "input_json_delta":
				args[open] += digText(v, "delta", "partial_json")
			}
		case "content_block_stop":
			if open != int(at) {
				t.Fatalf("block %v ends while %d is open", at, open)
			}
			if b := content[open].(jsonObject); b["type"] == "tool_use" && args[open] != "" {
				b["input"] = decoded(t, []byte(args[open]))
			}
			open = -1
		case "message_delta":
			maps.Copy(message["usage"].(jsonObject), dig(v, "usage").(jsonObject)) // cumulative
			maps.Copy(message, dig(v, "delta").(jsonObject))
		case "message_stop":
			ended = i == len(events)-1 && dig(v, "amazon-bedrock-invocationMetrics", "outputTokenCount") != nil
		}
	}
	if open >= 0 || !ended {
		t.Fatalf("the stream does not end")
	}
	message["content"] = content
	return wholeAnthropic(t, any(message))
}

func wholeConverse(_ fatal, out any) (s said) {
	for i := 0; dig(out, "output", "message", "content", i) != nil; i++ {
		b := dig(out, "output", "message", "content", i)
		s.Text += digText(b, "text")
		s.Thought += digText(b, "reasoningContent", "reasoningText", "text")
		if c := dig(b, "toolUse"); c != nil {
			s.Calls = append(s.Calls, saidCall{digText(c, "toolUseId"), digText(c, "name"), dig(c, "input")})
		}
	}
	s.Stop, s.Tokens = digText(out, "stopReason"), counts(dig(out, "usage"))
	return s
}

func joinedNova(t fatal, events []Event) said {
	var plain []Event
	for i, e := range events {
		v := decoded(t, e.Payload).(jsonObject)
		if e.Type != "chunk" || (i == len(events)-1) != (v["amazon-bedrock-invocationMetrics"] != nil) {
			t.Fatalf("chunk %d of %d: %s %s", i, len(events), e.Type, e.Payload)
		}
		delete(v, "amazon-bedrock-invocationMetrics")
		for name, m := range v {
			b, _ := json.Marshal(m)
			plain = append(plain, Event{name, b})
		}
	}
	return joinedConverse(t, plain)
}

func joinedConverse(t fatal, events []Event) (s said) {
	open, last := -1, ""
	args := map[int]string{}
	for _, e := range events {
		v := decoded(t, e.Payload)
		at, _ := dig(v, "contentBlockIndex").(float64)
		switch last = e.Type; e.Type {
		case "contentBlockStart":
			s.Calls = append(s.Calls, saidCall{ID: digText(v, "start", "toolUse", "toolUseId"), Name: digText(v, "start", "toolUse", "name")})
			open = int(at)
		case "contentBlockDelta":
			if open >= 0 && open != int(at) {
				t.Fatalf("a delta of block %v while %d is open", at, open)
			}
			open = int(at)
			s.Text += digText(v, "delta", "text")
			s.Thought += digText(v, "delta", "reasoningContent", "text")
			args[open] += digText(v, "delta", "toolUse", "input")
		case "contentBlockStop":
			if open != int(at) {
				t.Fatalf("block %v ends while %d is open", at, open)
			}
			if a := args[open]; a != "" {
				s.Calls[len(s.Calls)-1].Input = decoded(t, []byte(a))
			}
			open = -1
		case "messageStop":
			s.Stop = digText(v, "stopReason")
		case "metadata":
			s.Tokens = counts(dig(v, "usage"))
		}
	}
	if open >= 0 || last != "metadata" {
		t.Fatalf("the stream ends with %s", last)
	}
	return s
}

func wholeTitan(_ fatal, out any) said {
	return said{Text: digText(out, "results", 0, "outputText"), Stop: digText(out, "results", 0, "completionReason"),
		Tokens: map[string]float64{"in": dig(out, "inputTextTokenCount").(float64), "out": dig(out, "results", 0, "tokenCount").(float64)}}
}

func joinedTitan(t fatal, events []Event) (s said) {
	last := eachChunk(t, events, func(v any) { s.Text += digText(v, "outputText") })
	s.Stop = digText(last, "completionReason")
	s.Tokens = map[string]float64{"in": dig(last, "inputTextTokenCount").(float64), "out": dig(last, "totalOutputTextTokenCount").(float64)}
	return s
}

// eachChunk visits chunks, of which only the last has metrics.
func eachChunk(t fatal, events []Event, visit func(v any)) (last any) {
	for i, e := range events {
		last = decoded(t, e.Payload)
		if (i == len(events)-1) != (dig(last, "amazon-bedrock-invocationMetrics") != nil) {
			t.Fatalf("chunk %d of %d: %s", i, len(events), e.Payload)
		}
		visit(last)
	}
	return last
}

func wholeLlama(_ fatal, out any) said {
	return said{Text: digText(out, "generation"), Stop: digText(out, "stop_reason"),
		Tokens: map[string]float64{"in": dig(out, "prompt_token_count").(float64), "out": dig(out, "generation_token_count").(float64)}}
}

func joinedLlama(t fatal, events []Event) (s said) {
	text := ""
	last := eachChunk(t, events, func(v any) { text += digText(v, "generation") })
	s = wholeLlama(t, last)
	s.Text = text
	return s
}

func wholeList(name string) func(fatal, any) said {
	return func(_ fatal, out any) said {
		return said{Text: digText(out, name, 0, "text"), Stop: digText(out, name, 0, "stop_reason")}
	}
}

func joinedList(name string) func(fatal, []Event) said {
	return func(t fatal, events []Event) (s said) {
		text := ""
		last := eachChunk(t, events, func(v any) { text += digText(v, name, 0, "text") })
		return said{Text: text, Stop: digText(last, name, 0, "stop_reason")}
	}
}

func wholeCohere(_ fatal, out any) said {
	s := said{Text: digText(out, "text"), Stop: digText(out, "finish_reason"), Tokens: counts(dig(out, "meta", "billed_units"))}
	for i := 0; dig(out, "tool_calls", i) != nil; i++ {
		s.Calls = append(s.Calls, saidCall{"", digText(out, "tool_calls", i, "name"), dig(out, "tool_calls", i, "parameters")})
	}
	return s
}

func joinedCohere(t fatal, events []Event) said {
	text := ""
	var calls any
	last := eachChunk(t, events, func(v any) {
		if dig(v, "event_type") == "text-generation" {
			text += digText(v, "text")
		}
		if dig(v, "event_type") == "tool-calls-generation" {
			calls = dig(v, "tool_calls")
		}
	})
	if dig(decoded(t, events[0].Payload), "event_type") != "stream-start" || dig(last, "event_type") != "stream-end" {
		t.Fatalf("the stream has no start or end")
	}
	out := dig(last, "response").(jsonObject)
	if text != digText(out, "text") {
		t.Fatalf("the end has the text %q, the chunks have %q", digText(out, "text"), text)
	}
	if out["tool_calls"] = calls; calls == nil {
		delete(out, "tool_calls")
	}
	out["finish_reason"] = dig(last, "finish_reason")
	return wholeCohere(t, any(out))
}

func wholeClaudeText(_ fatal, out any) said {
	return said{Text: digText(out, "completion"), Stop: digText(out, "stop_reason"), Sequence: digText(out, "stop")}
}

func joinedClaudeText(t fatal, events []Event) said {
	text := ""
	last := eachChunk(t, events, func(v any) { text += digText(v, "completion") })
	s := wholeClaudeText(t, last)
	s.Text = text
	return s
}

func wholeOpenAI(t fatal, out any) (s said) {
	m := dig(out, "choices", 0, "message")
	s.Text, s.Thought = digText(m, "content"), digText(m, "reasoning_content")
	for i := 0; dig(m, "tool_calls", i) != nil; i++ {
		c := dig(m, "tool_calls", i)
		s.Calls = append(s.Calls, saidCall{digText(c, "id"), digText(c, "function", "name"), decoded(t, []byte(digText(c, "function", "arguments")))})
	}
	s.Stop, s.Tokens = digText(out, "choices", 0, "finish_reason"), counts(dig(out, "usage"))
	return s
}

func joinedOpenAI(t fatal, events []Event) (s said) {
	args := map[int]string{}
	eachChunk(t, events, func(v any) {
		d := dig(v, "choices", 0, "delta")
		s.Text += digText(d, "content")
		s.Thought += digText(d, "reasoning_content")
		for i := 0; dig(d, "tool_calls", i) != nil; i++ {
			c := dig(d, "tool_calls", i)
			n := int(dig(c, "index").(float64))
			if n == len(s.Calls) {
				s.Calls = append(s.Calls, saidCall{ID: digText(c, "id"), Name: digText(c, "function", "name")})
			}
			args[n] += digText(c, "function", "arguments")
		}
		s.Stop = cmp.Or(digText(v, "choices", 0, "finish_reason"), s.Stop)
		if u := dig(v, "usage"); u != nil {
			s.Tokens = counts(u)
		}
	})
	for i := range s.Calls {
		s.Calls[i].Input = decoded(t, []byte(args[i]))
	}
	return s
}

func wholeResponses(t fatal, out any) (s said) {
	for i := 0; dig(out, "output", i) != nil; i++ {
		item := dig(out, "output", i)
		switch digText(item, "type") {
		case "message":
			s.Text += digText(item, "content", 0, "text") + digText(item, "content", 0, "refusal")
		case "reasoning":
			s.Thought += digText(item, "content", 0, "text")
		case "function_call":
			s.Calls = append(s.Calls, saidCall{digText(item, "call_id"), digText(item, "name"), decoded(t, []byte(digText(item, "arguments")))})
		}
	}
	s.Stop = digText(out, "status") + digText(out, "incomplete_details", "reason")
	s.Tokens = counts(dig(out, "usage"))
	return s
}

// joinedResponses joins the deltas, and checks that the finished items and the last event have the same content.
func joinedResponses(t fatal, events []Event) said {
	var items []any
	open, begun, deltas := -1, 0, ""
	for i, e := range events {
		v := decoded(t, e.Payload)
		if digText(v, "type") != e.Type || dig(v, "sequence_number") != float64(i) {
			t.Fatalf("event %d, %s: %s", i, e.Type, e.Payload)
		}
		at := -1
		if f, ok := dig(v, "output_index").(float64); ok {
			at = int(f)
		}
		switch e.Type {
		case "response.output_item.added":
			if open >= 0 || at != begun {
				t.Fatalf("item %d begins out of order", at)
			}
			open, begun, deltas = at, begun+1, ""
		case "response.output_item.done":
			if open != at {
				t.Fatalf("item %d ends while %d is open", at, open)
			}
			item := dig(v, "item")
			if said := digText(item, "content", 0, "text") + digText(item, "arguments"); said != deltas {
				t.Fatalf("item %d has %q, its deltas have %q", at, said, deltas)
			}
			items, open = append(items, item), -1
		case "response.completed", "response.incomplete":
			out := dig(v, "response")
			if !gocmp.Equal(dig(out, "output"), any(items), cmpopts.EquateEmpty()) || i != len(events)-1 {
				t.Fatalf("the end has other items: %s", e.Payload)
			}
			return wholeResponses(t, out)
		default:
			if strings.HasSuffix(e.Type, ".delta") {
				deltas += digText(v, "delta")
			}
			if at >= 0 && at != open {
				t.Fatalf("%s of item %d while %d is open", e.Type, at, open)
			}
		}
	}
	t.Fatalf("the stream has no end")
	return said{}
}

func (f streamed) dialect(t fatal) Streamer {
	d, err := For(f.family, ProtocolOpenAI, cmp.Or(f.typ, batholith.InvokeModel), Options{Names: []string{f.family + ".model"}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d.(Streamer)
}

// run sends chunks through a stream.
func run(s Stream, chunks [][]byte) (events []Event, a batholith.Answer, err error) {
	for _, c := range chunks {
		data := bytes.Clone(c)
		more, err := s.Event(data)
		clear(data) // as a reader of the stream does with its buffer
		if err != nil {
			return nil, a, err
		}
		events = append(events, more...)
	}
	more, a, err := s.End(StreamTimes{First: time.Second, Took: 2 * time.Second})
	return append(events, more...), a, err
}

// answerOf is an answer that a server may give, whole and in chunks.
type answerOf struct {
	text, thought []string // in pieces
	calls         [][]string
	finish, stop  string
	usage         bool
}

// quotedText is a JSON string. Other servers escape more than this one does, which is the same text.
func quotedText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// pieces cuts a text into pieces at random places between characters.
func piecesOf(t *rapid.T, s string) (all []string) {
	for len(s) > 0 {
		n := rapid.IntRange(1, len(s)).Draw(t, "piece")
		for n < len(s) && s[n]&0xc0 == 0x80 {
			n++
		}
		all, s = append(all, s[:n]), s[n:]
	}
	return all
}

func someAnswer(t *rapid.T) (a answerOf) {
	alphabet := rapid.SampledFrom([]string{"a", " ", "\n", `"`, `\`, "é", "漢", "🌋", "</x>", "\x01"})
	text := func(most int) string {
		return strings.Join(rapid.SliceOfN(alphabet, 0, most).Draw(t, "text"), "")
	}
	a.text, a.thought = piecesOf(t, text(6)), piecesOf(t, text(3))
	for range rapid.IntRange(0, 3).Draw(t, "calls") {
		args := rapid.SampledFrom([]string{`{}`, `{"a":1}`, "\n {\"a\":{\"b\":[\"\\\"}\"]}}", `{"a":"漢🌋"}`, "", "null", `"{\"a\":2}"`}).Draw(t, "arguments")
		a.calls = append(a.calls, piecesOf(t, args))
	}
	a.finish = rapid.SampledFrom([]string{"stop", "length", "tool_calls", "content_filter", "eos", "END_TURN"}).Draw(t, "finish")
	if a.finish == "length" {
		a.calls = nil // calls that are cut have a test of their own
	}
	a.stop = rapid.SampledFrom([]string{"", "END"}).Draw(t, "stop")
	a.usage = rapid.Bool().Draw(t, "usage")
	return a
}

const usageJSON = `{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":2}}`

func (a answerOf) whole(prompt bool) []byte {
	var choice string
	if text := strings.Join(a.text, ""); prompt {
		choice = `"text":` + quotedText(text)
	} else {
		var calls []string
		for i, c := range a.calls {
			calls = append(calls, fmt.Sprintf(`{"id":"c%d","type":"function","function":{"name":"f%d","arguments":%s}}`, i, i, quotedText(strings.Join(c, ""))))
		}
		choice = fmt.Sprintf(`"message":{"role":"assistant","content":%s,"reasoning_content":%s,"tool_calls":[%s]}`,
			quotedText(text), quotedText(strings.Join(a.thought, "")), strings.Join(calls, ","))
	}
	return fmt.Appendf(nil, `{"id":"x1","model":"m","choices":[{"index":0,%s,%s}]%s}`, choice, a.ending(), a.counts())
}

func (a answerOf) ending() string {
	s := `"finish_reason":` + quotedText(a.finish)
	if a.stop != "" {
		s += `,"stop_reason":` + quotedText(a.stop)
	}
	return s
}

func (a answerOf) counts() string {
	if !a.usage {
		return ""
	}
	return `,"usage":` + usageJSON
}

// chunks are the same answer as a stream: of vLLM's and OpenAI's form, with the deviations that other servers have.
func (a answerOf) chunks(t *rapid.T, prompt bool) (all [][]byte) {
	draw := func(name string) bool { return rapid.Bool().Draw(t, name) }
	delta := func(format string, args ...any) {
		content := fmt.Sprintf(format, args...)
		if !prompt {
			content = `"delta":{` + content + `}`
		}
		all = append(all, fmt.Appendf(nil, `{"id":"x1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,%s,"finish_reason":null}],"usage":null}`, content))
	}
	if prompt {
		delta(`"text":""`)
		for _, p := range a.text {
			delta(`"text":%s`, quotedText(p))
		}
	} else {
		delta(`"role":"assistant","content":""`)
		member := rapid.SampledFrom([]string{"reasoning_content", "reasoning"}).Draw(t, "member")
		for _, p := range a.thought {
			delta(`"%s":%s,"content":null`, member, quotedText(p))
		}
		for _, p := range a.text {
			delta(`"content":%s`, quotedText(p))
		}
		object, numbered := draw("arguments as object"), draw("numbered")
		for i, c := range a.calls {
			index := fmt.Sprintf(`"index":%d,`, i)
			args := strings.Join(c, "")
			if !numbered {
				index = ""
			}
			if object && strings.HasPrefix(args, "{") {
				delta(`"tool_calls":[{%s"id":"c%d","function":{"name":"f%d","arguments":%s}}]`, index, i, i, args)
				continue
			}
			delta(`"tool_calls":[{%s"id":"c%d","type":"function","function":{"name":"f%d","arguments":""}}]`, index, i, i)
			for _, p := range c {
				delta(`"tool_calls":[{%s"function":{"arguments":%s}}]`, index, quotedText(p))
			}
		}
	}
	content := `"delta":{}`
	if prompt {
		content = `"text":""`
	}
	usage := ""
	together := draw("usage beside the end")
	if together {
		usage = a.counts()
	}
	all = append(all, fmt.Appendf(nil, `{"id":"x1","model":"m","choices":[{"index":0,%s,%s}]%s}`, content, a.ending(), usage))
	if !together && a.usage {
		all = append(all, []byte(`{"id":"x1","model":"m","choices":[],"usage":`+usageJSON+`}`))
	}
	if draw("done") {
		all = append(all, []byte(" "+streamEnd))
	}
	return all
}

// TestStreamsSayWhatTheWholeAnswerSays holds for every family: the joined events have the text, the thoughts, the tool calls, the stop reason and the
// counts of the whole answer, and a stream fails where the whole answer would.
func TestStreamsSayWhatTheWholeAnswerSays(t *testing.T) {
	for _, f := range streamedFamilies {
		t.Run(f.family, func(tt *testing.T) {
			rapid.Check(tt, func(t *rapid.T) {
				d := f.dialect(t)
				call, err := d.StreamRequest([]byte(f.input), "served")
				if err != nil {
					t.Fatal(err)
				}
				a := someAnswer(t)
				prompt := call.Path == completionsPath
				body, chunks := a.whole(prompt), a.chunks(t, prompt)
				answer, wrong := d.Answer([]byte(f.input), call, body)
				events, streamed, err := run(d.NewStream([]byte(f.input), call), chunks)
				if (wrong == nil) != (err == nil) {
					t.Fatalf("whole %s: %v\nstream %s: %v", body, wrong, bytes.Join(chunks, []byte("\n")), err)
				}
				if err != nil {
					return
				}
				for _, e := range events {
					wholesome(tt, f.family, e.Payload)
				}
				if want, got := f.whole(t, decoded(t, answer.Output)), f.joined(t, events); !gocmp.Equal(want, got, cmpopts.EquateEmpty()) {
					t.Fatalf("stream (-whole +joined):\n%s\n%s\n%s", gocmp.Diff(want, got, cmpopts.EquateEmpty()), bytes.Join(chunks, []byte("\n")), payloads(events))
				}
				if answer.Tokens != streamed.Tokens || answer.Model != streamed.Model {
					t.Fatalf("the stream counts %+v of %s, the answer %+v of %s", streamed.Tokens, streamed.Model, answer.Tokens, answer.Model)
				}
			})
		})
	}
}

func payloads(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s\n", e.Type, e.Payload)
	}
	return b.String()
}

// message is the same answer in the Messages API.
func (a answerOf) message() []byte {
	var content []string
	if t := strings.Join(a.thought, ""); t != "" {
		content = append(content, `{"type":"thinking","thinking":`+quotedText(t)+`,"signature":"sig"}`)
	}
	if t := strings.Join(a.text, ""); t != "" {
		content = append(content, `{"type":"text","text":`+quotedText(t)+`}`)
	}
	for i, c := range a.calls {
		content = append(content, fmt.Sprintf(`{"type":"tool_use","id":"c%d","name":"f%d","input":%s}`, i, i, cmp.Or(strings.Join(c, ""), "{}")))
	}
	return fmt.Appendf(nil, `{"id":"x1","type":"message","role":"assistant","model":"m","content":[%s],"stop_reason":%s,"stop_sequence":null,"usage":%s}`,
		strings.Join(content, ","), quotedText(a.finish), messageUsageJSON)
}

const messageUsageJSON = `{"input_tokens":5,"cache_creation_input_tokens":1,"cache_read_input_tokens":2,"output_tokens":5}`

// messageEvents are the same answer as a stream of the Messages API.
func (a answerOf) messageEvents(t *rapid.T) (all [][]byte) {
	add := func(format string, args ...any) { all = append(all, fmt.Appendf(nil, format, args...)) }
	add(`{"type":"message_start","message":{"id":"x1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":1,"cache_read_input_tokens":2,"output_tokens":1}}}`)
	index := 0
	block := func(start, typ, member string, pieces []string, last string) {
		add(`{"type":"content_block_start","index":%d,"content_block":%s}`, index, start)
		add(`{"type": "ping"}`)
		for _, p := range pieces {
			add(`{"type":"content_block_delta","index":%d,"delta":{"type":%q,%q:%s}}`, index, typ, member, quotedText(p))
		}
		if last != "" {
			add(`{"type":"content_block_delta","index":%d,"delta":%s}`, index, last)
		}
		add(`{"type":"content_block_stop","index":%d}`, index)
		index++
	}
	if len(a.thought) > 0 {
		block(`{"type":"thinking","thinking":"","signature":""}`, "thinking_delta", "thinking", a.thought, `{"type":"signature_delta","signature":"sig"}`)
	}
	if len(a.text) > 0 {
		block(`{"type":"text","text":""}`, "text_delta", "text", a.text, "")
	}
	for i, c := range a.calls {
		block(fmt.Sprintf(`{"type":"tool_use","id":"c%d","name":"f%d","input":{}}`, i, i), "input_json_delta", "partial_json", c, "")
	}
	add(`{"type":"message_delta","delta":{"stop_reason":%s,"stop_sequence":null},"usage":{"output_tokens":5}}`, quotedText(a.finish))
	if rapid.Bool().Draw(t, "stop") {
		add(`{"type":"message_stop"}`)
	}
	return all
}

// TestStreamsOfTheMessagesAPISayWhatTheWholeAnswerSays is the law of streams for servers with Anthropic's protocol, and for those that do not stream.
func TestStreamsOfTheMessagesAPISayWhatTheWholeAnswerSays(t *testing.T) {
	for _, f := range streamedFamilies {
		made, err := For(f.family, ProtocolAnthropic, cmp.Or(f.typ, batholith.InvokeModel), Options{Names: []string{f.family + ".model"}})
		if err != nil {
			continue // prompts with the marks of a template
		}
		d := made.(Streamer)
		call, err := d.StreamRequest([]byte(f.input), "served")
		if err != nil {
			continue
		}
		if !strings.HasSuffix(string(call.Body), `,"stream":true}`) || strings.Contains(string(call.Body), "stream_options") {
			t.Errorf("%s: %s", f.family, call.Body)
		}
		t.Run(f.family, func(tt *testing.T) {
			rapid.Check(tt, func(t *rapid.T) {
				a := someAnswer(t)
				for i := range a.calls {
					a.calls[i] = piecesOf(t, rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"a":{"b":["\"}"]}}`, ""}).Draw(t, "input"))
				}
				a.finish = rapid.SampledFrom([]string{"end_turn", "max_tokens", "tool_use", "refusal", "aborted"}).Draw(t, "reason")
				body := a.message()
				answer, wrong := d.Answer([]byte(f.input), call, body)
				for name, chunks := range map[string][][]byte{"stream": a.messageEvents(t), "one event": {body}} {
					events, streamed, err := run(d.NewStream([]byte(f.input), call), chunks)
					if (wrong == nil) != (err == nil) {
						t.Fatalf("whole %s: %v\n%s %s: %v", body, wrong, name, bytes.Join(chunks, []byte("\n")), err)
					}
					if err != nil {
						continue
					}
					for _, e := range events {
						wholesome(tt, f.family, e.Payload)
					}
					want, got := f.whole(t, decoded(t, answer.Output)), f.joined(t, events)
					if !gocmp.Equal(want, got, cmpopts.EquateEmpty()) || answer.Tokens != streamed.Tokens {
						t.Fatalf("%s (-whole +joined):\n%s\n%s\n%s", name, gocmp.Diff(want, got, cmpopts.EquateEmpty()), bytes.Join(chunks, []byte("\n")), payloads(events))
					}
				}
			})
		})
	}
}

// TestStreamsOfBedrockPassUnchanged: what a Bedrock runtime streams comes out of the dialect for such a backend as it went in, with its counts; and
// a stream that ends before its last event is cut off.
func TestStreamsOfBedrockPassUnchanged(t *testing.T) {
	for _, f := range streamedFamilies {
		if f.typ != batholith.InvokeModel && f.typ != batholith.Converse {
			continue
		}
		made, err := For(f.family, ProtocolBedrock, f.typ, Options{Names: []string{f.family + ".model"}})
		if err != nil {
			t.Fatal(err)
		}
		d := made.(Streamer)
		call, err := d.StreamRequest([]byte(f.input), "served")
		if err != nil {
			t.Fatal(err)
		}
		operation := map[batholith.InvocationType]string{batholith.InvokeModel: "/model/served/invoke-with-response-stream", batholith.Converse: "/model/served/converse-stream"}[f.typ]
		if call.Path != operation {
			t.Errorf("%s: %s", f.family, call.Path)
		}
		source := f.dialect(t)
		asked, _ := source.StreamRequest([]byte(f.input), "served")
		chunks := lines(`{"id":"x","choices":[{"delta":{"content":"Hi"},"text":"Hi"}]}
			{"id":"x","choices":[{"delta":{"content":" there"},"text":" there","finish_reason":"stop"}]}
			{"id":"x","choices":[],"usage":` + usageJSON + `}`)
		sent, want, err := run(source.NewStream([]byte(f.input), asked), chunks)
		if err != nil {
			t.Fatal(err)
		}
		var data [][]byte
		for _, e := range sent {
			if f.typ == batholith.Converse {
				data = append(data, fmt.Appendf(nil, `{"%s":%s}`, e.Type, e.Payload))
			} else {
				data = append(data, fmt.Appendf(nil, `{"chunk":{"bytes":%q}}`, base64.StdEncoding.EncodeToString(e.Payload)))
			}
		}
		got, a, err := run(d.NewStream([]byte(f.input), call), data)
		if diff := gocmp.Diff(payloads(sent), payloads(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-sent +passed)\n%s", f.family, err, diff)
		}
		if a.Tokens.Input != want.Tokens.Input || a.Tokens.Output != want.Tokens.Output {
			t.Errorf("%s: %+v, want %+v", f.family, a.Tokens, want.Tokens)
		}
		for n := range len(data) {
			if _, _, err := run(d.NewStream([]byte(f.input), call), data[:n]); err == nil {
				t.Errorf("%s: a stream that is cut after %d events ends as an answer", f.family, n)
			}
		}
	}
}

// lines are the chunks of a stream, one a line.
func lines(s string) (all [][]byte) {
	for line := range strings.Lines(s) {
		all = append(all, []byte(strings.TrimSpace(line)))
	}
	return all
}

// oddStreams are streams of real servers that are not as OpenAI describes them. text and calls are what they say.
var oddStreams = []struct{ name, chunks, text, calls, stop string }{
	{"a server that does not stream", `{"choices":[{"message":{"content":"whole","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}`,
		"whole", `[{"ID":"c","Name":"f","Input":{}}]`, "tool_use"},
	{"calls without numbers, each whole, the same number for all", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c0","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}
		{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"g","arguments":"{\"a\":2}"}}]},"finish_reason":"tool_calls"}]}`,
		"", `[{"ID":"c0","Name":"f","Input":{"a":1}},{"ID":"c1","Name":"g","Input":{"a":2}}]`, "tool_use"},
	{"several calls in one chunk without numbers and ids", `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"f","arguments":{"a":1}}}]},"finish_reason":"tool_calls"}]}`,
		"", `[{"ID":"toolu_x_0","Name":"f","Input":{"a":1}},{"ID":"toolu_x_1","Name":"f","Input":{"a":1}}]`, "tool_use"},
	{"calls whose parts alternate", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"id":"b","function":{"name":"g","arguments":"{\"b\""}}]}}]}
		{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"arguments":":2}"}}]},"finish_reason":"tool_calls"}]}`,
		"", `[{"ID":"a","Name":"f","Input":{"a":1}},{"ID":"b","Name":"g","Input":{"b":2}}]`, "tool_use"},
	{"the id and the name in every chunk", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}}]}}]}
		{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`,
		"", `[{"ID":"a","Name":"f","Input":{"a":1}}]`, "tool_use"},
	{"a new id in every chunk", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}}]}}]}
		{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":null,"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`,
		"", `[{"ID":"a","Name":"f","Input":{"a":1}}]`, "tool_use"},
	{"the old form of a call", `{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]}
		{"choices":[{"delta":{"function_call":{"arguments":"}"}},"finish_reason":"function_call"}]}`, "", `[{"ID":"toolu_x_0","Name":"f","Input":{}}]`, "tool_use"},
	{"an empty call beside text", `{"choices":[{"delta":{"content":"hi","tool_calls":[{"index":0,"function":{"name":"","arguments":""}}]}}]}
		{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "hi", "null", "end_turn"},
	{"a refusal instead of text", `{"choices":[{"delta":{"refusal":"I can"}}]}
		{"choices":[{"delta":{"refusal":"not."}}]}
		{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "I cannot.", "null", "refusal"},
	{"content in parts", `{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}}]}
		{"choices":[{"delta":{"content":[{"type":"text","text":"b"}]},"finish_reason":"stop"}]}`, "ab", "null", "end_turn"},
	{"no finish_reason, but an end", `{"choices":[{"delta":{"content":"hi"}}]}
		[DONE]`, "hi", "null", "end_turn"},
	{"nothing after the finish_reason", `{"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}`, "hi", "null", "end_turn"},
	{"a finish_reason that later chunks repeat as null", `{"choices":[{"delta":{"content":"hi"},"finish_reason":"length"}]}
		{"choices":[{"delta":{},"finish_reason":null}]}`, "hi", "null", "max_tokens"},
	{"empty choices, no choices, empty deltas", `{"choices":[]}
		{}
		{"choices":[{"delta":{"role":"assistant","content":null}}]}
		{"choices":[{"delta":{"content":""}}]}
		{"choices":[{"delta":{"content":"hi"}}]}
		{"choices":[{"finish_reason":"stop"}]}`, "hi", "null", "end_turn"},
	{"an empty answer that is cut by its limit", `{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}`, "", "null", "max_tokens"},
}

// TestOddStreamsSayWhatTheyMean holds for streams of servers that deviate from OpenAI's description.
func TestOddStreamsSayWhatTheyMean(t *testing.T) {
	f := streamedFamilies[0]
	d := f.dialect(t)
	for _, tt := range oddStreams {
		t.Run(tt.name, func(t *testing.T) {
			chunks := append([][]byte{[]byte(`{"id":"x","choices":[]}`)}, lines(tt.chunks)...)
			events, a, err := run(d.NewStream([]byte(f.input), batholith.Call{Path: chatPath, Body: []byte("{}")}), chunks)
			if err != nil {
				t.Fatal(err)
			}
			got, whole := f.joined(t, events), f.whole(t, decoded(t, a.Output))
			if diff := gocmp.Diff(whole, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("stream (-whole +joined):\n%s", diff)
			}
			calls, _ := json.Marshal(got.Calls)
			if got.Text != tt.text || string(calls) != tt.calls || got.Stop != tt.stop {
				t.Errorf("says %q, %s, %s\n%s", got.Text, calls, got.Stop, payloads(events))
			}
		})
	}
}

// brokenStreams never end as an answer.
var brokenStreams = []struct{ name, chunks string }{
	{"cut off in the text", `{"choices":[{"delta":{"content":"half"}}]}`},
	{"cut off after the role", `{"choices":[{"delta":{"role":"assistant","content":""}}]}`},
	{"nothing at all", ``},
	{"only the end", `[DONE]`},
	{"an error", `{"choices":[{"delta":{"content":"half"}}]}
		{"error":{"message":"the engine is dead","code":500}}
		[DONE]`},
	{"an error beside empty choices", `{"choices":[{"delta":{"content":"half"}}]}
		{"error":{"message":"the engine is dead"},"choices":[]}
		[DONE]`},
	{"an error in a choice", `{"choices":[{"delta":{"content":"half"},"error":{"code":502,"message":"upstream"},"finish_reason":"error"}]}
		[DONE]`},
	{"aborted", `{"choices":[{"delta":{"content":"half"}}]}
		{"choices":[{"delta":{},"finish_reason":"abort"}]}
		[DONE]`},
	{"not JSON", `{"choices":[{"delta":{"content":"half"}}]}
		{"choices":[{"delta":{"content":"ha
		[DONE]`},
	{"arguments that are no object", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\":"}}]}}]}
		{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}
		[DONE]`},
}

// TestBrokenStreamsNeverEndAsAnswers holds for every family: a stream that is cut off, or that reports an error, ends with an error.
func TestBrokenStreamsNeverEndAsAnswers(t *testing.T) {
	for _, f := range streamedFamilies {
		d := f.dialect(t)
		call, err := d.StreamRequest([]byte(f.input), "served")
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range brokenStreams {
			s := d.NewStream([]byte(f.input), call)
			chunks := tt.chunks
			if call.Path == completionsPath {
				chunks = strings.NewReplacer(`"delta":{"content":"half"}`, `"text":"half"`, `"delta":{}`, `"text":""`).Replace(chunks)
			}
			_, _, err := run(s, lines(chunks))
			passedOn := tt.name == "arguments that are no object" && (s.(*hub).verbatim || s.(*hub).prompted) // as in the whole answer, or no part of it
			if (err == nil) != passedOn {
				t.Errorf("%s, %s: %v", f.family, tt.name, err)
			}
		}
	}
}

// TestEveryCutOfAStreamIsSeen cuts streams after each chunk before the one with the finish_reason.
func TestEveryCutOfAStreamIsSeen(t *testing.T) {
	chunks := lines(oddStreams[3].chunks)
	chunks = append([][]byte{[]byte(`{"choices":[{"delta":{"content":"a"}}]}`)}, chunks...)
	for _, f := range streamedFamilies {
		d := f.dialect(t)
		for n := range len(chunks) - 1 {
			if _, _, err := run(d.NewStream([]byte(f.input), batholith.Call{Path: chatPath, Body: []byte("{}")}), chunks[:n]); err == nil {
				t.Errorf("%s: a stream that is cut after %d chunks ends as an answer", f.family, n)
			}
		}
	}
}

// TestCutArgumentsAreStreamedAsTheyCame: a call that max_tokens cuts keeps its partial JSON in the stream, as on Bedrock.
func TestCutArgumentsAreStreamedAsTheyCame(t *testing.T) {
	f := streamedFamilies[2]
	events, _, err := run(f.dialect(t).NewStream([]byte(f.input), batholith.Call{Path: chatPath, Body: []byte("{}")}), lines(
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"a\":1,\"b"}}]}}]}
		{"choices":[{"delta":{},"finish_reason":"length"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if all := payloads(events); !strings.Contains(all, `{"toolUse":{"input":"{\"a\":1,\"b"}}`) || !strings.Contains(all, `"stopReason":"max_tokens"`) {
		t.Errorf("events:\n%s", all)
	}
}

// TestStreamsAreAskedWithTheirCounts: the request asks for a stream with token counts, which are spared if a server refuses them.
func TestStreamsAreAskedWithTheirCounts(t *testing.T) {
	for _, f := range streamedFamilies {
		call, err := f.dialect(t).StreamRequest([]byte(f.input), "served")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(call.Body), `"stream":true`); n != 1 || !strings.HasSuffix(string(call.Body), `,"stream":true,"stream_options":{"include_usage":true}}`) {
			t.Errorf("%s: %s", f.family, call.Body)
		}
		refusal := &batholith.Failure{Status: 422, Message: "body.stream_options: Extra inputs are not permitted"}
		if call = Without(call, Refused(call, refusal)); strings.Contains(string(call.Body), "stream_options") || !strings.Contains(string(call.Body), `"stream":true`) {
			t.Errorf("%s after a refusal: %s", f.family, call.Body)
		}
	}
}

// TestEmbeddingsAreNotStreamed: Bedrock has no streams of them.
func TestEmbeddingsAreNotStreamed(t *testing.T) {
	for name, d := range everyDialect(t, Options{}) {
		_, err := d.(Streamer).StreamRequest([]byte(`{"inputText":"Hello","dimensions":256,"singleEmbeddingParams":{},"texts":["a"],"input_type":"search_document"}`), "served")
		e, _ := errors.AsType[*batholith.RecordError](err)
		if strings.Contains(name, "embed") && (e == nil || !strings.Contains(e.Message, "cannot be streamed")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheOpenAIStreamKeepsItsForm: the role once, the choices apart, probabilities, and counts only where they are asked for.
func TestTheOpenAIStreamKeepsItsForm(t *testing.T) {
	d := streamed{family: "openai"}.dialect(t)
	chunks := lines(`{"id":"x","created":5,"model":"m","choices":[{"index":1,"delta":{"role":"assistant","content":"B"},"logprobs":{"content":[{"token":"B"}]}},{"index":0,"delta":{"content":"A"}}]}
		{"id":"x","created":5,"model":"m","choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}]}}]}
		{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
		{"id":"x","choices":[{"index":1,"delta":{},"finish_reason":"length"}]}
		{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3}}
		[DONE]`)
	input := []byte(`{"messages":[{"role":"user","content":"Hello"}],"n":2,"stream":true,"stream_options":{"include_usage":true}}`)
	s := d.NewStream(input, batholith.Call{Path: chatPath, Body: []byte("{}")})
	var events []Event
	for _, c := range chunks {
		more, err := s.Event(c)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, more...)
	}
	if !s.Done() {
		t.Error("the end was not seen")
	}
	more, _, err := s.End(StreamTimes{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	const head = `chunk {"id":"x","object":"chat.completion.chunk","created":5,"model":"openai.model","choices":[`
	want := head + `{"index":1,"delta":{"role":"assistant","content":"B"},"logprobs":{"content":[{"token":"B"}]},"finish_reason":null}]}
` + head + `{"index":0,"delta":{"role":"assistant","content":"A"},"finish_reason":null}]}
` + head + `{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}]},"finish_reason":null}]}
` + head + `{"index":0,"delta":{},"finish_reason":"stop"}]}
` + head + `{"index":1,"delta":{},"finish_reason":"length"}]}
` + head + `],"usage":{"prompt_tokens":1,"completion_tokens":3}}
`
	if diff := gocmp.Diff(want, payloads(append(events, more...))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// FuzzStream holds that a stream with any bytes becomes events that are one line of valid JSON each, or an error of the three kinds of Answer.
func FuzzStream(f *testing.F) {
	for _, tt := range oddStreams {
		f.Add([]byte(tt.chunks))
	}
	for _, tt := range brokenStreams {
		f.Add([]byte(tt.chunks))
	}
	f.Add([]byte(`{"message":{"thinking":"a","tool_calls":[{"function":{"name":"f","arguments":{}}}]},"response":"b"}
		{"message":{"content":"c"},"response":"","done":true,"done_reason":"stop","prompt_eval_count":1}`))
	var all []Streamer
	for _, s := range streamedFamilies {
		all = append(all, s.dialect(f))
	}
	overOllama(f, func(_ streamed, d Streamer, _ batholith.Call) { all = append(all, d) })
	f.Fuzz(func(t *testing.T, stream []byte) {
		for i, d := range all {
			i %= len(streamedFamilies)
			input := []byte(streamedFamilies[i].input)
			call, err := d.StreamRequest(input, "served")
			if err != nil {
				t.Fatal(err)
			}
			events, a, err := run(d.NewStream(input, call), bytes.Split(stream, []byte("\n")))
			if err != nil {
				_, failure := errors.AsType[*batholith.Failure](err)
				if _, ok := errors.AsType[*batholith.RecordError](err); !ok && !failure && !errors.Is(err, ErrNonsense) {
					t.Errorf("%s: %v", streamedFamilies[i].family, err)
				}
				continue
			}
			for _, e := range events {
				wholesome(t, streamedFamilies[i].family, e.Payload)
			}
			wholesome(t, streamedFamilies[i].family, a.Output)
			if !believable(a.Tokens) || len(events) == 0 {
				t.Errorf("%s: tokens %+v, %d events", streamedFamilies[i].family, a.Tokens, len(events))
			}
		}
	})
}

// TestOtherAPIsBodiesAreTakenWhateverTheFamily: the doors of OpenAI's and Anthropic's API serve all chat models, and no model of embeddings.
func TestOtherAPIsBodiesAreTakenWhateverTheFamily(t *testing.T) {
	bodies := map[batholith.InvocationType]string{
		ChatCompletions: `{"model":"alias","messages":[{"role":"user","content":"Hello"}],"temperature":1.5,"logit_bias":{"5":1}}`,
		Messages:        `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Hello"}]}`,
	}
	for typ, body := range bodies {
		for _, f := range Families() {
			d, err := For(f, ProtocolOpenAI, typ, Options{Names: []string{"m", "alias"}})
			if err != nil {
				t.Fatal(err)
			}
			call, err := d.(Streamer).StreamRequest([]byte(body), "served")
			if embeds := strings.Contains(f, "embed"); embeds != (err != nil) || embeds && !strings.Contains(err.Error(), "has no chat") {
				t.Errorf("%s of a %s model: %v", typ, f, err)
			} else if !embeds && call.Path != chatPath {
				t.Errorf("%s of a %s model goes to %s", typ, f, call.Path)
			}
		}
	}
}

// TestMembersAreCutAndSet: everything else of an object stays as it is written.
func TestMembersAreCutAndSet(t *testing.T) {
	const body = ` {"a" : 1e2, "b":{"a":"\u0061"}, "\u0061":2 , "c":[ ]} `
	if got := string(Cut([]byte(body), "a")); got != `{"b":{"a":"\u0061"},"c":[ ]}` {
		t.Errorf("cut: %s", got)
	}
	if got := string(Set([]byte(body), "d", `"x"`)); got != `{"a":1e2,"b":{"a":"\u0061"},"\u0061":2,"c":[ ],"d":"x"}` {
		t.Errorf("set: %s", got)
	}
	if got := string(Set([]byte(`{"d":null}`), "d", "1")); got != `{"d":1}` {
		t.Errorf("set: %s", got)
	}
	if got := string(Set([]byte(body), "a", "1")); got != body {
		t.Errorf("set again: %s", got)
	}
}

// TestWhatResponsesCannotDoIsRefused: each with its place and a remedy; the rest becomes a chat.
func TestWhatResponsesCannotDoIsRefused(t *testing.T) {
	d := streamed{family: "openai", typ: Responses}.dialect(t)
	for body, want := range map[string]string{
		`{"input":"a","previous_response_id":"resp_1"}`:                                         "previous_response_id: Batholith keeps no responses; send the earlier turns in input",
		`{"input":"a","tools":[{"type":"web_search"}]}`:                                         "tools.0.type: 'web_search' is a tool that OpenAI runs or defines",
		`{"input":"a","background":true}`:                                                       "background: answers are not made in the background",
		`{"input":"a","truncation":"auto"}`:                                                     "truncation: prompts are not truncated",
		`{"input":"a","unknown":1}`:                                                             "unknown: Extra inputs are not permitted",
		`{"input":[{"type":"item_reference","id":"x"}]}`:                                        "input.0.type: Batholith keeps no responses",
		`{"input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}`:           "input.0.content.0.file_id: files are not kept here",
		`{"input":[{"role":"user","content":[{"type":"input_file","file_url":"http://h/f"}]}]}`: "input.0.content.0.file_url: documents are not downloaded",
		`{"input":[{"role":"user","content":[{"type":"input_file"}]}]}`:                         "input.0.content.0.file_data: Input should be a valid string",
		`{"input":[{"role":"user","content":[{"type":"computer_use"}]}]}`:                       "input.0.content.0.type: parts of type 'computer_use' are not supported here",
		`{"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}`:          "input.0.content.0.image_url: give the image as a data: URL",
		`{"input":[]}`: "input: at least one item is required",
		`{}`:           "input: Field required",
		`{"input":"a","text":{"format":{"type":"x"}}}`: "text.format.type: Input should be 'text', 'json_object' or 'json_schema'",
	} {
		if _, err := d.Request([]byte(body), "served"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	call, err := d.Request([]byte(`{"model":"m","instructions":"Be brief.","input":[{"role":"developer","content":"Now."},{"role":"user","content":[{"type":"input_text","text":"Hi"},{"type":"input_image","image_url":"data:image/png;base64,AA=="}]},
		{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"c1","output":"one"},
		{"role":"assistant","content":[{"type":"output_text","text":"One."}]},{"role":"user","content":"And?"}],"tools":[{"type":"function","name":"f","parameters":{},"strict":true}],"tool_choice":{"type":"function","name":"f"},
		"max_output_tokens":9,"temperature":0.5,"text":{"format":{"type":"json_schema","name":"n","schema":{}}},"reasoning":{"effort":"low","summary":"auto"},"store":true,"metadata":{"a":"b"}}`), "served")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"model":"served","messages":[{"role":"system","content":"Be brief."},{"role":"system","content":"Now."},` +
		`{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]},` +
		`{"role":"assistant","reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"one"},` +
		`{"role":"assistant","content":"One."},{"role":"user","content":"And?"}],"tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":true}}],` +
		`"tool_choice":{"type":"function","function":{"name":"f"}},"max_tokens":9,"temperature":0.5,` +
		`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":true}},"reasoning_effort":"low"}`
	if diff := gocmp.Diff(want, string(call.Body)); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"metadata", "reasoning.summary", "store"}, slices.Sorted(slices.Values(call.Changes.Dropped))); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

// TestAnswersOfOtherAPIsNameOurModel: over Bedrock's runtime, whose answers pass unchanged, a call of another API gets the model's name here, whole
// and streamed, and not that of the backend. Bodies of InvokeModel get what the service says.
func TestAnswersOfOtherAPIsNameOurModel(t *testing.T) {
	const chat = `{"id":"x","object":"chat.completion","model":"secret.backend-v1:0","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}`
	const message = `{"id":"m","type":"message","role":"assistant","model":"secret.backend-v1:0","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}`
	for typ, c := range map[batholith.InvocationType]struct {
		family, input, answer string
		chunks                []string
	}{
		ChatCompletions: {"openai", `{"messages":[{"role":"user","content":"Hello"}]}`, chat, []string{`{"id":"x","model":"secret.backend-v1:0","choices":[{"index":0,"delta":{"content":"Hi"}}]}`}},
		Messages: {"anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`, message,
			[]string{`{"type":"message_start","message":{"id":"m","model":"secret.backend-v1:0","content":[]}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"model"}}`}},
		batholith.InvokeModel: {"openai", `{"messages":[{"role":"user","content":"Hello"}]}`, chat, nil},
	} {
		made, err := For(c.family, ProtocolBedrock, typ, Options{Names: []string{"ours"}})
		if err != nil {
			t.Fatal(err)
		}
		d := made.(Streamer)
		call, err := d.StreamRequest([]byte(c.input), "secret.backend-v1:0")
		if err != nil {
			t.Fatal(err)
		}
		a, err := d.Answer([]byte(c.input), call, []byte(c.answer))
		want := strings.Replace(c.answer, "secret.backend-v1:0", "ours", 1)
		if typ == batholith.InvokeModel {
			want = c.answer
		}
		if err != nil || string(a.Output) != want {
			t.Errorf("%s: %v %s", typ, err, a.Output)
		}
		s := d.NewStream([]byte(c.input), call)
		for _, chunk := range c.chunks {
			events, err := s.Event(fmt.Appendf(nil, `{"chunk":{"bytes":%q}}`, base64.StdEncoding.EncodeToString([]byte(chunk))))
			if want := strings.Replace(chunk, "secret.backend-v1:0", "ours", 1); err != nil || len(events) != 1 || string(events[0].Payload) != want {
				t.Errorf("%s: %v %s", typ, err, events)
			}
		}
	}
}
