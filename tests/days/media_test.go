package days

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

// TestAJobSendsTheMediaBesideItsInput is AWS's own example of media in batch inference: a folder with the records and the objects that they
// name. The model server sees an image, a video that is larger than what is held in memory, and the text of a document. Objects of another
// folder are not read. The embedded model, which sees no images, refuses the image as it does one in bytes.
func TestAJobSendsTheMediaBesideItsInput(t *testing.T) {
	photo := append([]byte("\x89PNG\r\n\x1a\n"), "a photo"...)
	clip := bytes.Repeat([]byte("clip "), 1<<20)
	want := map[string]string{
		"image_url": `"data:image/png;base64,` + base64.StdEncoding.EncodeToString(photo) + `"`,
		"video_url": `"data:video/mp4;base64,` + base64.StdEncoding.EncodeToString(clip) + `"`,
		"document":  "the text of a note",
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		for kind, content := range want {
			seen[kind] = seen[kind] || bytes.Contains(body, []byte(content))
		}
		io.WriteString(w, `{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"seen"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`)
	}))
	defer model.Close()
	s := harness.Start(t, "models:\n- {id: m, family: nova, backends: [{url: '"+model.URL+"'}]}\n")
	in := s.Request("").InputDataConfig.(*types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig).Value
	root := *in.S3Uri

	record := func(id, block string) string {
		return fmt.Sprintf(`{"recordId":%q,"modelInput":{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[%s,{"text":"What is this?"}]}]}}`+"\n", id, block)
	}
	location := func(key string) string { return fmt.Sprintf(`"source":{"s3Location":{"uri":"%s%s"}}`, root, key) }
	s.Put("in/photo.png", photo)
	s.Put("in/deep/clip.mp4", clip)
	s.Put("in/note.txt", []byte("the text of a note"))
	s.Put("other/photo.png", photo)
	s.Put("in/records.jsonl", []byte(
		record("image", `{"image":{"format":"png",`+location("in/photo.png")+`}}`)+
			record("video", `{"video":{"format":"mp4",`+location("in/deep/clip.mp4")+`}}`)+
			record("document", `{"document":{"format":"txt","name":"note",`+location("in/note.txt")+`}}`)+
			record("other", `{"image":{"format":"png",`+location("other/photo.png")+`}}`)))
	job := s.Create("in/")
	completed(t, s, job, 4, 1)
	for kind := range want {
		if !seen[kind] {
			t.Errorf("the model server saw no %s", kind)
		}
	}
	for _, l := range s.Lines(job, "records.jsonl.out") {
		if refused := l.RecordID == "other"; refused != (l.Error != nil) || refused && !strings.Contains(l.Error.ErrorMessage, "is not below "+root+"in/") {
			t.Errorf("%s: %v", l.RecordID, l.Error)
		}
	}

	s.Put("tiny/photo.png", photo)
	s.Put("tiny/records.jsonl", []byte(record("image", `{"image":{"format":"png",`+location("tiny/photo.png")+`}}`)))
	tiny := s.Create("tiny/", func(in *bedrock.CreateModelInvocationJobInput) {
		in.ModelId, in.JobName = aws.String("batholith.tiny-v1"), aws.String("tiny")
	})
	completed(t, s, tiny, 1, 1)
	if l := s.Lines(tiny, "records.jsonl.out")[0]; l.Error == nil || strings.Contains(l.Error.ErrorMessage, "s3") {
		t.Errorf("the embedded model refused the image with %v", l.Error)
	}
}
