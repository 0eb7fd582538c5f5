package dialect

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// Some servers cut a prompt that is longer than their context and say nothing (Ollama, and whatever is told to truncate). What tells is the number of
// tokens that they counted.
//
// A tokenizer has, for text in words, 1.1 to 1.6 tokens a word; the sparsest, with tokens across words, about 0.7; a Chinese, Japanese or Korean
// character takes 0.5 to 1.5. Templates, images and tools only add to that. So a prompt was cut if
//
//	words ≥ leastWords and leastContext ≤ told < words × fewTokens
//
// where words are those between white space, and a quarter of the characters without any; and told is what the server counts: prompt_tokens, or
// total_tokens without completion_tokens where that is more, and cached_tokens besides, since some count them apart. Runs without white space, such as
// repeated signs, Base64 or a long number, are one word however long they are, for one token may stand for 128 of them. No server has a context of less than
// leastContext: a count below it is no count.
const (
	leastWords   = 400
	leastContext = 32
	fewTokens    = 0.5
)

// checkCut refuses an answer whose prompt the server cut. A server that does not tell its tokens is believed, and so is one that was told to cut.
func checkCut(call batholith.Call, answer []byte) error {
	body := trim(call.Body)
	if mostWords(body) < leastWords || asksToCut(body) || slices.ContainsFunc(call.Changes.Dropped, func(name string) bool { return strings.Contains(name, "truncat") }) {
		return nil
	}
	told := toldTokens(answer)
	if told < leastContext || told >= int64(float64(len(body))/2*fewTokens) { // a word and its space are two bytes at least
		return nil
	}
	words := promptWords(body)
	if words < leastWords || float64(told) >= float64(words)*fewTokens {
		return nil
	}
	return &batholith.RecordError{Code: http.StatusBadRequest, Message: fmt.Sprintf("The model server read %d tokens of a prompt of about %d words: it has cut the prompt. "+
		"Shorten the prompt, or raise the server's context length (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx)", told, words)}
}

// mostWords is a bound of the words of a body, which costs little: words are parted by white space, which may be escaped, by quotes, or by
// characters of two bytes and more.
func mostWords(body value) int {
	if len(body) < 2*leastWords {
		return 0
	}
	n := bytes.Count(body, []byte{' '}) + bytes.Count(body, []byte{'\\'}) + bytes.Count(body, []byte{'"'})
	if n >= leastWords {
		return n
	}
	wide := 0
	for _, c := range body {
		wide += int(c >> 7)
	}
	return n + wide/2
}

// asksToCut tells whether the record itself wants a prompt that is too long cut (vLLM, TEI, OpenRouter).
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

// toldTokens is the most that the usage of an answer may mean by the tokens of the prompt; 0 where it tells none.
func toldTokens(answer []byte) int64 {
	doc, err := parseAnswer(answer)
	if err != nil {
		return 0
	}
	var prompt, completion, total, cached int64
	for name, v := range doc.member("usage").members() {
		switch name {
		case "prompt_tokens", "input_tokens":
			prompt = max(prompt, tokenCount(v))
		case "completion_tokens", "output_tokens":
			completion = max(completion, tokenCount(v))
		case "total_tokens":
			total = tokenCount(v)
		case "prompt_tokens_details", "input_tokens_details":
			cached = max(cached, tokenCount(v.member("cached_tokens")))
		case "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens":
			cached = max(cached, tokenCount(v))
		}
	}
	if prompt = max(prompt, total-completion); prompt == 0 {
		return 0
	}
	return prompt + cached
}

// promptWords counts the words that a request has the model read: of the prompt or the input, or of the texts of the messages. Thoughts, calls and results
// of tools are left out, since templates leave them out of earlier turns.
func promptWords(body value) (n int64) {
	for name, v := range body.members() {
		switch name {
		case "prompt", "input":
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

// isWordRune tells whether a word may begin with r. Signs alone, such as those of a table or a line, are no words.
func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0xc0 && r < 0x2000
}

// escapedRune is the character of the escape that v begins with, and its length.
func escapedRune(v value) (rune, int) {
	if r, ok := codeUnit(v); ok {
		return r, 6
	}
	if len(v) > 1 && strings.IndexByte("ntrbf", v[1]) >= 0 {
		return ' ', 2
	}
	return '"', min(2, len(v))
}
