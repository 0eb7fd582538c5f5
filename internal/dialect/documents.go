package dialect

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
)

// Documents reads the text of documents that model servers cannot read. Package document has
// implementations.
type Documents interface {
	// Pages returns the text of each page. The error is a [*document.Unreadable] if the document is
	// the cause.
	Pages(format string, data []byte) ([]string, error)
}

// Unread stands for Documents where bodies are only checked, and documents not read. Each document
// has one empty page.
type Unread struct{}

// Pages implements Documents.
func (Unread) Pages(string, []byte) ([]string, error) { return []string{""}, nil }

// Limits of Bedrock (Bedrock: DocumentBlock: "up to five documents", "no more than 4.5 MB"). They
// hold with Options.DocumentLimits only.
const (
	mostDocuments     = 5
	mostDocumentBytes = 4_718_592 // 4.5 MiB
)

// mediaFormats are the formats of documents by media type.
var mediaFormats = map[string]string{
	"application/pdf": document.PDF,
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": document.Word,
}

// counted notes one more document, of size bytes, and returns an error if that is too many.
func (o Options) counted(c *chat, size int) error {
	c.documents++
	switch {
	case !o.DocumentLimits:
	case c.documents > mostDocuments:
		return wrong("a record may have up to %d documents", mostDocuments)
	case size > mostDocumentBytes:
		return wrong("a document may have up to 4.5 MB; this one has %.1f MB", float64(size)/(1<<20))
	}
	return nil
}

// document writes the text of a document in a format that is not text. data is Base64. name is its
// name as a JSON string, or nil. Before the text of each page stands a line such as
//
//	[Document "report", page 3 of 7]
//
// Pictures, and where on the page a text stands, are lost, so path, the member with the bytes, counts
// as mapped.
func (o Options) document(c *chat, w *wrapped, path, format string, name, data value) error {
	if data.kind() != '"' {
		return wrong("Input should be a valid string")
	}
	raw, err := base64.StdEncoding.DecodeString(data.text())
	if err != nil {
		return wrong("Input should be Base64 of a document")
	}
	if o.Documents == nil {
		return wrong("documents of format '%s' are not read here; give the text itself", format)
	}
	if string(raw) == standInDocument {
		return nil
	}
	pages, err := o.Documents.Pages(format, raw)
	if err != nil {
		return unread(name, err)
	}
	c.mapped(path)
	for i, page := range pages {
		if format == document.PDF { // other formats have no pages
			w.buf.line()
			w.buf.b = append(w.buf.b, "[Document"...)
			if len(name) > len(`""`) {
				w.buf.b = append(append(append(w.buf.b, ` \"`...), name[1:len(name)-1]...), `\"`...)
			}
			w.buf.b = fmt.Appendf(w.buf.b, ", page %d of %d]", i+1, len(pages))
		}
		w.buf.say(page)
	}
	return nil
}

// unread converts the error of a document that was not read. A fault of this process is no fault of
// the record, but only the record can tell it.
func unread(name value, err error) error {
	u, ok := errors.AsType[*document.Unreadable](err)
	if !ok {
		return &batholith.RecordError{Code: http.StatusServiceUnavailable, Message: "a document could not be read, because the process for it was stopped or not started; send the record again"}
	}
	if said := name.text(); said != "" {
		return wrong("the document %s %s", strconv.Quote(shortened(said, 100)), u.Why)
	}
	return wrong("%v", u)
}
