package dialect

import (
	"encoding/base64"
	"mime"
	"path"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/document"
)

// Files in a body are parts of a message with the bytes of a document:
//
//	OpenAI     {"type":"file","file":{"filename":"report.pdf","file_data":"data:application/pdf;base64,…"}}
//	Responses  {"type":"input_file","filename":"report.pdf","file_data":"…"}
//	Mistral    {"type":"document_url","document_url":"data:application/pdf;base64,…","document_name":"report.pdf"}
//
// Model servers read text only, so a file is sent as its text. Servers with the protocol anthropic read PDFs themselves. Files at a URL are
// not downloaded: the address would be reached from this machine, whatever the caller may reach.
const (
	notDownloaded = "documents are not downloaded; give the content in Base64 as a data: URL, or the text itself"
	notKept       = "files are not kept here; give the content in Base64 as file_data"
)

// filePart returns the name and the content of a file in a part of a message. place is the member with the content. ok is false for parts
// of other types.
func filePart(block value) (name, data value, place string, ok bool, err error) {
	file := block
	switch typ := block.member("type"); {
	case typ.is("document_url"):
		name, place, data = block.member("document_name"), "document_url", block.member("document_url")
		err := knownIn(block, "type", "document_url", "document_name", cacheMark)
		if data.kind() == '{' {
			err = first(err, at("document_url", knownIn(data, "url")))
			place, data = "document_url.url", data.member("url")
		}
		return name, data, place, true, first(err, at(place, needText(data)))
	case typ.is("file"):
		if file, place = block.member("file"), "file."; file.kind() != '{' {
			return nil, nil, "", true, at("file", wrong("Input should be an object"))
		}
		err = first(knownIn(block, "type", "file", cacheMark), at("file", knownIn(file, "filename", "file_data", "file_id")))
	case typ.is("input_file"):
		err = knownIn(block, "type", "filename", "file_data", "file_id", "file_url")
	default:
		return nil, nil, "", false, nil
	}
	if err != nil {
		return nil, nil, "", true, err
	}
	data = file.member("file_data")
	if data.absent() {
		for _, other := range []struct{ member, why string }{{"file_id", notKept}, {"file_url", notDownloaded}} {
			if !file.member(other.member).absent() {
				return nil, nil, "", true, at(place+other.member, wrong("%s", other.why))
			}
		}
	}
	place += "file_data"
	return file.member("filename"), data, place, true, at(place, needText(data))
}

// cacheMark is a member of a part that only says what to cache.
const cacheMark = "cache_control"

// knownIn refuses members of an object that are not in names.
func knownIn(v value, names ...string) error {
	for name, m := range v.members() {
		if !m.absent() && !slices.Contains(names, name) {
			return extra(name)
		}
	}
	return nil
}

// needText returns an error unless v is a string.
func needText(v value) error {
	if v.kind() != '"' {
		return wrong("Input should be a valid string")
	}
	return nil
}

// textOf returns the text of a file as parts. where is the place of the content in the body, for the manifest.
func (o Options) textOf(c *chat, where string, name, data value) ([]part, error) {
	kind, content, err := fileContent(name, data)
	if err != nil {
		return nil, err
	}
	if err := o.counted(c, base64.StdEncoding.DecodedLen(len(content))); err != nil {
		return nil, err
	}
	var parts []part
	w := wrapped{tag: "document", parts: &parts}
	w.head("name", name)
	if document.Readable(kind) {
		err = o.document(c, &w, where, kind, name, content)
	} else {
		var text value
		if text, err = decodedText(content); err == nil {
			w.text(text)
			c.mapped(where)
		}
	}
	if err != nil {
		return nil, err
	}
	w.close()
	return parts, nil
}

// fileContent returns the format of a file (pdf, docx, or "" for text) and its content in Base64, as a JSON string. The format is that of a data:
// URL's media type, else of the name, else of the first bytes.
func fileContent(name, data value) (kind string, content value, err error) {
	const texts = "give a PDF, a Word document (docx), or a text (txt, md, csv, html, json)"
	coded := data.text()
	if strings.HasPrefix(coded, "http://") || strings.HasPrefix(coded, "https://") {
		return "", nil, wrong(notDownloaded)
	}
	media := ""
	if rest, ok := strings.CutPrefix(coded, "data:"); ok {
		head, body, _ := strings.Cut(rest, ",")
		head, encoded := strings.CutSuffix(head, ";base64")
		if !encoded {
			return "", nil, wrong("Input should be a data: URL in Base64 (data:application/pdf;base64,…)")
		}
		media, _, _ = mime.ParseMediaType(head)
		coded = body
	} else if strings.Contains(coded, "://") {
		return "", nil, wrong(notDownloaded)
	}
	content = append(append(append(make(value, 0, len(coded)+2), '"'), coded...), '"')
	kind, known := mediaFormats[media]
	switch extension := strings.ToLower(path.Ext(name.text())); {
	case known:
	case media == "" || media == "application/octet-stream":
		if kind = strings.TrimPrefix(extension, "."); !document.Readable(kind) {
			kind = sniffedFormat(coded)
		}
	case strings.HasPrefix(media, "text/"), media == "application/json":
	case strings.HasPrefix(media, "image/"):
		return "", nil, wrong("images are no documents; give an image_url")
	default:
		return "", nil, wrong("files of the type '%s' are not supported; %s", media, texts)
	}
	return kind, content, nil
}

// sniffedFormat returns the format of a file by its first bytes; "" if it may be text.
func sniffedFormat(coded string) string {
	head, _ := base64.StdEncoding.DecodeString(coded[:min(len(coded), 8)/4*4])
	switch {
	case strings.HasPrefix(string(head), "%PDF"):
		return document.PDF
	case strings.HasPrefix(string(head), "PK\x03\x04"):
		return document.Word
	}
	return ""
}
