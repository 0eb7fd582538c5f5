package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// firstRecordBytes is the most that detection reads of a file, in bytes. A longer first record counts as InvokeModel.
const firstRecordBytes = 1 << 20

// lineForm is the form of the lines of an input, by its first line. The zero value is Bedrock's.
type lineForm struct {
	lines batholith.Lines
	input []byte                   // modelInput of the line; nil: none, or not known
	typ   batholith.InvocationType // of the endpoint of OpenAI's lines; "": Bedrock's
	model string                   // that OpenAI's lines name; "": none
	file  string                   // in which the line is, as people know it
}

// openAI reports whether the lines are OpenAI's.
func (f lineForm) openAI() bool { return f.lines == batholith.LinesOpenAI }

// formIn recognises the form by the first line that is not blank. OpenAI's lines have a body, and a custom_id or a url. A line of more than
// firstRecordBytes, and one that is not JSON, counts as Bedrock's.
func formIn(r io.Reader, name string) lineForm {
	f := lineForm{file: name}
	in := bufio.NewReaderSize(io.LimitReader(r, firstRecordBytes), 1<<16)
	var line []byte
	for len(bytes.TrimSpace(line)) == 0 {
		var err error
		if line, err = in.ReadBytes('\n'); err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return f
		}
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	var record struct {
		Input json.RawMessage `json:"modelInput"`
		ID    json.RawMessage `json:"custom_id"`
		URL   *string         `json:"url"`
		Body  *struct {
			Model string `json:"model"`
		} `json:"body"`
	}
	err := json.Unmarshal(line, &record)
	f.input = record.Input // also beside members of other types
	if err != nil || record.Body == nil || record.Input != nil || record.ID == nil && record.URL == nil {
		return f
	}
	f.lines, f.typ, f.model = batholith.LinesOpenAI, batholith.ChatCompletions, record.Body.Model
	if record.URL != nil {
		if typ := batholith.TypeOfEndpoint(*record.URL); typ != "" {
			f.typ = typ
		}
	}
	return f
}

// lineFormOf is the form of local files: that of the first file of records.
func lineFormOf(gathered []localFile) lineForm {
	for _, g := range gathered {
		if !strings.HasSuffix(g.key, inputSuffix) {
			continue
		}
		return lineFormAt(g.path, g.name())
	}
	return lineForm{}
}

// lineFormAt is the form of the file at path, which people know by name.
func lineFormAt(path, name string) lineForm {
	file, err := files.Open(path)
	if err != nil {
		return lineForm{} // the later reader reports why
	}
	defer file.Close()
	return formIn(file, name)
}

// typed returns the type of a job over lines of this form, and says on stderr if they are OpenAI's. then is what follows from that.
// asked is the flag --type, which goes with Bedrock's lines only.
func (f lineForm) typed(a *app, asked batholith.InvocationType, then string) (batholith.InvocationType, error) {
	if !f.openAI() {
		return asked, nil
	}
	if asked != "" {
		return "", &usageError{reason: fmt.Sprintf("--type is for Bedrock's lines, and %s has OpenAI's", f.file), remedy: "leave --type out: the url of the lines says what their bodies are"}
	}
	plain.Fprintf(a.stderr, "%s has OpenAI's batch lines (%s)%s\n", f.file, f.typ.Endpoint(), then)
	return f.typ, nil
}

// modelFor returns the model of a job over OpenAI's lines here: the named one, otherwise the one that the lines name, otherwise the usual one. If
// the lines name a model that is not served, the model of the job answers in its place and gets its name, so that the file need not be changed.
func (a *app) modelFor(c *config.Config, f lineForm, named string) (string, error) {
	if !f.openAI() || f.model == "" {
		return a.pickModel(c, named)
	}
	all, err := engine.Catalogue(modelOptions(c))
	if err != nil {
		return "", err
	}
	_, served := all.Lookup(f.model)
	if named == "" && served {
		plain.Fprintf(a.stderr, "using the model %s, which the lines name\n", words.Shorten(f.model, 100))
		return f.model, nil
	}
	if named, err = a.pickModel(c, named); err != nil || served {
		return named, err
	}
	m, ok := all.Lookup(named)
	if !ok || slices.Contains(append(m.Aliases, m.ID), f.model) {
		return named, nil // the caller reports an unknown one
	}
	plain.Fprintf(a.stderr, "the lines name the model %s, which is not served here: %s answers in its place\n", words.Shorten(f.model, 100), m.ID)
	c.Also(f.model, m.ID)
	return named, nil
}
