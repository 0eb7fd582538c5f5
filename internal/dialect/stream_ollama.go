package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// streamed implements streamLeg.
func (ollamaLeg) streamed(call batholith.Call) batholith.Call {
	call.Body = Cut(call.Body, "stream") // the request for a whole answer has it as false
	return withStream(call)
}

// decoder implements streamLeg.
func (ollamaLeg) decoder(call batholith.Call) func([]byte) ([][]byte, bool, error) {
	d := &ollamaDecoder{prompted: call.Path == ollamaGeneratePath, format: wantsFormat(call)}
	return d.decode
}

// ollamaDecoder converts the lines of a stream of Ollama to OpenAI's chunks. Each line has the
// form of a whole answer, with what is new. Tool calls come whole. The last line has done, why the
// answer ended, and the token counts:
//
//	{"model":"m","message":{"role":"assistant","content":"Hel"},"done":false}
//	{"model":"m","message":{"role":"assistant","content":"lo"},"done":false}
//	{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":8,"eval_count":2}
//
// The lines of /api/generate have response in the place of message.
type ollamaDecoder struct {
	prompted bool // of /api/generate
	format   bool // the request asks for JSON

	begun bool   // a line had a message or a response
	said  bool   // a text, a thought or a call
	calls int    // tool calls so far
	text  pieces // kept for format
	wrong error  // of a call's arguments; no error if the answer is cut
}

// decode converts one line.
func (d *ollamaDecoder) decode(data []byte) (chunks [][]byte, done bool, err error) {
	doc, err := answerObject(data)
	if err != nil {
		return nil, false, err
	}
	done = doc.member("done").isTrue()
	var b buffer
	b.open('{')
	b.member("model", doc.member("model"))
	b.literal(`"choices":[{"index":0`)
	if d.prompted {
		err = d.response(&b, doc.member("response"))
	} else {
		err = d.message(&b, doc.member("message"), done)
	}
	if err == nil && done {
		err = d.end(&b, doc)
	}
	if err != nil {
		return nil, false, err
	}
	b.close('}')
	b.close(']')
	if done {
		b.usage(ollamaTokens(doc), false)
	}
	b.close('}')
	return [][]byte{b}, done, nil
}

// response writes a part of a completion.
func (d *ollamaDecoder) response(b *buffer, text value) error {
	if text.absent() {
		return nil
	}
	if text.kind() != '"' {
		return nonsense("it has no response")
	}
	d.begun = true
	b.member("text", text)
	return nil
}

// message writes a part of a message.
func (d *ollamaDecoder) message(b *buffer, m value, done bool) error {
	d.begun = d.begun || m.kind() == '{'
	b.key("delta")
	b.open('{')
	if thought := m.member("thinking"); thought.kind() == '"' && !thought.is("") {
		d.said = true
		b.member("reasoning_content", thought)
	}
	calls := m.member("tool_calls")
	switch text := m.member("content"); {
	case text.kind() == '"' && !text.is(""):
		d.said = true
		if d.format {
			d.text.add(text)
		}
		b.member("content", text)
	case done && d.calls == 0 && calls.len() == 0: // a turn may end without a word
		b.literal(`"content":""`)
	}
	if calls.filled() {
		b.key("tool_calls")
		b.open('[')
		for _, c := range calls.elements() {
			if err := d.call(b, c); err != nil {
				return err
			}
		}
		b.close(']')
	}
	b.close('}')
	return nil
}

// call writes a tool call. Ollama's own numbers are not used: some versions give 0 to all.
func (d *ollamaDecoder) call(b *buffer, c value) error {
	f := c.member("function")
	name := f.member("name")
	if name.kind() != '"' || name.is("") {
		return modelFault("a tool call has no function name")
	}
	args, err := arguments(f.member("arguments"), false)
	if err != nil {
		d.wrong, args = err, f.member("arguments")
	}
	b.open('{')
	b.integerMember("index", int64(d.calls))
	if id := c.member("id"); id.kind() == '"' && !id.is("") {
		b.member("id", id)
	} else {
		b.textMember("id", "call_"+strconv.Itoa(d.calls))
	}
	b.key("function")
	b.open('{')
	b.member("name", name)
	b.member("arguments", args)
	b.close('}')
	b.close('}')
	d.said, d.calls = true, d.calls+1
	return nil
}

// end writes why the answer ended. Its errors are those of ollamaLeg.answer.
func (d *ollamaDecoder) end(b *buffer, doc value) error {
	finish, err := ollamaEnd(doc)
	switch {
	case err != nil:
		return err
	case !d.begun && d.prompted:
		return nonsense("it has no response")
	case !d.begun:
		return nonsense("it has no message")
	case d.wrong != nil && finish != endLength:
		return d.wrong
	case finish == "" && !d.said && !d.prompted:
		return nothingSaid()
	}
	finish = endWith(d.calls, finish)
	if d.format && finish == endStop && !d.prompted && !isJSON(quotes(d.text.b)) {
		return notOllamaFormat()
	}
	b.textMember("finish_reason", finish)
	return nil
}
