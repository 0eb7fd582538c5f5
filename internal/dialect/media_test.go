package dialect

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// TestEveryObjectThatABodyNamesIsFoundInItsPlace: in each of these bodies the object is found, with its kind and format, and the body with the
// bytes in its place is what a client would have sent.
func TestEveryObjectThatABodyNamesIsFoundInItsPlace(t *testing.T) {
	const at = `"s3Location":{"uri":"s3://b/k"}`
	turn := func(block string) string { return `{"messages":[{"role":"user","content":[` + block + `]}]}` }
	for name, c := range map[string]struct{ body, want, kind, format, path string }{
		"image":    {turn(`{"image":{"format":"png","source":{` + at + `}}}`), turn(`{"image":{"format":"png","source":{"bytes":"WA=="}}}`), "image", "png", "messages.0.content.0.image.source.s3Location"},
		"video":    {turn(`{"text":"t"},{"video":{"source":{` + at + `},"format":"mp4"}}`), turn(`{"text":"t"},{"video":{"source":{"bytes":"WA=="},"format":"mp4"}}`), "video", "mp4", "messages.0.content.1.video.source.s3Location"},
		"document": {turn(`{"document":{"format":"txt","name":"n","source":{` + at + `}}}`), turn(`{"document":{"format":"txt","name":"n","source":{"bytes":"WA=="}}}`), "document", "txt", "messages.0.content.0.document.source.s3Location"},
		"tool result": {turn(`{"toolResult":{"toolUseId":"i","content":[{"image":{"format":"png","source":{` + at + `}}}]}}`),
			turn(`{"toolResult":{"toolUseId":"i","content":[{"image":{"format":"png","source":{"bytes":"WA=="}}}]}}`), "image", "png", "messages.0.content.0.toolResult.content.0.image.source.s3Location"},
		"guarded":     {turn(`{"guardContent":{"image":{"format":"png","source":{` + at + `}}}}`), turn(`{"guardContent":{"image":{"format":"png","source":{"bytes":"WA=="}}}}`), "image", "png", "messages.0.content.0.guardContent.image.source.s3Location"},
		"spaces":      {turn(`{"image": { "source" : { "s3Location" : {"uri" : "s3:\/\/b\/k"} } } }`), turn(`{"image": { "source" : { "bytes":"WA==" } } }`), "image", "", "messages.0.content.0.image.source.s3Location"},
		"nulls":       {turn(`{"image":{"format":"png","source":{"bytes":null,` + at + `}}}`), turn(`{"image":{"format":"png","source":{"bytes":null,"bytes":"WA=="}}}`), "image", "png", "messages.0.content.0.image.source.s3Location"},
		"embedding":   {`{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"image":{"format":"png","source":{` + at + `}}}}`, `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"image":{"format":"png","source":{"bytes":"WA=="}}}}`, "image", "png", "singleEmbeddingParams.image.source.s3Location"},
		"text":        {`{"singleEmbeddingParams":{"text":{"truncationMode":"END","source":{` + at + `}}}}`, `{"singleEmbeddingParams":{"text":{"truncationMode":"END","value":"X"}}}`, "text", "", "singleEmbeddingParams.text.source.s3Location"},
		"two members": {body: turn(`{"image":{"format":"png","source":{"bytes":"AA==",` + at + `}}}`)},
		"twice":       {body: turn(`{"image":{"format":"png","source":{` + at + `,` + at + `}}}`)},
		"in a text":   {body: turn(`{"text":"{\"s3Location\":{\"uri\":\"s3://b/k\"}}"}`)},
		"in a tool":   {body: turn(`{"toolUse":{"name":"f","toolUseId":"i","input":{"image":{"source":{` + at + `}}}}}`)},
		"in a result": {body: turn(`{"toolResult":{"toolUseId":"i","content":[{"json":{"image":{"source":{` + at + `}}}}]}}`)},
		"elsewhere":   {body: `{"image":{"source":{` + at + `}},"messages":{"content":[{"image":{"source":{` + at + `}}}]}}`},
		"no object":   {body: `["s3Location"]`},
		"a string":    {body: `"s3Location"`},
	} {
		found := Locations([]byte(c.body))
		if c.want == "" {
			if found != nil {
				t.Errorf("%s: found %v", name, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Kind != c.kind || found[0].Format != c.format || found[0].URI != "s3://b/k" || found[0].Path != c.path || found[0].Wrong != "" {
			t.Errorf("%s: found %+v", name, found)
			continue
		}
		if got := Filled([]byte(c.body), found, nil, func(int) []byte { return []byte("X") }); string(got) != c.want {
			t.Errorf("%s: got  %s\nwant %s", name, got, c.want)
		}
	}
}

// TestMarksComeThroughTheTranslation: the mark of each medium is in the request once, in the place of its Base64.
func TestMarksComeThroughTheTranslation(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/i"}}}},` +
		`{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/v"}}}},{"audio":{"format":"mp3","source":{"s3Location":{"uri":"s3://b/a"}}}}]}]}`)
	places := Locations(body)
	marks := []string{NewMark(), NewMark(), NewMark()}
	for _, family := range []string{"nova", "any", "converse"} {
		typ := batholith.InvokeModel
		if family == "converse" {
			family, typ = "openai", batholith.Converse
		}
		d, err := For(family, ProtocolOpenAI, typ, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.Request(Filled(body, places, marks, func(int) []byte { return nil }), "m")
		if err != nil {
			t.Fatal(err)
		}
		for i, mark := range marks {
			if strings.Count(string(call.Body), mark) != 1 {
				t.Errorf("%s: the mark of %s is not in %s once", family, places[i].URI, call.Body)
			}
		}
		if _, err := base64.StdEncoding.DecodeString(marks[0]); err != nil || len(marks[0]) != MarkBytes {
			t.Errorf("the mark %s is not Base64 of %d bytes", marks[0], MarkBytes)
		}
		if _, err := d.Request(body, "m"); err == nil || !strings.Contains(err.Error(), "cannot be read here") {
			t.Errorf("%s: an object that nobody has read: %v", family, err)
		}
	}
}

// FuzzLocations: a body with objects stays valid JSON when they are filled in.
func FuzzLocations(f *testing.F) {
	f.Add([]byte(`{"messages":[{"content":[{"image":{"source":{"s3Location":{"uri":"s3://b/k"}}}}]}]}`))
	f.Add([]byte(`{"singleEmbeddingParams":{"text":{"source":{"s3Location":{"uri":"s3://b/k","bucketOwner":"1"}}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		places := Locations(body)
		if out := Filled(body, places, make([]string, len(places)), func(int) []byte { return []byte(`"\`) }); !json.Valid(out) {
			t.Errorf("%s became %s", body, out)
		}
	})
}

// TestAMarkComesThroughEveryProtocol: the mark of an image is in the request once, as the whole data of the image or at the end of its data URL.
func TestAMarkComesThroughEveryProtocol(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/i"}}}},{"text":"t"}]}],"inferenceConfig":{"maxTokens":5}}`)
	mark := NewMark()
	filled := Filled(body, Locations(body), []string{mark}, func(int) []byte { return nil })
	for _, protocol := range Protocols() {
		d, err := For("nova", protocol, batholith.Converse, Options{})
		if err != nil {
			continue // its servers have no chats
		}
		call, err := d.Request(filled, "m")
		if err != nil {
			t.Errorf("%s: %v", protocol, err)
			continue
		}
		if n := strings.Count(string(call.Body), mark+`"`); n != 1 {
			t.Errorf("%s: the mark is there %d times: %s", protocol, n, call.Body)
		}
	}
}
