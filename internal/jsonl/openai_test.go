package jsonl

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func TestOpenAILinesAreRecords(t *testing.T) {
	for _, tt := range []struct{ line, id, input, why string }{
		{`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{ "n":1.0e0}}`, "a", `{ "n":1.0e0}`, ""},
		{`{"body":{},"custom_id":"ü\n","url":"\/v1\/chat\/completions","recordId":7,"modelInput":null}`, "ü\n", `{}`, ""},
		{`{"custom_id":"a","body":{}}`, "a", `{}`, ""},
		{`{"method":"POST","url":"/v1/chat/completions","body":{}}`, "", "", "custom_id is missing"},
		{`{"custom_id":"a","method":"GET","body":{}}`, "", "", "method is not POST"},
		{`{"custom_id":"a","url":"/v1/moderations","body":{}}`, "", "", "url is not one of /v1/chat/completions"},
		{`{"custom_id":"a","url":7,"body":{}}`, "", "", "url is a number"},
		{`{"custom_id":1,"body":{}}`, "", "", "custom_id is a number"},
		{`{"custom_id":"a","body":[]}`, "", "", "body is an array"},
		{`{"custom_id":"a","custom_id":"b","body":{}}`, "", "", "custom_id appears twice"},
		{`{"recordId":"a","modelInput":{}}`, "", "", `it is "body" here`},
		{`{"custom_id":"a","messages":[]}`, "", "", `goes inside "body"`},
		{`[]`, "", "", `{"custom_id": "…"`},
	} {
		id, input, err := ParseOf([]byte(tt.line), batholith.LinesOpenAI)
		if tt.why == "" && (err != nil || string(id) != tt.id || string(input) != tt.input) {
			t.Errorf("%s: %q, %s, %v", tt.line, id, input, err)
		}
		if tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s: %v; want %q", tt.line, err, tt.why)
		}
	}
	if _, _, err := Parse([]byte(`{"custom_id":"a","body":{}}`)); err == nil || !strings.Contains(err.Error(), "batholith:input=openai") {
		t.Errorf("a line of OpenAI's among Bedrock's: %v", err)
	}
}

func TestTheModelOfABodyIsItsOwnMember(t *testing.T) {
	for body, want := range map[string]string{
		`{"messages":[{"model":"x"}],"model":"m"}`: "m", `{"mod\u0065l" : "a\"b"}`: `a"b`, `{"model":7}`: "", `{}`: "", `{"x":"model"}`: "", `[`: "",
	} {
		if got, ok := ModelIn([]byte(body)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", body, got, ok)
		}
	}
}

// What AppendOutput, AppendSourced and AppendError write has one line in OpenAI's form: id and answer unchanged, one head for each record.
func TestEveryOutputLineHasOneInOpenAIsForm(t *testing.T) {
	from := &batholith.Source{Backend: "http://a\"b", Model: "m"}
	fail := &batholith.RecordError{Code: 429, Message: "no <\"good\">\n"}
	heads := map[string]bool{}
	for n, id := range []string{"a", "", `q"\`, "ü\u2028", `","modelOutput":1`} {
		for _, input := range []string{"", `{"modelOutput": {"error":1}}`} {
			for _, answer := range []string{`{"a": 1.00e0 , "b":"}\""}`, `[1]`, `"x"`} {
				key := batholith.RecordKey{File: 1, Record: int64(n)}
				var in []byte
				if input != "" {
					in = []byte(input)
				}
				head := OpenAIHead(nil, "abcdefghij01", key, []byte(id))
				heads[string(head)] = true
				for _, line := range [][]byte{AppendOutput(nil, []byte(id), in, []byte(answer)), AppendSourced(nil, []byte(id), in, []byte(answer), from)} {
					got, err := AppendOpenAI([]byte("before"), "abcdefghij01", key, line)
					var l struct {
						ID       string `json:"custom_id"`
						Response struct {
							Status int             `json:"status_code"`
							Body   json.RawMessage `json:"body"`
						} `json:"response"`
						Error any `json:"error"`
					}
					got, ok := bytes.CutPrefix(got, []byte("before"))
					if err != nil || !ok || json.Unmarshal(got, &l) != nil || l.ID != id || string(l.Response.Body) != answer || l.Response.Status != 200 || l.Error != nil ||
						!bytes.HasPrefix(got, head) || bytes.Count(got, []byte("\n")) != 1 {
						t.Fatalf("%s became %s, %v", line, got, err)
					}
				}
				got, err := AppendOpenAI(nil, "abcdefghij01", key, AppendError(nil, []byte(id), in, fail))
				var l struct {
					Response struct {
						Status int `json:"status_code"`
						Body   struct {
							Error struct{ Message, Type string } `json:"error"`
						} `json:"body"`
					} `json:"response"`
				}
				if err != nil || json.Unmarshal(got, &l) != nil || l.Response.Status != 429 || l.Response.Body.Error.Message != fail.Message || l.Response.Body.Error.Type != "rate_limit_error" || !bytes.HasPrefix(got, head) {
					t.Fatalf("an error became %s, %v", got, err)
				}
			}
		}
	}
	if len(heads) != 5 {
		t.Errorf("%d heads of 5 records", len(heads))
	}
	for _, line := range []string{"", "{}", `{"recordId":"a"}`, `{"recordId":"a","modelOutput":`, `{"recordId":"a","modelInput":{`, `{"recordId":"a","error":7}`} {
		if got, err := AppendOpenAI(nil, "j", batholith.RecordKey{}, []byte(line)); err == nil {
			t.Errorf("%q became %s", line, got)
		}
	}
}
