package simlm

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestASharedPrefixSavesItsPrefillExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: time.Millisecond, Prefill: time.Millisecond, Cache: 1 << 20, OutputTokens: 1})
		shared := strings.Repeat("All of these words are said to everybody. ", 40)
		first := took(t, s, chatBody(shared+"one ending"))
		w := ask(s, chat, chatBody(shared+"two ending"))
		cached := read[usageOf](t, w).Usage.Details.Cached
		if want := len("<|user|>"+shared) / blockBytes * blockTokens; cached != want {
			t.Errorf("%d tokens came from the cache, want the %d of whole blocks", cached, want)
		}
		if third := took(t, s, chatBody(shared+"six ending")); first-third != time.Duration(cached)*time.Millisecond {
			t.Errorf("%v with and %v without the prefix, want a difference of %d ms", third, first, cached)
		}
	})
}

func TestParametersAreNoPartOfThePrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: time.Millisecond, Cache: 1 << 20})
		long := strings.Repeat("word ", 200)
		system := `{"role":"system","content":"Be brief."}`
		for i, body := range []string{
			`{"messages":[` + system + `,{"role":"user","content":"` + long + `"}]}`,
			`{"max_tokens":5,"seed":7,"messages":[` + system + `,{"content":"` + long + `","role":"user"}]}`,
			`{"messages":[{"role":"user","content":[{"type":"text","text":"` + long + `"}]},` + system + `]}`,
		} {
			u := read[usageOf](t, ask(s, chat, body)).Usage
			if want := (u.Prompt - 1) / blockTokens * blockTokens; i > 0 && u.Details.Cached != want {
				t.Errorf("body %d: %d of %d tokens from the cache, want %d", i, u.Details.Cached, u.Prompt, want)
			}
		}
	})
}

func TestThePrefixThatWasUsedLongestAgoIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prompt := func(c string) string { return chatBody(strings.Repeat(c, 10*blockBytes)) }
		s := New(Options{Step: time.Millisecond, Cache: 25 * blockTokens})
		cached := func(c string) int { return read[usageOf](t, ask(s, chat, prompt(c))).Usage.Details.Cached }
		for i, c := range []struct {
			prompt string
			blocks int
		}{{"a", 0}, {"b", 0}, {"a", 10}, {"c", 0}, {"a", 10}, {"b", 5}} { // c took the place of the last five of b
			if got := cached(c.prompt); got != c.blocks*blockTokens {
				t.Errorf("request %d, %s: %d blocks from the cache, want %d", i, c.prompt, got/blockTokens, c.blocks)
			}
		}
	})
}
