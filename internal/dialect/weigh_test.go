package dialect

import "testing"

func TestABodyIsWeighedByWhatTheModelReadsAndMayAnswer(t *testing.T) {
	for body, want := range map[string]Weight{ // without the tokens
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"system":"abc","messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}`:   {Text: 8, Turns: 2, Most: 20},
		`{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"you"}],"max_completion_tokens":7,"stop":["END"]}`:                      {Text: 8, Turns: 2, Most: 7},
		`{"messages":[{"role":"user","content":[{"text":"hi"},{"image":{"format":"png","source":{"bytes":"AAAAAAAA"}}}]}],"inferenceConfig":{"maxTokens":5}}`: {Text: 2, Turns: 1, Most: 5},
		`{"inputText":"hello","textGenerationConfig":{"maxTokenCount":9}}`:                                                                                    {Text: 5, Turns: 1, Most: 9},
		`{"prompt":"hello","max_gen_len":3}`:               {Text: 5, Turns: 1, Most: 3},
		`{"inputText":"hello","dimensions":256}`:           {Text: 5, Turns: 1, Most: 0},
		`{"texts":["a","bc"],"input_type":"search_query"}`: {Text: 3, Turns: 1, Most: 0},
		`{"messages":[],"max_tokens":1.5}`:                 {Turns: 1},
		`{}`:                                               {Turns: 1},
		`{"prompt":"a\u00e9\ud83d\ude00\n\"b"}`:            {Text: 10, Turns: 1},
	} {
		got := Weigh([]byte(body))
		got.Tokens = Tokens{}
		if got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}
