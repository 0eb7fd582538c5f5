package simlm

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// stream answers a request with a stream (OpenAI: stream, stream_options): one event for each token, when the batch has made it, then the
// finish reason, the token counts if they are asked for, and the end. The first event comes with the first token, as in vLLM.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, r *http.Request, q *request, fault FaultKind) {
	out := &streamed{s: s, w: w, q: q, chat: r.URL.Path == "/v1/chat/completions"}
	text, finish, stop := q.text()
	out.tokens = strings.SplitAfter(text, " ")
	if text == "" {
		out.tokens = nil
	}
	if fault == FaultTorn {
		out.most = len(out.tokens) / 2
	} else {
		out.most = len(out.tokens)
	}
	q.told = out.upTo
	switch err := s.work(ctx, q); {
	case errors.Is(err, errFull):
		s.turnAway(ctx, w)
		return
	case err != nil:
		return // the client is gone
	}
	if fault != "" {
		s.quick.failed.Add(1)
	}
	if fault == FaultNonsense {
		spoil(w, fault, nil)
		return
	}
	out.upTo(out.most)
	if fault == FaultTorn {
		panic(http.ErrAbortHandler)
	}
	out.end(finish, stop)
}

// streamed is the stream of one answer.
type streamed struct {
	s      *Server
	w      http.ResponseWriter
	q      *request
	chat   bool
	tokens []string
	most   int // tokens that are sent before the end, or before a fault
	sent   int
	began  bool
}

// upTo sends the tokens up to the n-th, as one event each.
func (o *streamed) upTo(n int) {
	n = min(n, o.most)
	if o.sent >= n && o.began {
		return
	}
	for ; o.sent < n; o.sent++ {
		b := o.content(o.chunk(), o.tokens[o.sent])
		o.event(append(b, `,"finish_reason":null}]}`...))
	}
	o.flush()
}

// chunk begins a chunk, up to the content of its choice.
func (o *streamed) chunk() []byte {
	prefix, object := "cmpl-", "text_completion"
	if o.chat {
		prefix, object = "chatcmpl-", "chat.completion.chunk"
	}
	b := append([]byte(nil), `{"id":"`...)
	b = append(b, o.q.id(prefix)...)
	b = append(b, `","object":"`...)
	b = append(b, object...)
	b = append(b, `","created":0,"model":`...)
	b = strconv.AppendQuote(b, o.s.o.Model)
	return append(b, `,"choices":[`...)
}

// content appends a choice with a text, without its end.
func (o *streamed) content(b []byte, text string) []byte {
	b = append(b, `{"index":0,`...)
	switch {
	case !o.chat:
		b = append(b, `"text":"`...)
		return append(append(b, text...), '"')
	case text == "":
		return append(b, `"delta":{}`...)
	case !o.began:
		b = append(b, `"delta":{"role":"assistant","content":"`...)
	default:
		b = append(b, `"delta":{"content":"`...)
	}
	return append(append(b, text...), `"}`...)
}

// event writes an event.
func (o *streamed) event(data []byte) {
	if !o.began {
		o.began = true
		o.w.Header().Set("Content-Type", "text/event-stream")
		o.w.Header().Set("Cache-Control", "no-cache")
	}
	o.w.Write(append(append([]byte("data: "), data...), "\n\n"...))
}

// flush sends what is written.
func (o *streamed) flush() {
	if f, ok := o.w.(http.Flusher); ok && o.began {
		f.Flush()
	}
}

// end sends the finish reason, the counts and the end of the stream.
func (o *streamed) end(finish, stop string) {
	b := o.content(o.chunk(), "")
	b = append(b, `,"finish_reason":"`...)
	b = append(b, finish...)
	b = append(b, '"')
	if stop != "" {
		b = append(b, `,"stop_reason":`...)
		b, _ = jsontext.AppendQuote(b, stop)
	}
	o.event(append(b, `}]}`...))
	if o.q.counted {
		b = append(o.chunk(), `],"usage":`...)
		o.event(append(o.s.usage(*o.q, b, len(o.tokens)), '}'))
	}
	o.event([]byte("[DONE]"))
	o.flush()
}

// follow is the wait of do for a request whose client wants each token when it is made.
func (b *batch) follow(ctx context.Context, s *sequence) error {
	var next *time.Timer // of the next token, without steps
	var due <-chan time.Time
	own := 0
	for {
		select {
		case <-s.finished:
			return ctx.Err()
		case <-ctx.Done():
			b.leave(s)
			return ctx.Err()
		case <-s.news:
			if b.o.steps() {
				s.told(b.madeOf(s))
				continue
			}
			if b.o.PerToken > 0 { // it has a slot: its own time begins
				next = time.NewTimer(b.o.Latency + b.o.PerToken)
				defer next.Stop()
				due = next.C
			}
		case <-due:
			own++
			s.told(own)
			next.Reset(b.o.PerToken)
		}
	}
}

// madeOf returns how many tokens of the answer there are.
func (b *batch) madeOf(s *sequence) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.made
}

// tell wakes follow, which reads how far the sequence is.
func (s *sequence) tell() {
	if s.news == nil {
		return
	}
	select {
	case s.news <- struct{}{}:
	default: // it is awake already
	}
}
