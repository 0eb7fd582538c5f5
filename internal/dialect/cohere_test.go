package dialect

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// A result of a tool belongs to the call that it names, wherever it stands among the results: by name and parameters, or by name where it gives no parameters
// that a call has. What names no call of the turn before is a call of its own.
func TestAResultKeepsToTheCallThatItNames(t *testing.T) {
	call := func(name, parameters string) string {
		return fmt.Sprintf(`{"name":%q,"parameters":%s}`, name, parameters)
	}
	result := func(call, answer string) string {
		return fmt.Sprintf(`{"call":%s,"outputs":[{"a":%q}]}`, call, answer)
	}
	for name, c := range map[string]struct {
		calls, results []string
		want           []string // for each tool message: name and arguments of its call, and its answer
	}{
		"in order": {[]string{call("f", `{"x":1}`), call("g", `{}`)}, []string{result(call("f", `{"x":1}`), "one"), result(call("g", `{}`), "two")},
			[]string{`f {"x":1} one`, `g {} two`}},
		"in another order": {[]string{call("f", `{"x":1}`), call("g", `{}`)}, []string{result(call("g", `{}`), "two"), result(call("f", `{"x":1}`), "one")},
			[]string{`g {} two`, `f {"x":1} one`}},
		"of one tool": {[]string{call("f", `{"x":1,"y":"é"}`), call("f", `{"x":2}`)}, []string{result(call("f", `{"x":2}`), "two"), result(call("f", "{ \"y\":\"\\u00e9\", \"x\":1 }"), "one")},
			[]string{`f {"x":2} two`, `f {"x":1,"y":"é"} one`}},
		"of equal calls": {[]string{call("f", `{}`), call("f", `{}`)}, []string{result(call("f", `{}`), "one"), result(call("f", `{}`), "two")},
			[]string{`f {} one`, `f {} two`}},
		"without parameters": {[]string{call("f", `{"x":1}`), call("g", `{"x":1}`)}, []string{result(`{"name":"g"}`, "two"), result(`{"name":"f"}`, "one")},
			[]string{`g {"x":1} two`, `f {"x":1} one`}},
		"the exact one first": {[]string{call("f", `{"x":1}`), call("f", `{}`)}, []string{result(call("f", `{"z":0}`), "one"), result(call("f", `{}`), "two")},
			[]string{`f {"x":1} one`, `f {} two`}},
		"of no call": {[]string{call("f", `{}`)}, []string{result(call("h", `{"q":0}`), "other"), result(call("f", `{}`), "one")},
			[]string{`f {} one`, `h {"q":0} other`}},
		"one missing": {[]string{call("f", `{}`), call("g", `{}`)}, []string{result(call("g", `{}`), "two")}, []string{`g {} two`}},
	} {
		history := fmt.Sprintf(`[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"","tool_calls":[%s]}`, strings.Join(c.calls, ","))
		results := "[" + strings.Join(c.results, ",") + "]"
		for where, body := range map[string]string{
			"of the body":  fmt.Sprintf(`{"message":"","chat_history":%s],"tool_results":%s}`, history, results),
			"in a message": fmt.Sprintf(`{"message":"go on","chat_history":%s,{"role":"TOOL","tool_results":%s}]}`, history, results),
		} {
			d, err := For("cohere", ProtocolOpenAI, batholith.InvokeModel, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Request([]byte(body), "served")
			if err != nil {
				t.Errorf("%s, %s: %v", name, where, err)
				continue
			}
			if diff := cmp.Diff(c.want, toolMessages(t, got.Body)); diff != "" {
				t.Errorf("%s, %s: %s\n%s", name, where, diff, got.Body)
			}
		}
	}
}

// toolMessages are the tool messages of a request: name and arguments of the call that the id names, in a message before, and the answer.
func toolMessages(t *testing.T, body []byte) (all []string) {
	t.Helper()
	var request struct {
		Messages []struct {
			Role  string
			Calls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
			ID      string `json:"tool_call_id"`
			Content any
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, m := range request.Messages {
		for _, c := range m.Calls {
			if made[c.ID] != "" {
				t.Errorf("two calls have the id %s", c.ID)
			}
			made[c.ID] = c.Function.Name + " " + c.Function.Arguments
		}
		if m.Role == "tool" {
			var outputs []struct{ A string }
			if err := json.Unmarshal([]byte(fmt.Sprint(m.Content)), &outputs); err != nil || len(outputs) != 1 {
				t.Fatalf("%v: %v", m.Content, err)
			}
			all = append(all, made[m.ID]+" "+outputs[0].A)
		}
	}
	return all
}
