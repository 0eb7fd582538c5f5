package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
)

// everyDialect is one of each family, and Converse.
func everyDialect(t testing.TB, o Options) map[string]Dialect {
	all := map[string]Dialect{}
	for _, f := range Families() {
		d, err := For(f, ProtocolOpenAI, batholith.InvokeModel, o)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = d
	}
	d, err := For("openai", ProtocolOpenAI, batholith.Converse, o)
	if err != nil {
		t.Fatal(err)
	}
	all["converse"] = d
	for _, protocol := range Protocols() {
		for _, typ := range []batholith.InvocationType{batholith.InvokeModel, batholith.Converse} {
			for _, f := range Families() {
				if d, err := For(f, protocol, typ, o); err == nil && protocol != ProtocolOpenAI && (typ != batholith.Converse || f == "openai") {
					all[protocol+" "+f+" "+string(typ)] = d
				}
			}
		}
	}
	return all
}

// FuzzRequest holds that any body becomes either a call, one line of valid JSON, or a record's error with a message.
func FuzzRequest(f *testing.F) {
	all, trusting := everyDialect(f, Options{Documents: document.Here{}}), everyDialect(f, Options{Documents: document.Here{}, Checked: true})
	for _, file := range goldenFiles(f) {
		_, cases := readGolden(f, file)
		for _, g := range cases {
			f.Add(g.request)
		}
	}
	f.Add([]byte(`{"messages":[{"role":"user","content":"half a pair: \ud800"}],"prompt":"\udc00","inputText":"\ud800\u0041"}`))
	f.Fuzz(func(t *testing.T, input []byte) {
		before := bytes.Clone(input)
		// It may be a part of a line, whose check lets half a surrogate pair pass.
		line := utf8.Valid(input) && bytes.IndexByte(input, '\n') < 0 && jsontext.Value(input).IsValid(looseNames, jsontext.AllowInvalidUTF8(true))
		for name, d := range all {
			call, err := d.Request(input, "served-model")
			if line {
				again, e := trusting[name].Request(input, "served-model")
				if (err == nil) != (e == nil) || err != nil && err.Error() != e.Error() || !bytes.Equal(call.Body, again.Body) || call.Path != again.Path {
					t.Errorf("%s: %s, %v when it is checked once more; %s, %v when it is not", name, call.Body, err, again.Body, e)
				}
			}
			if err == nil {
				wholesome(t, name, call.Body)
				clear(call.Body) // as the next request does in memory that was let go, which must not be the input's
				if Discard(call); !bytes.Equal(input, before) {
					t.Fatalf("%s: a request is in the memory of its input", name)
				}
				continue
			}
			if e, ok := errors.AsType[*batholith.RecordError](err); !ok || e.Message == "" {
				t.Errorf("%s: %v is not a record's error", name, err)
			}
		}
	})
}

// FuzzAnswer holds that any answer to a body that was taken becomes either an output, one line of valid JSON, nonsense, or a record's error.
func FuzzAnswer(f *testing.F) {
	all := everyDialect(f, Options{Documents: document.Here{}})
	for _, file := range goldenFiles(f) {
		_, cases := readGolden(f, file)
		for _, g := range cases {
			f.Add(g.request, g.answer)
		}
	}
	f.Fuzz(func(t *testing.T, input, body []byte) {
		for name, d := range all {
			call, err := d.Request(input, "served-model")
			if err != nil {
				continue // nothing was sent, so that nothing comes back
			}
			answer, err := d.Answer(input, call, body)
			if err == nil {
				wholesome(t, name, answer.Output)
				if !believable(answer.Tokens) {
					t.Errorf("%s: tokens %+v", name, answer.Tokens)
				}
				continue
			}
			if _, ok := errors.AsType[*batholith.Failure](err); ok {
				continue
			}
			if _, ok := errors.AsType[*batholith.RecordError](err); !ok && !errors.Is(err, ErrNonsense) {
				t.Errorf("%s: %v is neither nonsense nor a record's error", name, err)
			}
		}
	})
}

// believable tells whether a request can have taken these tokens.
func believable(n batholith.Tokens) bool {
	ok := func(n int64) bool { return n >= 0 && n <= batholith.MaxRequestTokens }
	return ok(n.Input) && ok(n.Output) && ok(n.CacheRead) && ok(n.CacheWrite) && n.CacheRead+n.CacheWrite <= n.Input
}

// counted is a record of a family, and an answer that makes an output.
type counted struct {
	Dialect
	name          string
	input, answer []byte
}

// everyCounted is one of each golden file.
func everyCounted(t testing.TB) (all []counted) {
	for _, file := range goldenFiles(t) {
		d, cases := readGolden(t, file)
		for _, g := range cases {
			call, err := d.Request(g.request, "served-model")
			if err != nil || len(g.answer) == 0 {
				continue
			}
			if _, err := d.Answer(g.request, call, g.answer); err == nil {
				all = append(all, counted{d, file + " " + g.name, g.request, g.answer})
				break
			}
		}
	}
	return all
}

// withUsage puts another usage into an answer.
func withUsage(answer, usage []byte) []byte {
	var b buffer
	b.open('{')
	for name, v := range trim(answer).fields() {
		if !name.is("usage") {
			b.member(name.text(), v)
		}
	}
	b.member("usage", usage)
	b.close('}')
	return b
}

// FuzzCounts holds that an answer with any usage at all is told with counts that a request can have, in every family.
func FuzzCounts(f *testing.F) {
	all := everyCounted(f)
	for _, n := range []string{"1", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "99999999999999999999999", "2147483647", "2147483648",
		"1.5", "1e3", "1e400", "-1e400", "0.1e-400", `"7"`, `"-7"`, "null", "true", "[1]", "{}", "-0", "1E+2"} {
		f.Add([]byte(n), []byte("1"), []byte("1"))
		f.Add([]byte("1"), []byte(n), []byte("1"))
		f.Add([]byte("5"), []byte("1"), []byte(n))
		f.Add([]byte(n), []byte(n), []byte(n))
	}
	f.Fuzz(func(t *testing.T, prompt, completion, cached []byte) {
		usage := fmt.Appendf(nil, `{"prompt_tokens":%s,"completion_tokens":%s,"total_tokens":%s,"prompt_tokens_details":{"cached_tokens":%s}}`, prompt, completion, prompt, cached)
		if n := Usage(ProtocolOpenAI, withUsage([]byte("{}"), usage)); !believable(n) {
			t.Errorf("usage %s counts as %+v", usage, n)
		}
		if !jsontext.Value(usage).IsValid() {
			return
		}
		for _, c := range all {
			answer, err := c.Answer(c.input, batholith.Call{}, withUsage(c.answer, usage))
			if err != nil {
				t.Errorf("%s: usage %s: %v", c.name, usage, err)
				continue
			}
			wholesome(t, c.name, answer.Output)
			if !believable(answer.Tokens) {
				t.Errorf("%s: usage %s counts as %+v", c.name, usage, answer.Tokens)
			}
		}
	})
}
