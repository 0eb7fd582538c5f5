package simlm

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// request is the relevant content of a body.
type request struct {
	hash       uint64   // of prompt and seeds
	prompt     int      // tokens, about four bytes each
	blocks     []uint64 // of the prompt, for the prefix cache
	cached     int      // tokens of the prompt that the cache held; set after the request was processed
	output     int      // tokens of the answer
	limited    bool     // max_tokens bounds the answer
	dimensions int
	inputs     []uint64 // one hash for each text to embed
	stop       []string
	rank       int64       // see Priorities
	streamed   bool        // the client wants a stream,
	counted    bool        // with the token counts at its end
	told       func(n int) // of a stream: see sequence
	marked     FaultKind   // the fault that the prompt names, or ""
}

const (
	defaultDimensions = 256
	maxDimensions     = 4096
	bytesPerToken     = 4
)

// wire is the part of the three request bodies that is decoded. The prompt stays encoded.
type wire struct {
	Model      string         `json:"model"`
	Messages   jsontext.Value `json:"messages"`
	Tools      jsontext.Value `json:"tools"`
	Prompt     jsontext.Value `json:"prompt"`
	Input      jsontext.Value `json:"input"`
	MaxTokens  *int           `json:"max_tokens"`
	MaxNew     *int           `json:"max_completion_tokens"`
	Dimensions *int           `json:"dimensions"`
	Seed       jsontext.Value `json:"seed"`
	Stop       jsontext.Value `json:"stop"`
	Priority   *int64         `json:"priority"`
	Stream     bool           `json:"stream"`
	StreamOpts struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
}

var errModel = errors.New("this server does not have the model")

// read decodes a body. An error is the client's; errModel means 404.
func (s *Server) read(body []byte) (request, error) {
	var w wire
	if err := json.Unmarshal(body, &w, jsontext.AllowDuplicateNames(true)); err != nil {
		return request{}, fmt.Errorf("the body is not the JSON of this request: %w", err)
	}
	if w.Model != "" && w.Model != s.o.Model {
		return request{}, fmt.Errorf("%w: %q; it serves %q", errModel, w.Model, s.o.Model)
	}
	if p := w.Priority; p != nil && (s.o.Priorities == PrioritiesRefused && *p != 0 || s.o.Priorities == PrioritiesAborted) {
		return request{}, errPriority(*p)
	}
	prompt := w.Messages
	for _, v := range []jsontext.Value{w.Prompt, w.Input} {
		if len(prompt) == 0 {
			prompt = v
		}
	}
	if len(prompt) == 0 {
		return request{}, fmt.Errorf("messages, prompt or input is required")
	}
	q := request{hash: hash(s.o.Seed, prompt, w.Seed), prompt: len(prompt)/bytesPerToken + 1, dimensions: defaultDimensions}
	if !s.free { // without times the length of the encoded prompt is good enough, and costs nothing
		text := w.rendered()
		q.prompt = len(text)/bytesPerToken + 1
		if s.batch.cache != nil {
			q.blocks = blocksOf(text)
		}
	}
	q.output = s.length(q.hash)
	for _, limit := range []*int{w.MaxTokens, w.MaxNew} {
		if limit != nil && *limit > 0 && *limit < q.output {
			q.output, q.limited = *limit, true
		}
	}
	if len(w.Input) > 0 {
		q.inputs, q.output = s.texts(w.Input), 0
	}
	if d := w.Dimensions; d != nil {
		if *d < 1 || *d > maxDimensions {
			return request{}, fmt.Errorf("dimensions should be from 1 to %d", maxDimensions)
		}
		q.dimensions = *d
	}
	q.stop, q.rank = stops(w.Stop), s.o.Priorities.rank(w.Priority)
	q.streamed, q.counted = w.Stream && len(w.Input) == 0, w.StreamOpts.Usage
	if s.o.Marks {
		q.marked = markOf(prompt)
	}
	return q, nil
}

// length is the number of tokens of an answer before max_tokens bounds it:
//
//	least × (most / least)^z, with z the mean of four uniform numbers from 0 to 1
//
// So most lengths are near the geometric mean of OutputTokens and OutputTokensMax, and few are long.
func (s *Server) length(h uint64) int {
	least, most := s.o.OutputTokens, s.o.OutputTokensMax
	if most <= least {
		return least
	}
	z := 0.0 // the mean of four uniform numbers is nearly normal, and bounded
	for range 4 {
		h = mix(h)
		z += float64(h>>11) / (1 << 53) / 4
	}
	return int(math.Round(float64(least) * math.Pow(float64(most)/float64(least), z)))
}

// texts returns a hash for each text of an input, which is one text or a list.
func (s *Server) texts(input jsontext.Value) []uint64 {
	var list []jsontext.Value
	if input.Kind() != '[' || json.Unmarshal(input, &list) != nil {
		return []uint64{hash(s.o.Seed, input, nil)}
	}
	var hashes []uint64
	for _, v := range list {
		hashes = append(hashes, hash(s.o.Seed, v, nil))
	}
	return hashes
}

// stops decodes the member stop: one text or a list.
func stops(v jsontext.Value) []string {
	switch v.Kind() {
	case '"':
		var s string
		if json.Unmarshal(v, &s) == nil {
			return []string{s}
		}
	case '[':
		var l []string
		if json.Unmarshal(v, &l) == nil {
			return l
		}
	}
	return nil
}

// hash is a hash of a prompt with the seeds of server and request, the same in every process.
func hash(seed uint64, prompt, requestSeed []byte) uint64 {
	h := fnv.New64a()
	h.Write(bytes.TrimSpace(prompt))
	h.Write(requestSeed)
	return mix(h.Sum64() ^ mix(seed))
}

// mix is a hash of 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// id is the id of an answer.
func (q request) id(prefix string) string { return prefix + strconv.FormatUint(q.hash, 36) }
