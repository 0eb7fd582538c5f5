package dialect

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Tokens is an estimate of input tokens, in units of 1/1000 token. The true number depends on the
// model's tokenizer and chat template. It lies between Least and Most for byte-pair tokenizers
// with a vocabulary of 32,000 or more. A tokenizer with one token per byte has [Weight.Text]
// tokens.
type Tokens struct{ Least, Likely, Most int64 }

// Add returns the sum of both.
func (t Tokens) Add(u Tokens) Tokens {
	return Tokens{t.Least + u.Least, t.Likely + u.Likely, t.Most + u.Most}
}

// rate is the number of tokens per character × 1000: least, likely, most.
type rate [3]uint64

// The rates of characters. They were measured on texts in 22 languages, code, tables and JSON.
// The tokenizers were Llama 2 (vocabulary of 32,000, gives most upper bounds), Llama 3, cl100k and
// o200k (gives most lower bounds). testdata/tokens.json has the counts. The bounds have a margin
// of at least 5 % on both sides.
var (
	lowerRate   = rate{155, 230, 450}  // letters and spaces: a word has one token or a few
	upperRate   = rate{155, 330, 800}  // words in capitals are split into more tokens
	digitRate   = rate{270, 600, 1350} // one to three digits are a token; in hashes the letters are split, too
	markRate    = rate{150, 550, 1000}
	blankRate   = rate{30, 200, 1000}   // tabs and newlines: a run is one token
	accentRate  = rate{150, 500, 1300}  // letters with accents, in two bytes
	alphaRate   = rate{150, 400, 1250}  // Greek, Cyrillic, Hebrew, Arabic and others in two bytes
	indicRate   = rate{200, 600, 1700}  // the scripts of India, Thai
	otherRate   = rate{150, 700, 2600}  // Georgian, Khmer, Vietnamese
	signRate    = rate{200, 800, 3000}  // dashes, arrows, mathematics
	hanRate     = rate{450, 850, 1800}  // Chinese, Japanese
	hangulRate  = rate{400, 800, 2200}  // Korean
	compatRate  = rate{300, 1000, 3000} // full-width forms and signs
	emojiRate   = rate{500, 1800, 4000}
	invalidRate = rate{0, 500, 1000}
	slashRate   = rate{0, 250, 500} // a backslash is two characters in JSON (\\), or part of another escape
)

// Tokens that a chat template adds to each message and to each request. Most includes the default
// system prompt of some templates (about 25 tokens in Llama 3.1 and Qwen 2.5, 70 in gpt-oss).
var (
	turnTokens = Tokens{1000, 5000, 12000}
	bodyTokens = Tokens{0, 4000, 80000}
)

// The three rates of a character are packed into one uint64, 21 bits each, and added together.
// A sum of laneSpan characters cannot overflow its 21 bits: 512 × 4,000 < 2^21.
const (
	laneBits = 21
	laneMask = 1<<laneBits - 1
	laneSpan = 512 // × 4,000 < 2^21
)

// packed has the rates of a character by its first UTF-8 byte. They are 0 for continuation bytes.
var packed = packRates()

func packRates() (all [256]uint64) {
	set := func(from, to int, r rate) {
		for c := from; c <= to; c++ {
			all[c] = r[0] | r[1]<<laneBits | r[2]<<(2*laneBits)
		}
	}
	set(0x00, 0x1f, blankRate)
	set(0x20, 0x7f, markRate)
	set(' ', ' ', lowerRate)
	set('a', 'z', lowerRate)
	set('A', 'Z', upperRate)
	set('0', '9', digitRate)
	set('\\', '\\', slashRate)
	set(0xc2, 0xcd, accentRate) // up to U+037F, with combining accents
	set(0xce, 0xdf, alphaRate)
	set(0xe0, 0xe0, indicRate)
	set(0xe1, 0xe1, otherRate)
	set(0xe2, 0xe2, signRate)
	set(0xe3, 0xe9, hanRate)
	set(0xea, 0xed, hangulRate)
	set(0xee, 0xef, compatRate)
	set(0xf0, 0xf4, emojiRate)
	set(0xf5, 0xff, invalidRate)
	return all
}

// weighText adds a JSON string, without its quotes, to the weight. Short escapes (\n, \") count as
// two characters, and the rate of the backslash is low. \u00e9 counts as the character é, because
// some programs escape all non-ASCII letters.
func (w *Weight) weighText(text []byte) {
	for {
		n := bytes.Index(text, []byte(`\u`))
		if n < 0 {
			w.weighBytes(text)
			return
		}
		w.weighBytes(text[:n])
		text = w.weighEscape(text[n:])
	}
}

// weighBytes adds UTF-8 text without \u escapes.
func (w *Weight) weighBytes(text []byte) {
	w.Text += int64(len(text) - bytes.Count(text, []byte{'\\'}))
	for len(text) > 0 {
		n := min(len(text), laneSpan)
		least, likely, most := lanes(text[:n])
		w.Tokens = w.Tokens.Add(Tokens{least, likely, most})
		text = text[n:]
	}
}

// lanes adds the rates of at most laneSpan bytes. It keeps two independent sums, which takes half
// the time of one because the processor adds to them in parallel.
func lanes(text []byte) (least, likely, most int64) {
	var even, odd uint64
	for ; len(text) >= 8; text = text[8:] {
		c := text[:8]
		even += packed[c[0]] + packed[c[2]] + packed[c[4]] + packed[c[6]]
		odd += packed[c[1]] + packed[c[3]] + packed[c[5]] + packed[c[7]]
	}
	for _, c := range text {
		even += packed[c]
	}
	sum := even + odd
	return int64(sum & laneMask), int64(sum >> laneBits & laneMask), int64(sum >> (2 * laneBits))
}

// weighEscape adds the character of the escape at the start of text (\u and four hexadecimal
// digits), and returns the rest of text. A character above U+FFFF is a pair of escapes
// (RFC 8259 section 7).
func (w *Weight) weighEscape(text []byte) []byte {
	const length = len(`\u0000`)
	r, ok := codeUnit(text)
	if !ok { // an escaped backslash before a u, as in \\users
		w.weighBytes(text[:len(`\u`)])
		return text[len(`\u`):]
	}
	text = text[length:]
	if low, ok := codeUnit(text); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
		r, text = utf16.DecodeRune(r, low), text[length:]
	}
	var b [utf8.UTFMax]byte
	w.weighBytes(b[:utf8.EncodeRune(b[:], r)])
	return text
}
