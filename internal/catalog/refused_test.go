package catalog

import (
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// TestBodiesAreRefusedWithoutReadingWhatTheyName also holds that the same body is refused with the same reason each time.
func TestBodiesAreRefusedWithoutReadingWhatTheyName(t *testing.T) {
	c, err := New(Embedded(nil, nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.Serving(TinyModel)
	if !ok {
		t.Fatal("the embedded model is not there")
	}
	refused, err := s.Refused(batholith.Converse)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`:                                                                            "",
		`{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"d","source":{"bytes":"AAAA"}}}]}]}`:                       "",
		`{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"d","source":{"s3Location":{"uri":"s3://in/a.pdf"}}}}]}]}`: "",
		`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"s3://in/a.png"}}}}]}]}`:               "",
		`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":7}}}}]}]}`:                             "s3Location.uri",
		`{"messages":[{"role":"tool","content":[{"text":"Hi"}]}]}`:                                                                            "messages.0.role",
		`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"temperature":7}}`:                                        "inferenceConfig.temperature: Input should be less than or equal to 1",
	} {
		if why := refused([]byte(body)); (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", body, why, want)
		}
	}
}
