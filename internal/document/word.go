package document

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// wordPages reads a Word document. Its pages exist only when it is printed, so its whole text is
// one page.
func wordPages(data []byte, limits Limits) ([]string, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, broken(Word, err.Error())
	}
	f, err := archive.Open("word/document.xml")
	if err != nil {
		return nil, broken(Word, "it has no word/document.xml")
	}
	defer f.Close()
	text, err := wordText(io.LimitReader(f, limits.Content), limits.Text)
	switch {
	case err != nil:
		return nil, err
	case text == "":
		return nil, unreadable("has no text; give its pages as images")
	}
	return []string{text}, nil
}

// wordText reads the main part (ECMA-376: WordprocessingML): w:t is text, w:p a paragraph, w:tab and
// w:br white space, w:tc the cell of a table. Deleted text is in w:delText, and not read.
func wordText(r io.Reader, most int) (string, error) {
	var out strings.Builder
	d := xml.NewDecoder(r)
	inText := false
	for out.Len() <= most {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.TrimSpace(clean(out.String())), nil
		}
		if err != nil {
			return "", broken(Word, err.Error())
		}
		switch token := token.(type) {
		case xml.StartElement:
			switch token.Name.Local {
			case "t":
				inText = true
			case "tab":
				out.WriteByte('\t')
			case "br", "cr":
				out.WriteByte('\n')
			}
		case xml.EndElement:
			switch token.Name.Local {
			case "t":
				inText = false
			case "p":
				out.WriteByte('\n')
			}
		case xml.CharData:
			if inText {
				out.Write(token)
			}
		}
	}
	return "", tooLong(most)
}
