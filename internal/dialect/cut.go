package dialect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// Some servers cut off part of a prompt that is longer than their context, without an error:
// Ollama, and servers that are configured to truncate. The cut shows in the answer's usage: too
// few tokens for the words of the prompt.
//
// Tokenizers make 1.1 to 1.6 tokens of a word. Those with tokens that span words make about 0.7
// of a word. They make 0.5 to 1.5 tokens of a Chinese, Japanese or Korean character. Templates,
// images and tools only add tokens. So a prompt was cut if
//
//	words ≥ leastWords and leastContext ≤ told < fewTokens × words
//
//	words = words separated by white space + Chinese, Japanese and Korean characters / 4
//	told  = max(prompt_tokens, total_tokens − completion_tokens) + tokens read from the cache + tokens written to it
//
// The cache's tokens are added because some servers do not include them in prompt_tokens. A run
// of characters without white space, such as Base64, a long number or a line of dashes, counts
// as one word at most, since one token may stand for 128 such characters. No server has a
// context below leastContext, so a smaller count is taken as wrong.
const (
	leastWords   = 400
	leastContext = 32
	fewTokens    = 0.5
)

// checkCut returns an error if the server cut the prompt. It accepts the answer if the server
// reports no tokens, or if the record asks for truncation: by a member of the request, or by
// one that was dropped. prompt is the answer's prompt_tokens, as they were read before. told is
// never less, so most answers need not be read again.
func checkCut(call batholith.Call, prompt int64, answer []byte) error {
	body := trim(call.Body)
	few := func(tokens, words int64) bool {
		return words >= leastWords && float64(tokens) < float64(words)*fewTokens
	}
	if !few(prompt, mostWords(body)) || asksToCut(body) || slices.ContainsFunc(call.Changes.Dropped, func(name string) bool { return strings.Contains(name, "truncat") }) {
		return nil
	}
	told := toldTokens(answer)
	if told < leastContext {
		return nil
	}
	words := promptWords(body)
	if !few(told, words) {
		return nil
	}
	return &batholith.RecordError{Code: http.StatusBadRequest, Message: fmt.Sprintf("The model server read %d tokens of a prompt of about %d words: it has cut the prompt. "+
		"Shorten the prompt, or raise the server's context length (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx)", told, words)}
}

// mostWords is an upper bound of promptWords that is cheap to compute. It counts what can
// separate words: spaces, escapes, quotes, and half of the bytes of non-ASCII characters.
func mostWords(body value) int64 {
	if len(body) < 2*leastWords { // a word and its space take at least 2 bytes
		return 0
	}
	return int64(bytes.Count(body, []byte{' '}) + bytes.Count(body, []byte{'\\'}) + bytes.Count(body, []byte{'"'}) + wideBytes(body)/2)
}

// wideBytes counts the bytes of non-ASCII characters, eight at a time.
func wideBytes(b []byte) (n int) {
	for ; len(b) >= 8; b = b[8:] {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(b) & (ones << 7))
	}
	for _, c := range b {
		n += int(c >> 7)
	}
	return n
}

// asksToCut reports whether the request itself asks the server to truncate a long prompt (vLLM,
// TEI, OpenRouter).
func asksToCut(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "truncate_prompt_tokens", "truncate", "transforms", "truncation":
			if !v.absent() && v.kind() != 'f' {
				return true
			}
		}
	}
	return false
}

// toldTokens returns told, the largest number of prompt tokens that the answer can mean; 0 if
// it has none.
func toldTokens(answer []byte) int64 {
	doc, err := parseAnswer(answer)
	if err != nil {
		return 0
	}
	var prompt, completion, total int64
	var c cacheTokens
	for name, v := range doc.member("usage").members() {
		switch name {
		case "prompt_tokens", "input_tokens":
			prompt = max(prompt, tokenCount(v))
		case "completion_tokens", "output_tokens":
			completion = max(completion, tokenCount(v))
		case "total_tokens":
			total = tokenCount(v)
		case "prompt_tokens_details", "input_tokens_details":
			for name, v := range v.members() {
				c.take(name, v)
			}
		default:
			c.take(name, v)
		}
	}
	prompt = max(prompt, tokenCount(doc.member("prompt_eval_count"))) // Ollama
	if prompt = max(prompt, total-completion); prompt == 0 {
		return 0
	}
	c.take("cache_n", doc.member("timings").member("cache_n")) // llama-server, also behind a server that counts only the other tokens
	return prompt + c.read + c.written
}

// cacheTokens are the tokens that a usage says were read from the cache and written to it.
// Servers and gateways that count as Anthropic does include neither in the prompt's tokens;
// others include both. Their names differ, but for "cache": cached_tokens (OpenAI),
// cache_read_input_tokens and cache_creation_input_tokens (Anthropic, LiteLLM),
// cache_write_tokens (OpenRouter), prompt_cache_hit_tokens (DeepSeek), cacheReadInputTokens
// (Bedrock).
type cacheTokens struct{ read, written int64 }

// take takes in a member of a usage. Of several names for one count, the largest is used.
func (c *cacheTokens) take(name string, v value) {
	name = strings.ToLower(name)
	switch {
	case !strings.Contains(name, "cache") || strings.Contains(name, "miss"): // a miss is always among the prompt's tokens
	case strings.Contains(name, "write") || strings.Contains(name, "creat"):
		c.written = max(c.written, tokenCount(v))
	default:
		c.read = max(c.read, tokenCount(v))
	}
}

// promptWords counts the words of a request's prompt, input or messages. It does not count
// thoughts, tool calls and tool results, since chat templates may leave them out of earlier
// turns.
func promptWords(body value) (n int64) {
	for name, v := range body.members() {
		switch name {
		case "prompt", "input", "inputs":
			n += wordsIn(v)
		case "messages":
			for _, m := range v.elements() {
				if role := m.member("role"); role.is("tool") || role.is("function") {
					continue
				}
				content := m.member("content")
				if content.kind() == '"' {
					n += wordsIn(content)
				}
				for _, p := range content.elements() {
					n += wordsIn(p.member("text"))
				}
			}
		}
	}
	return n
}

// wordsIn counts the words of a string, or of a list of strings.
func wordsIn(v value) (n int64) {
	if v.kind() == '[' {
		for _, e := range v.elements() {
			n += wordsIn(e)
		}
		return n
	}
	if v.kind() != '"' {
		return 0
	}
	wide := int64(0)
	in := false // a word
	for i := 1; i < len(v)-1; {
		r, size := rune(v[i]), 1
		switch {
		case r == '\\':
			r, size = escapedRune(v[i:])
		case r >= utf8.RuneSelf:
			r, size = utf8.DecodeRune(v[i:])
		}
		i += size
		switch {
		case r <= ' ' || r == 0xa0 || r == 0x3000:
			in = false
		case r >= 0x3040 && r < 0xa000 || r >= 0xac00 && r < 0xd7a4 || r >= 0xf900 && r < 0xfb00: // kana, Han, Hangul
			wide++
			in = false
		case !in && isWordRune(r):
			n++
			in = true
		}
	}
	return n + wide/4
}

// isWordRune reports whether a word may begin with r: a letter or a digit. Punctuation alone,
// such as a line of a table, is no word.
func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0xc0 && r < 0x2000
}

// escapedRune returns the character of the JSON escape at the start of v, and the escape's
// length. Each of \n, \t, \r, \b and \f is returned as a space, and any other escape of two
// characters as a quote, which does not begin a word.
func escapedRune(v value) (rune, int) {
	if r, ok := codeUnit(v); ok {
		return r, 6
	}
	if len(v) > 1 && strings.IndexByte("ntrbf", v[1]) >= 0 {
		return ' ', 2
	}
	return '"', min(2, len(v))
}
