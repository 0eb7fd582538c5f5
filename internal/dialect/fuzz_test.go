package dialect

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
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
	return all
}

// FuzzRequest holds that any body becomes either a call, one line of valid JSON, or a record's error with a message.
func FuzzRequest(f *testing.F) {
	all, trusting := everyDialect(f, Options{}), everyDialect(f, Options{Checked: true})
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
	all := everyDialect(f, Options{})
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
				if n := answer.Tokens; n.Input < 0 || n.Output < 0 || n.CacheRead > n.Input {
					t.Errorf("%s: tokens %+v", name, n)
				}
				continue
			}
			if _, ok := errors.AsType[*batholith.RecordError](err); !ok && !errors.Is(err, ErrNonsense) {
				t.Errorf("%s: %v is neither nonsense nor a record's error", name, err)
			}
		}
	})
}
