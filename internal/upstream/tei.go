package upstream

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// Calls to TEI that are sent at the same time are joined to one request, since a request costs as
// much as the embedding of a short text. A request holds at most as many texts as the server takes
// (max_client_batch_size). If the server refuses a request of several texts, or accepts fewer, its
// halves are sent again, so that only the bad text fails. A retry is sent alone.
//
// The texts of one call may go out in several requests; the call ends when all of them have.
const (
	// joinTime is how long a call waits for others.
	joinTime = 2 * time.Millisecond
	// defaultJoin is how many texts a request holds if the server does not tell (TEI:
	// --max-client-batch-size).
	defaultJoin = 32
	// teiHead is the beginning of the requests, which package dialect writes.
	teiHead = `{"inputs":`
)

// joiner collects texts whose requests have the same other members.
type joiner struct {
	mu        sync.Mutex
	gathering map[string]*gathering // by these members
	most      int                   // texts in one request; 0: not asked yet
}

// gathering is a request that waits for texts. full is closed when it is to be sent at once.
type gathering struct {
	texts []text
	full  chan struct{}
}

// text is one text of a call.
type text struct {
	json  jsontext.Value
	of    *joint
	place int
}

// joint is a call whose texts are under way. Its fields are guarded by mu, until done is closed.
type joint struct {
	ctx     context.Context // of the caller
	mu      sync.Mutex
	left    int
	vectors []jsontext.Value
	tokens  int64
	failure error
	done    chan struct{}
}

// ended notes how a text ended.
func (j *joint) ended(place int, vector jsontext.Value, tokens int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.vectors[place], j.tokens = vector, j.tokens+tokens
	if err != nil && j.failure == nil {
		j.failure = err
	}
	if j.left--; j.left == 0 {
		close(j.done)
	}
}

// embed sends a call to TEI.
func (b *Backend) embed(ctx context.Context, call batholith.Call) ([]byte, error) {
	inputs, rest, ok := teiInputs(call.Body)
	if !ok {
		return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: http.StatusBadRequest, Message: "the request has no inputs", Public: "a request has no inputs"}
	}
	j := &joint{ctx: ctx, left: len(inputs), vectors: make([]jsontext.Value, len(inputs)), done: make(chan struct{})}
	texts := make([]text, len(inputs))
	for i, v := range inputs {
		texts[i] = text{v, j, i}
	}
	if call.Fresh {
		go b.sendTexts(texts, rest, true)
	} else {
		b.join(texts, rest)
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if j.failure != nil {
		return nil, j.failure
	}
	out := []byte(`{"embeddings":[`)
	for i, v := range j.vectors {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(strconv.AppendInt(append(out, `],"tokens":`...), j.tokens, 10), '}'), nil
}

// teiInputs returns the texts of a request, and the members behind them.
func teiInputs(body []byte) (inputs []jsontext.Value, rest string, ok bool) {
	tail, ok := bytes.CutPrefix(body, []byte(teiHead))
	if !ok {
		return nil, "", false
	}
	d := jsontext.NewDecoder(bytes.NewReader(tail), lenient)
	v, err := d.ReadValue()
	if err != nil {
		return nil, "", false
	}
	rest = string(tail[d.InputOffset():])
	if v.Kind() != '[' {
		return []jsontext.Value{v.Clone()}, rest, true
	}
	if json.Unmarshal(v, &inputs, lenient) != nil || len(inputs) == 0 {
		return nil, "", false
	}
	return inputs, rest, true
}

// join adds texts to the request that waits for such texts, or begins one.
func (b *Backend) join(texts []text, rest string) {
	c := b.joiner
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gathering == nil {
		c.gathering = map[string]*gathering{}
	}
	g := c.gathering[rest]
	if g == nil {
		g = &gathering{full: make(chan struct{})}
		c.gathering[rest] = g
		go b.gather(g, rest)
	}
	g.texts = append(g.texts, texts...)
	if most := c.most; most > 0 && len(g.texts) >= most {
		delete(c.gathering, rest)
		close(g.full)
	}
}

// gather waits for further texts, and sends the request. It ends when the request has ended, which
// its callers wait for unless they are cancelled.
func (b *Backend) gather(g *gathering, rest string) {
	timer := time.NewTimer(joinTime)
	defer timer.Stop()
	select {
	case <-g.full:
	case <-timer.C:
		b.joiner.mu.Lock()
		if b.joiner.gathering[rest] == g {
			delete(b.joiner.gathering, rest)
		}
		b.joiner.mu.Unlock()
	}
	b.sendTexts(g.texts, rest, false)
}

// sendTexts sends texts in as many requests as the server needs, at the same time.
func (b *Backend) sendTexts(texts []text, rest string, fresh bool) {
	most := b.mostTexts(texts[0].of.ctx)
	var all sync.WaitGroup
	for len(texts) > 0 {
		n := min(len(texts), most)
		part := texts[:n]
		texts = texts[n:]
		all.Go(func() { b.sendPart(part, rest, fresh) })
	}
	all.Wait()
}

// mostTexts is how many texts a request may hold. The server is asked once.
func (b *Backend) mostTexts(ctx context.Context) int {
	c := b.joiner
	c.mu.Lock()
	most := c.most
	c.mu.Unlock()
	if most > 0 {
		return most
	}
	var info struct {
		Most int `json:"max_client_batch_size"`
	}
	body, answered, err := b.ask(context.WithoutCancel(ctx), b.beside("/info"))
	if err == nil {
		_ = json.Unmarshal(body, &info, lenient) // what cannot be read is not known
	}
	most = info.Most
	if most <= 0 {
		most = defaultJoin
	}
	if answered {
		c.mu.Lock()
		c.most = most
		c.mu.Unlock()
	}
	return most
}

// sendPart sends one request, and its halves if the server refuses it because of one of its texts.
func (b *Backend) sendPart(texts []text, rest string, fresh bool) {
	vectors, tokens, err := b.sendOnce(texts, rest, fresh)
	if f, ok := errors.AsType[*batholith.Failure](err); ok && len(texts) > 1 && divisible(f) {
		half := len(texts) / 2
		b.sendPart(texts[:half], rest, fresh)
		b.sendPart(texts[half:], rest, fresh)
		return
	}
	total := 0
	for _, t := range texts {
		total += len(t.json)
	}
	seen, told := 0, int64(0)
	for i, t := range texts {
		if err != nil {
			t.of.ended(t.place, nil, 0, err)
			continue
		}
		seen += len(t.json)
		share := tokens*int64(seen)/int64(total) - told // shares by length, whose sum is what the server told
		told += share
		t.of.ended(t.place, vectors[i], share, nil)
	}
}

// divisible reports whether a refusal may be due to one text of several, or to their number. A
// failed computation (424) may be, too.
func divisible(f *batholith.Failure) bool {
	switch f.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusFailedDependency:
		return true
	}
	return false
}

// sendOnce sends one request. It is called off when all callers are gone.
func (b *Backend) sendOnce(texts []text, rest string, fresh bool) (vectors []jsontext.Value, tokens int64, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(texts[0].of.ctx), b.o.Timeout, errTimeout)
	defer cancel()
	defer watchAll(texts, cancel)()
	body := []byte(teiHead)
	if len(texts) > 1 {
		body = append(body, '[')
	}
	for i, t := range texts {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, t.json...)
	}
	if len(texts) > 1 {
		body = append(body, ']')
	}
	body, err = b.patched(ctx, append(body, rest...))
	if err != nil {
		return nil, 0, err
	}
	call := batholith.Call{Path: "/embed", Body: body, Fresh: fresh}
	s := b.newSending()
	req, client, err := b.request(ctx, call, s)
	if err != nil {
		return nil, 0, b.classify(ctx, err, s)
	}
	answer, err := b.exchange(client, req, call.Body, s, func(resp *http.Response) ([]byte, error) {
		tokens, _ = strconv.ParseInt(resp.Header.Get("X-Compute-Tokens"), 10, 32)
		return readAll(ctx, resp, nil)
	})
	if err != nil {
		return nil, 0, b.classify(ctx, err, s)
	}
	if json.Unmarshal(answer, &vectors, lenient) != nil || len(vectors) != len(texts) {
		return nil, 0, b.classify(ctx, &mangled{how: "does not have one embedding for each text"}, s)
	}
	return vectors, max(tokens, 0), nil
}

// watchAll calls cancel when the callers of all texts are gone. stop ends the watch.
func watchAll(texts []text, cancel func()) (stop func()) {
	left := map[*joint]bool{}
	for _, t := range texts {
		left[t.of] = true
	}
	var mu sync.Mutex
	n := len(left)
	var stops []func() bool
	for j := range left {
		stops = append(stops, context.AfterFunc(j.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if n--; n == 0 {
				cancel()
			}
		}))
	}
	return func() {
		for _, s := range stops {
			s()
		}
	}
}
