package tinylm

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"
)

// Stream is Complete that also calls each, on the caller's goroutine, with every piece of the text when it is computed. The pieces together are the
// result's text. A piece is one character or more; characters that may belong to a stop sequence are held back until that is known.
func (e *Engine) Stream(ctx context.Context, r Request, each func(piece string)) (Result, error) {
	j := &job{ctx: ctx, req: r, pieces: make(chan string, e.model.context+1)} // a piece has at least one token, so a worker never waits
	sent := 0
	told := func(piece string) {
		sent += len(piece)
		each(piece)
	}
	out, err := e.submitted(j, told)
	if err != nil {
		return Result{}, err
	}
	for len(j.pieces) > 0 {
		told(<-j.pieces)
	}
	if rest := out.result.Text[sent:]; rest != "" {
		each(rest)
	}
	return out.result, nil
}

// tell sends what is new of a slot's text and will stay.
func (l *slot) tell() {
	if l.job.pieces == nil {
		return
	}
	n := settled(l.text, l.told, l.job.req.Stop)
	if n > l.told {
		l.job.pieces <- string(l.text[l.told:n])
		l.told = n
	}
}

// settled returns how many bytes of a text will stay: whole characters that are not the beginning of a stop sequence. The first told bytes do.
func settled(text []byte, told int, stops []string) int {
	end := len(text)
	for _, s := range stops {
		for n := min(len(s)-1, len(text)); n > 0; n-- {
			if bytes.HasSuffix(text, []byte(s[:n])) {
				end = min(end, len(text)-n)
				break
			}
		}
	}
	n := told
	for n < end {
		r, size := utf8.DecodeRune(text[n:end])
		if r == utf8.RuneError && size <= 1 {
			break // not whole yet, or never: the end replaces it
		}
		n += size
	}
	return n
}

// reply is an answer that is sent as a stream.
type reply struct {
	req     Request
	chat    bool
	counted bool // the client wants the token counts at the end
}

// streamOptions is OpenAI's member of this name.
type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// stream sends an answer as it is computed (OpenAI: stream). The first event comes with the first piece of the text, so an error before it has a
// status of its own.
func (e *Engine) stream(w http.ResponseWriter, r *http.Request, p reply) error {
	o := &sender{w: w, began: time.Now().Unix(), chat: p.chat, id: e.id("cmpl")}
	if p.chat {
		o.id = "chat" + o.id
	}
	res, err := e.Stream(r.Context(), p.req, o.text)
	if err != nil {
		if o.sent {
			a := refusal(err)
			o.event(map[string]any{"error": map[string]any{"message": a.message, "type": a.kind, "code": a.code}})
			return nil
		}
		return err
	}
	o.choice("", res.Reason)
	if n := len(p.req.Prompt); p.counted {
		o.event(o.chunk([]any{}, usage{n, res.Tokens, n + res.Tokens}))
	}
	o.write([]byte("[DONE]"))
	return nil
}

// sender writes the events of a stream.
type sender struct {
	w     http.ResponseWriter
	id    string
	began int64
	chat  bool
	sent  bool
}

// text sends a piece of the text.
func (o *sender) text(piece string) { o.choice(piece, nil) }

// choice sends a chunk with a piece of the text, or with the reason of the end.
func (o *sender) choice(piece string, reason any) {
	c := map[string]any{"index": 0, "logprobs": nil, "finish_reason": reason}
	delta := map[string]string{}
	if !o.sent {
		delta["role"] = "assistant"
	}
	if piece != "" || !o.sent {
		delta["content"] = piece
	}
	if o.chat {
		c["delta"] = delta
	} else {
		c["text"] = piece
	}
	o.event(o.chunk([]any{c}, nil))
}

// chunk is the object of an event.
func (o *sender) chunk(choices []any, used any) map[string]any {
	object := "text_completion"
	if o.chat {
		object = "chat.completion.chunk"
	}
	return map[string]any{"id": o.id, "object": object, "created": o.began, "model": Name, "choices": choices, "usage": used}
}

// event sends an object.
func (o *sender) event(v any) {
	b, _ := json.Marshal(v) // maps of strings and numbers
	o.write(b)
}

// write sends the data of an event at once.
func (o *sender) write(data []byte) {
	if !o.sent {
		o.sent = true
		o.w.Header().Set("Content-Type", "text/event-stream")
		o.w.Header().Set("Cache-Control", "no-cache")
	}
	_, _ = o.w.Write(append(append([]byte("data: "), data...), "\n\n"...)) // an error here means that the caller has gone
	if f, ok := o.w.(http.Flusher); ok {
		f.Flush()
	}
}
