package dialect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
)

// reads remembers the formats that it was asked to read.
type reads struct{ formats []string }

func (r *reads) Pages(format string, data []byte) ([]string, error) {
	r.formats = append(r.formats, format)
	if string(data) == "bad" {
		return nil, &document.Unreadable{Why: "has no text"}
	}
	return []string{"first of " + string(data), "second"}, nil
}

// TestAFileIsSentAsItsText: in the forms of OpenAI's chat, Mistral and Responses, named by its media type, its name or its first bytes. It stands where
// the file stood, with its name and pages, and the manifest counts it.
func TestAFileIsSentAsItsText(t *testing.T) {
	coded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		file, data string
		format     string // asked of the reader; "": it is text
		want       []string
	}{
		"a PDF":            {"report.pdf", "data:application/pdf;base64," + coded("x"), "pdf", []string{`<name>report.pdf</name>`, `[Document \"report.pdf\", page 1 of 2]`, "first of x", "page 2 of 2", "second"}},
		"without a name":   {"", "data:application/pdf;base64," + coded("x"), "pdf", []string{"[Document, page 1 of 2]", "first of x"}},
		"by its name":      {"REPORT.PDF", coded("x"), "pdf", []string{"first of x"}},
		"by its beginning": {"report", coded("%PDF-1.7 x"), "pdf", []string{"first of %PDF-1.7 x"}},
		"Word":             {"a.docx", "data:application/octet-stream;base64," + coded("w"), "docx", []string{"first of w"}},
		"Word by its type": {"", "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64," + coded("w"), "docx", []string{"first of w"}},
		"text":             {"notes.txt", "data:text/plain;charset=utf-8;base64," + coded("some “notes”"), "", []string{`<name>notes.txt</name>`, "some “notes”"}},
		"a table":          {"t.csv", coded("a,b"), "", []string{"a,b"}},
		"JSON":             {"", "data:application/json;base64," + coded(`{"a":1}`), "", []string{`{\"a\":1}`}},
	} {
		quoted, _ := json.Marshal(c.file)
		bodies := map[string]struct {
			family string
			typ    batholith.InvocationType
			body   string
		}{
			"openai":    {"openai", batholith.InvokeModel, `{"messages":[{"role":"user","content":[{"type":"text","text":"before"},{"type":"file","file":{"filename":%s,"file_data":%q}},{"type":"text","text":"after"}]}]}`},
			"chat":      {"anthropic", ChatCompletions, `{"messages":[{"role":"user","content":[{"type":"text","text":"before"},{"type":"file","file":{"filename":%s,"file_data":%q}},{"type":"text","text":"after"}]}]}`},
			"mistral":   {"mistral", batholith.InvokeModel, `{"messages":[{"role":"user","content":[{"type":"text","text":"before"},{"type":"document_url","document_name":%s,"document_url":%q},{"type":"text","text":"after"}]}]}`},
			"object":    {"mistral", batholith.InvokeModel, `{"messages":[{"role":"user","content":[{"type":"text","text":"before"},{"type":"document_url","document_name":%s,"document_url":{"url":%q}},{"type":"text","text":"after"}]}]}`},
			"responses": {"openai", Responses, `{"input":[{"role":"user","content":[{"type":"input_text","text":"before"},{"type":"input_file","filename":%s,"file_data":%q},{"type":"input_text","text":"after"}]}]}`},
		}
		for form, b := range bodies {
			for _, protocol := range []string{ProtocolOpenAI, ProtocolAnthropic, ProtocolOllama} {
				r := &reads{}
				d, err := For(b.family, protocol, b.typ, Options{Documents: r})
				if err != nil {
					t.Fatal(err)
				}
				call, err := d.Request(fmt.Appendf(nil, b.body, quoted, c.data), "m")
				if err != nil {
					t.Errorf("%s, %s over %s: %v", name, form, protocol, err)
					continue
				}
				if protocol == ProtocolAnthropic && c.format == "pdf" && form != "responses" { // whose servers read PDFs themselves
					if body := string(call.Body); !strings.Contains(body, `"type":"base64","media_type":"application/pdf"`) || len(r.formats) > 0 {
						t.Errorf("%s, %s over %s: %s", name, form, protocol, body)
					}
					continue
				}
				rest := string(call.Body)
				for _, want := range append(append([]string{"before"}, c.want...), "after") {
					_, after, ok := strings.Cut(rest, want)
					if !ok {
						t.Errorf("%s, %s over %s: no %q at its place in %s", name, form, protocol, want, call.Body)
						break
					}
					rest = after
				}
				if len(call.Changes.Mapped) == 0 || strings.Join(r.formats, " ") != c.format || strings.Contains(string(call.Body), "base64") {
					t.Errorf("%s, %s over %s: %v %v", name, form, protocol, call.Changes.Mapped, r.formats)
				}
			}
		}
	}
}

// TestAFileThatCannotBeSentIsRefusedWithItsPlace: nothing is downloaded, whatever the address.
func TestAFileThatCannotBeSentIsRefusedWithItsPlace(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{Documents: &reads{}})
	if err != nil {
		t.Fatal(err)
	}
	limited, _ := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{Documents: &reads{}, DocumentLimits: true})
	part := func(s string) string { return `{"messages":[{"role":"user","content":[` + s + `]}]}` }
	const good = `{"type":"file","file":{"file_data":"data:application/pdf;base64,eA=="}}`
	for body, want := range map[string]string{
		part(`{"type":"document_url","document_url":"https://169.254.169.254/latest"}`):                    "messages.0.content.0.document_url: documents are not downloaded",
		part(`{"type":"document_url","document_url":{"url":"http://localhost/x"}}`):                        "messages.0.content.0.document_url.url: documents are not downloaded",
		part(`{"type":"document_url","document_url":"file:///etc/passwd"}`):                                "documents are not downloaded",
		part(`{"type":"document_url","document_url":"s3://bucket/key"}`):                                   "documents are not downloaded",
		part(`{"type":"document_url"}`):                                                                    "messages.0.content.0.document_url: Input should be a valid string",
		part(`{"type":"file","file":{"file_id":"file-1"}}`):                                                "messages.0.content.0.file.file_id: files are not kept here",
		part(`{"type":"file","file":"x"}`):                                                                 "messages.0.content.0.file: Input should be an object",
		part(`{"type":"file","file":{}}`):                                                                  "messages.0.content.0.file.file_data: Input should be a valid string",
		part(`{"type":"file","file":{"file_data":"data:application/pdf,x"}}`):                              "data: URL in Base64",
		part(`{"type":"file","file":{"file_data":"data:application/pdf;base64,???"}}`):                     "messages.0.content.0.file.file_data: Input should be Base64",
		part(`{"type":"file","file":{"file_data":"data:application/pdf;base64,YmFk","filename":"a.pdf"}}`): `the document "a.pdf" has no text`,
		part(`{"type":"file","file":{"file_data":"data:image/png;base64,eA=="}}`):                          "give an image_url",
		part(`{"type":"file","file":{"file_data":"data:application/zip;base64,eA=="}}`):                    "'application/zip' are not supported; give a PDF",
		part(`{"type":"file","file":{"file_data":"/w=="}}`):                                                "Base64 of UTF-8 text",
	} {
		if _, err := d.Request([]byte(body), "m"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	if _, err := limited.Request([]byte(part(strings.Repeat(good+",", 5)+good)), "m"); err == nil || !strings.Contains(err.Error(), "up to 5 documents") {
		t.Errorf("six files: %v", err)
	}
}
