package dialect

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// pagesOf are documents with these pages, or an error.
type pagesOf struct {
	pages []string
	err   error
}

func (p pagesOf) Pages(string, []byte) ([]string, error) { return p.pages, p.err }

// withDocuments is a Converse body with n documents of a size.
func withDocuments(n, size int) []byte {
	block := fmt.Sprintf(`{"document":{"format":"pdf","name":"d","source":{"bytes":"%s"}}}`, base64.StdEncoding.EncodeToString(make([]byte, size)))
	return []byte(`{"messages":[{"role":"user","content":[` + strings.Repeat(block+",", n) + `{"text":"x"}]}]}`)
}

func TestBedrocksLimitsOfDocumentsHoldInItsProfileOnly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		n, size int
		want    string // with the profile aws; without it, each is taken
	}{
		{"five", 5, 9, ""},
		{"six", 6, 9, "up to 5 documents"},
		{"large", 1, 4_718_592, ""},
		{"too large", 1, 4_718_700, "up to 4.5 MB"},
	} {
		for _, aws := range []bool{false, true} {
			d, err := For("openai", ProtocolOpenAI, batholith.Converse, Options{Documents: pagesOf{pages: []string{"x"}}, DocumentLimits: aws})
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Request(withDocuments(tt.n, tt.size), "m")
			switch {
			case !aws || tt.want == "":
				if err != nil {
					t.Errorf("%s, aws %v: %v", tt.name, aws, err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
		}
	}
}

func TestAFaultOfTheReaderIsNotBlamedOnTheDocument(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.Converse, Options{Documents: pagesOf{err: errors.New("fork: secret path")}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Request(withDocuments(1, 3), "m")
	e, ok := errors.AsType[*batholith.RecordError](err)
	if !ok || e.Code != 503 || !strings.Contains(e.Message, "send the record again") || strings.Contains(e.Message, "secret") {
		t.Errorf("the error is %v", err)
	}
}

func TestADocumentIsCountedAsMappedOnlyIfItIsRead(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.Converse, Options{Documents: pagesOf{pages: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	call, err := d.Request(withDocuments(1, 3), "m")
	if err != nil || !strings.Contains(fmt.Sprint(call.Changes.Mapped), "messages.content.document.source.bytes") {
		t.Errorf("%v, %v", call.Changes, err)
	}
	call, err = d.Request([]byte(`{"messages":[{"role":"user","content":[{"document":{"format":"txt","source":{"bytes":"eA=="}}}]}]}`), "m")
	if err != nil || len(call.Changes.Mapped) > 0 {
		t.Errorf("of a text: %v, %v", call.Changes, err)
	}
}

func TestWhatIsSwitchedOffIsNotCountedAsIgnored(t *testing.T) {
	d, err := For("anthropic", ProtocolOpenAI, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for enabled, want := range map[string]int{`{"enabled": false}`: 0, `{"enabled":true}`: 1} {
		call, err := d.Request([]byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","citations":`+enabled+
			`,"source":{"type":"text","data":"x"}}]}]}`), "m")
		if err != nil || len(call.Changes.Dropped) != want {
			t.Errorf("citations %s: %v, %v", enabled, call.Changes, err)
		}
	}
}

func TestADocumentInS3IsNotReadToCheckItsBody(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.Converse, Options{Documents: pagesOf{err: errors.New("it was read")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"pdf", "docx", "txt"} {
		body, err := StandIn([]byte(`{"messages":[{"role":"user","content":[{"document":{"format":"` + format + `","name":"d","source":{"s3Location":{"uri":"s3://in/d"}}}}]}]}`))
		if err == nil {
			_, err = d.Request(body, "m")
		}
		if err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}
