package simlm

import (
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// words are the words of all answers, one token each.
var words = strings.Fields(`granite basalt gabbro diorite mica quartz feldspar olivine magma vein dyke sill crust mantle ridge
fault fold strata shale slate schist gneiss marble chalk flint clay sand gravel river delta basin plateau under over through
slowly cools rises settles holds breaks turns carries the a of and with from into deep old hard grey`)

// text is the answer to a request, with its finish reason and the stop sequence that ended it, if any.
func (q request) text() (s, finish, stop string) {
	var b strings.Builder
	b.Grow(q.output * 7)
	for i, x := 0, q.hash; i < q.output; i++ {
		x = mix(x)
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[x%uint64(len(words))])
	}
	s, finish = b.String(), "stop"
	if q.limited {
		finish = "length"
	}
	for _, w := range q.stop {
		if i := strings.Index(s, w); i >= 0 && w != "" {
			s, finish, stop = s[:i], "stop", w
		}
	}
	return s, finish, stop
}

// chat is the body of a chat completion.
func (s *Server) chat(q request) []byte {
	text, finish, stop := q.text()
	b := s.head(q, "chatcmpl-", "chat.completion")
	b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":"`...)
	b = append(b, text...) // the words need no escaping
	b = append(b, `"}`...)
	return s.tail(q, b, text, finish, stop)
}

// complete is the body of a text completion.
func (s *Server) complete(q request) []byte {
	text, finish, stop := q.text()
	b := s.head(q, "cmpl-", "text_completion")
	b = append(b, `,"choices":[{"index":0,"text":"`...)
	b = append(b, text...)
	b = append(b, '"')
	return s.tail(q, b, text, finish, stop)
}

// head begins the body of a completion, up to its choices.
func (s *Server) head(q request, prefix, object string) []byte {
	b := make([]byte, 0, 320+q.output*7)
	b = append(b, `{"id":"`...)
	b = append(b, q.id(prefix)...)
	b = append(b, `","object":"`...)
	b = append(b, object...)
	b = append(b, `","created":0,"model":`...)
	return strconv.AppendQuote(b, s.o.Model)
}

// tail ends it, from the finish reason on.
func (s *Server) tail(q request, b []byte, text, finish, stop string) []byte {
	b = append(b, `,"finish_reason":"`...)
	b = append(b, finish...)
	b = append(b, '"')
	if stop != "" {
		b = append(b, `,"stop_reason":`...)
		b, _ = jsontext.AppendQuote(b, stop)
	}
	b = append(b, `}],"usage":`...)
	b = s.usage(q, b, countWords(text))
	return append(b, '}')
}

// usage appends the usage object. It has cached_tokens if there is a prefix cache.
func (s *Server) usage(q request, b []byte, output int) []byte {
	b = append(b, `{"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(q.prompt), 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, int64(output), 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(q.prompt+output), 10)
	if s.batch.cache != nil {
		b = append(b, `,"prompt_tokens_details":{"cached_tokens":`...)
		b = strconv.AppendInt(b, int64(q.cached), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// countWords is the number of tokens of an answer.
func countWords(s string) int {
	if s == "" {
		return 0
	}
	return strings.Count(s, " ") + 1
}

// embed is the body of an embeddings answer.
func (s *Server) embed(q request) []byte {
	b := append([]byte(nil), `{"object":"list","model":`...)
	b = strconv.AppendQuote(b, s.o.Model)
	b = append(b, `,"data":[`...)
	for i, h := range q.inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"object":"embedding","index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"embedding":`...)
		b = vector(b, h, q.dimensions)
		b = append(b, '}')
	}
	b = append(b, `],"usage":{"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(q.prompt), 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(q.prompt), 10)
	return append(b, `}}`...)
}

// vector appends a vector of n numbers with length 1, whose direction is a function of h.
func vector(b []byte, h uint64, n int) []byte {
	v := make([]float64, n)
	sum := 0.0
	for i := range v {
		h = mix(h)
		v[i] = float64(int64(h)) / math.MaxInt64
		sum += v[i] * v[i]
	}
	length := math.Sqrt(sum)
	b = append(b, '[')
	for i := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, v[i]/length, 'f', 8, 64)
	}
	return append(b, ']')
}
