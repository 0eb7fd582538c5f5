package dialect

import "testing"

func TestABodyIsWeighedByWhatTheModelReadsAndMayAnswer(t *testing.T) {
	for body, want := range map[string]Weight{
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"system":"abc","messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}`:   {8, 20},
		`{"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"you"}],"max_completion_tokens":7,"stop":["END"]}`:                      {8, 7},
		`{"messages":[{"role":"user","content":[{"text":"hi"},{"image":{"format":"png","source":{"bytes":"AAAAAAAA"}}}]}],"inferenceConfig":{"maxTokens":5}}`: {2, 5},
		`{"inputText":"hello","textGenerationConfig":{"maxTokenCount":9}}`:                                                                                    {5, 9},
		`{"prompt":"hello","max_gen_len":3}`:               {5, 3},
		`{"inputText":"hello","dimensions":256}`:           {5, 0},
		`{"texts":["a","bc"],"input_type":"search_query"}`: {3, 0},
		`{"messages":[],"max_tokens":1.5}`:                 {},
		`{}`:                                               {},
	} {
		if got := Weigh([]byte(body)); got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}
