package dialect

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// tokenized is a text with the tokens that real tokenizers make of it: o200k and cl100k (npm gpt-tokenizer 4.0.0), Llama 3 (llama3-tokenizer-js
// 1.2.0) and Llama 2 (llama-tokenizer-js 1.2.2).
type tokenized struct {
	Name   string           `json:"name"`
	Text   string           `json:"text"`
	Tokens map[string]int64 `json:"tokens"`
}

func countedTexts(t *testing.T) (all []tokenized) {
	t.Helper()
	b, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil || len(all) < 20 {
		t.Fatal(len(all), err)
	}
	return all
}

// What real tokenizers count lies within the bounds, in every language, and with every character written as an escape.
func TestTheTokensOfRealTokenizersKeepWithinTheBounds(t *testing.T) {
	for _, c := range countedTexts(t) {
		quoted, err := json.Marshal(c.Text)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(quoted), strconv.QuoteToASCII(c.Text)} {
			text = surrogates(t, text)
			var w Weight
			w.weighText([]byte(text[1 : len(text)-1]))
			for name, n := range c.Tokens {
				if n*1000 < w.Tokens.Least || n*1000 > w.Tokens.Most {
					t.Errorf("%s: %s has %d tokens, estimated are %d to %d (in thousandths): %.60s", c.Name, name, n, w.Tokens.Least, w.Tokens.Most, text)
				}
			}
			if w.Tokens.Likely < w.Tokens.Least || w.Tokens.Likely > w.Tokens.Most {
				t.Errorf("%s: likely %d is not between %d and %d", c.Name, w.Tokens.Likely, w.Tokens.Least, w.Tokens.Most)
			}
			if n := int64(len(c.Text)); w.Text < n-2 || w.Text > n {
				t.Errorf("%s: %d bytes of text, estimated are %d", c.Name, n, w.Text)
			}
		}
	}
}

// surrogates writes \U00010000 as JSON does, as a pair.
func surrogates(t *testing.T, text string) string {
	t.Helper()
	for {
		before, rest, found := strings.Cut(text, `\U`)
		if !found {
			return text
		}
		n, err := strconv.ParseUint(rest[:8], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		n -= 0x10000
		text = before + `\u` + strconv.FormatUint(0xd800+n>>10, 16) + `\u` + strconv.FormatUint(0xdc00+n&0x3ff, 16) + rest[8:]
	}
}

// The rates of the longest text are added in one word of 64 bits. They must not run into one another.
func TestRatesKeepToTheirLanes(t *testing.T) {
	for c := range packed {
		text := []byte(strings.Repeat(string([]byte{byte(c)}), laneSpan))
		least, likely, most := lanes(text)
		one := packed[c]
		if want := laneSpan * int64(one&laneMask); least != want {
			t.Errorf("%#x: least %d, want %d", c, least, want)
		}
		if likely != laneSpan*int64(one>>laneBits&laneMask) || most != laneSpan*int64(one>>(2*laneBits)) {
			t.Errorf("%#x: likely %d, most %d", c, likely, most)
		}
	}
}
