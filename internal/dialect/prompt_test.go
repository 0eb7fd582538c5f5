package dialect

import (
	"strings"
	"testing"
)

func TestAPromptIsReadInTheOrderOfTheModel(t *testing.T) {
	for _, c := range []struct{ name, input, tools, system, turns string }{
		{"anthropic", `{"max_tokens":9,"messages":[1],"system":"s","tools":[2]}`, `[2]`, `"s"`, `[1]`},
		{"converse", `{"messages":[1],"system":[{"text":"s"}],"inferenceConfig":{"maxTokens":9},"toolConfig":{"tools":[]}}`, `{"tools":[]}`, `[{"text":"s"}]`, `[1]`},
		{"openai", ` {"messages" : [ 1 ] , "max_completion_tokens" : 9 } `, ``, ``, `[ 1 ]`},
		{"titan", `{"inputText":"x","textGenerationConfig":{"maxTokenCount":9}}`, ``, ``, `"x"`},
		{"llama", `{"prompt":"x","max_gen_len":9}`, ``, ``, `"x"`},
		{"cohere", `{"message":"x","preamble":"s","max_tokens":9}`, ``, `"s"`, `"x"`},
		{"no family", `{"n":1,"max_tokens":9}`, ``, ``, `{"n":1,"max_tokens":9}`},
	} {
		p := PromptOf([]byte(c.input))
		if string(p.Tools) != c.tools || string(p.System) != c.system || string(p.Turns) != c.turns || p.MaxTokens != 9 {
			t.Errorf("%s: tools %q, system %q, turns %q, at most %d tokens", c.name, p.Tools, p.System, p.Turns, p.MaxTokens)
		}
	}
}

func TestABodyIsFixedByTemperatureZeroOrASeed(t *testing.T) {
	for input, fixed := range map[string]bool{
		`{"temperature":0}`: true, `{"temperature":0.0,"seed":null}`: true, `{"temperature":1,"seed":7}`: true, `{"inferenceConfig":{"temperature":0}}`: true,
		`{}`: false, `{"temperature":0.1}`: false, `{"temperature":null}`: false, `{"temperature":"0"}`: false, `{"messages":[{"temperature":0}]}`: false,
	} {
		if got := PromptOf([]byte(input)).Fixed; got != fixed {
			t.Errorf("%s: fixed is %v", input, got)
		}
	}
}

func TestPromptsThatBeginAlikeAreNeighbours(t *testing.T) {
	prompt := func(system, turns string) *Prompt { return &Prompt{System: []byte(system), Turns: []byte(turns)} }
	long := strings.Repeat("x", 1000)
	a, b, c := prompt("s", long+"1"), prompt("s", long+"2"), prompt("t", long+"1")
	if a.Compare(b) >= 0 || b.Compare(c) >= 0 || a.Compare(a) != 0 {
		t.Error("the system prompt comes before the turns")
	}
	for _, want := range []struct {
		p, q *Prompt
		n    int
	}{{a, b, 1001}, {a, c, 0}, {a, a, 1002}, {prompt("", "ab"), prompt("", "abc"), 2}, {prompt("sy", "x"), prompt("s", "x"), 1}} {
		if n := want.p.Shared(want.q); n != want.n {
			t.Errorf("%d bytes shared, want %d", n, want.n)
		}
	}
}

func TestABeginningSharesWhatItWasMadeOf(t *testing.T) {
	whole := Prompt{Tools: []byte("tools"), System: []byte("system"), Turns: []byte("turns")}
	for n := range whole.Len() + 3 {
		b := whole.Beginning(n)
		if want := min(n, whole.Len()); b.Len() != want || b.Shared(&whole) != want {
			t.Errorf("of %d bytes: %d, %d shared; want %d", n, b.Len(), b.Shared(&whole), want)
		}
		if n < whole.Len() && b.Compare(&whole) >= 0 {
			t.Errorf("of %d bytes: it does not come before the whole", n)
		}
	}
}
