package dialect

import "testing"

// TestTheFeaturesOfABodyAreFound: images, audio and video, tools and schemas are found wherever a family has them, and not in texts about them.
func TestTheFeaturesOfABodyAreFound(t *testing.T) {
	for _, c := range []struct {
		input string
		want  Features
	}{
		{`{"messages":[{"role":"user","content":"\"type\":\"image\" {\"image\":{}}"}]}`, 0},
		{`{"messages":[{"role":"user","content":[{"type":"text","text":"image_url"}]}],"tools":[],"tool_choice":"auto","response_format":{"type":"text"}}`, 0},
		{`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, FeatureMedia},
		{`{"messages":[{"content":[{"type":"text","text":"a"},{"source":{"data":"x"}, "type" : "image"}],"role":"user"}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"x"}}}]}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{}}]}]}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"1","content":[{"image":{"format":"png"}}]}}]}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content","content":[{"type":"image","source":{}}]}}]}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"guardContent":{"image":{"format":"png"}}}]}]}`, FeatureMedia},
		{`{"messages":[{"role":"user","content":[{"guardContent":{"text":{"text":"image"}}}]}]}`, 0},
		{`{"messages":[{"role":"assistant","content":[{"type":"tool_use","input":{"image":{"a":1},"content":[{"type":"x"}]}}]}]}`, 0},
		{`{"messages":[{"role":"assistant","content":[{"toolUse":{"input":{"image":{"a":1}}}}]}]}`, 0},
		{`{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}`, FeatureStream},
		{`{"messages":[{"role":"user","content":[{"video":{"format":"mp4"}}]}]}`, FeatureStream},
		{`{"tools":[{"name":"x","input_schema":{}}],"tool_choice":{"type":"auto"},"messages":[]}`, FeatureTools},
		{`{"tools":[{"name":"x","input_schema":{}}],"tool_choice":{"type":"tool","name":"x"}}`, FeatureTools | FeatureSchema},
		{`{"tools":[{"type":"function"}],"tool_choice":"required"}`, FeatureTools | FeatureSchema},
		{`{"toolConfig":{"tools":[{"toolSpec":{}}],"toolChoice":{"auto":{}}}}`, FeatureTools},
		{`{"toolConfig":{"tools":[{"toolSpec":{}}],"toolChoice":{"any":{}}}}`, FeatureTools | FeatureSchema},
		{`{"response_format":{"type":"json_object"}}`, FeatureSchema},
		{`{"output_config":{"effort":"low"}}`, 0},
		{`{"output_config":{"format":{"type":"json_schema"}}}`, FeatureSchema},
		{`{"outputConfig":{"textFormat":{"type":"json_schema"}}}`, FeatureSchema},
		{`{"additionalModelRequestFields":{"guided_json":{"type":"object"}}}`, FeatureSchema},
		{`{"message":"hi","tools":[{"name":"x"}],"chat_history":[]}`, FeatureTools},
		{`{"inputText":"image"}`, 0},
		{`{"inputText":"x","inputImage":"AAAA"}`, FeatureMedia},
		{`{"inputText":"x","inputImage":null}`, 0},
		{`{"images":["data:image/png;base64,AAAA"],"input_type":"image"}`, FeatureMedia},
		{`{"prompt":"x","images":[]}`, 0},
		{`{"prompt":"x","images":["AAAA"]}`, FeatureMedia},
		{`{"inputs":[{"content":[{"type":"text","text":"image_url"}]},{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, FeatureMedia},
		{`{"inputs":[{"content":[{"type":"text","text":"image_url"}]}]}`, 0},
		{`{"singleEmbeddingParams":{"image":{"format":"png","source":{"bytes":"x"}}}}`, FeatureMedia},
		{`{"prompt":"image"}`, 0},
		{`{"messages":[{"role":"user","content":[]}],"messages":{}}`, 0},
		{`[]`, 0}, {``, 0}, {`{`, 0}, {`{"messages":[{"content":[{"type":`, 0}, {`{"messages":[`, 0},
	} {
		if got := PromptOf([]byte(c.input)).Features; got != c.want {
			t.Errorf("%s: got %b, want %b", c.input, got, c.want)
		}
	}
}
