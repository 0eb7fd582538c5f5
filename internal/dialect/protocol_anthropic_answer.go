package dialect

import (
	"github.com/batholith/batholith"
)

// message is an answer of the Messages API:
//
//	{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],
//	 "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"output_tokens":2}}
type message struct {
	doc         value
	hubAnswer         // what OpenAI's protocol has a place for
	told, known value // stop_reason as the server says it; the same, if it is the end and one of Anthropic's
}

// messageReasons are Anthropic's words for why an answer ended.
var messageReasons = map[string]bool{"end_turn": true, "max_tokens": true, "stop_sequence": true, "tool_use": true, "pause_turn": true, "refusal": true,
	"model_context_window_exceeded": true}

// readMessage reads an answer. The error is a failure if the answer is incomplete or empty; with an
// empty one it returns what it has read.
// Claude may end its turn without a word, so an empty list of content is whole if the server says
// why it ended.
func readMessage(body []byte) (m message, err error) {
	doc, err := answerObject(body)
	if err != nil {
		return m, err
	}
	m.doc = doc
	var content, usage, sequence value
	for name, v := range doc.present() {
		switch name {
		case "id":
			m.id = v
		case "model":
			m.model = v
		case "content":
			content = v
		case "stop_reason":
			m.told = v
		case "stop_sequence":
			sequence = v
		case "usage":
			usage = v
		}
	}
	m.tokens = messageTokens(usage)
	if content.kind() != '[' {
		return message{}, nonsense("it has no list of content")
	}
	end, broken := endOf(m.told)
	if broken {
		return message{}, brokenOff(m.told)
	}
	if messageReasons[m.told.text()] {
		m.known = m.told
	}
	if m.told.is("stop_sequence") {
		m.stop = sequence
	}
	m.finish = end
	for _, block := range content.elements() {
		if err := m.block(block); err != nil {
			return m, err
		}
	}
	if end == "" && m.silent() {
		return m, nothingSaid()
	}
	if m.finish = endWith(len(m.calls), end); m.finish == endTools && end != endTools { // so do Ollama and some gateways
		m.known = nil
	}
	return m, nil
}

// block reads one block. Blocks of other types, such as what a server's own tool has found, have
// no counterpart in OpenAI's protocol.
func (m *message) block(block value) error {
	if block.kind() != '{' {
		return nonsense("a block of its content is not an object")
	}
	switch block.member("type").text() {
	case "text":
		text := block.member("text")
		if text.kind() != '"' {
			return nonsense("a text of its content is not a string")
		}
		m.text = joined(m.text, text)
	case "thinking":
		if thought := block.member("thinking"); thought.kind() == '"' && len(thought) > len(`""`) {
			m.thought = joined(m.thought, thought)
		}
	case "tool_use":
		name := block.member("name")
		if name.kind() != '"' || name.is("") {
			return modelFault("a tool call has no function name")
		}
		args, err := arguments(block.member("input"), m.finish == endLength)
		if err != nil {
			return err
		}
		m.calls = append(m.calls, toolCall{id: block.member("id"), name: name, arguments: args})
	}
	return nil
}

// reason returns stop_reason in Anthropic's words.
func (m message) reason() string {
	if !m.known.absent() {
		return m.known.text()
	}
	switch m.finish {
	case endLength:
		return "max_tokens"
	case endTools:
		return "tool_use"
	case endFilter:
		return "refusal"
	}
	return "end_turn"
}

// messageTokens reads a usage. Anthropic counts the tokens that were read from and written to a
// cache beside input_tokens.
func messageTokens(v value) (t batholith.Tokens) {
	for name, n := range v.members() {
		switch name {
		case "input_tokens":
			t.Input = tokenCount(n)
		case "output_tokens":
			t.Output = tokenCount(n)
		case "cache_read_input_tokens":
			t.CacheRead = tokenCount(n)
		case "cache_creation_input_tokens":
			t.CacheWrite = tokenCount(n)
		}
	}
	return withCache(t)
}

// withCache adds the cache's tokens to those of the prompt. If the sum is not credible, the
// cache's are ignored.
func withCache(t batholith.Tokens) batholith.Tokens {
	all := batholith.BelievedTokens(t.Input + t.CacheRead + t.CacheWrite)
	if all == 0 {
		t.CacheRead, t.CacheWrite = 0, 0
		return t
	}
	t.Input = all
	return t
}

// answer implements leg.
func (anthropicLeg) answer(call batholith.Call, body []byte) ([]byte, error) {
	m, err := readMessage(body)
	if err != nil {
		return nil, err
	}
	if m.finish == endStop && !knownFormat(call, m.text) {
		return nil, notOfTheFormat()
	}
	return m.body(), nil
}

// notOfTheFormat is the failure of an attempt whose answer ignores output_config.
func notOfTheFormat() error {
	return modelFault("it should be JSON of the schema that the record gives, and is not JSON; does the model server know output_config.format?")
}

// knownFormat reports whether an answer is JSON if the request asked for JSON. Servers that do
// not know output_config ignore it.
func knownFormat(call batholith.Call, text value) bool {
	return trim(call.Body).member("output_config").member("format").absent() || isJSON(text)
}
