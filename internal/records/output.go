package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxOutputLine is the largest line of an output that is read, in bytes: a modelInput, and an answer beside it.
const maxOutputLine = 4 * MaxRow

// Output is an output file of a job, which may be compressed with gzip or zstd.
type Output struct {
	Name string // for messages
	Path string
}

// outcome is a line of an output.
type outcome struct {
	ID    string         `json:"recordId"`
	Model jsontext.Value `json:"modelOutput"`
	Error *struct {
		Message string `json:"errorMessage"`
		OpenAI  string `json:"message"` // in OpenAI's lines
	} `json:"error"`
	// The members of OpenAI's lines, which a job can have as its output.
	CustomID *string `json:"custom_id"`
	Response *struct {
		Code int            `json:"status_code"`
		Body jsontext.Value `json:"body"`
	} `json:"response"`

	file int // index of the output
	line int64
	at   int64 // offset of the line, in the unpacked file
}

// outcomes reads the lines of several outputs, one after another.
type outcomes struct {
	outputs []Output
	file    int // of the open one
	open    io.Closer
	content io.ReadCloser
	r       *bufio.Reader
	line    int64
	at      int64
	buf     []byte
}

// next returns the next line, or io.EOF. The bytes of the outcome are valid until the next call.
func (o *outcomes) next() (outcome, error) {
	for {
		if o.r == nil {
			if o.file == len(o.outputs) {
				return outcome{}, io.EOF
			}
			if err := o.begin(); err != nil {
				return outcome{}, err
			}
		}
		line, err := o.readLine()
		begin := o.at
		o.at += int64(len(line))
		o.line++
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			o.end()
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return outcome{}, &Error{File: o.outputs[o.file].Name, Line: o.line, Reason: err.Error(), Err: err}
		case len(bytes.TrimSpace(line)) == 0:
			continue
		}
		found, err := parseOutcome(line)
		if err != nil {
			return outcome{}, &Error{File: o.outputs[o.file].Name, Line: o.line, Reason: err.Error(), Remedy: "name an output of a job: a file that ends in .jsonl.out"}
		}
		found.file, found.line, found.at = o.file, o.line, begin
		return found, nil
	}
}

// begin opens the next output.
func (o *outcomes) begin() error {
	f, err := os.Open(o.outputs[o.file].Path)
	if err != nil {
		return err
	}
	content, err := Unpack(f)
	if err != nil {
		f.Close()
		return &Error{File: o.outputs[o.file].Name, Reason: err.Error()}
	}
	o.open, o.content, o.r, o.line, o.at = f, content, bufio.NewReaderSize(content, 256<<10), 0, 0
	return nil
}

// end closes the open output.
func (o *outcomes) end() {
	if o.r != nil {
		o.content.Close()
		o.open.Close()
		o.r = nil
		o.file++
	}
}

// readLine returns the next line with its newline.
func (o *outcomes) readLine() ([]byte, error) {
	part, err := o.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	o.buf = append(o.buf[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(o.buf) > maxOutputLine {
			return nil, fmt.Errorf("the line has more than %d bytes", maxOutputLine)
		}
		part, err = o.r.ReadSlice('\n')
		o.buf = append(o.buf, part...)
	}
	return o.buf, err
}

// parseOutcome reads a line. The modelOutput is a part of the line.
func parseOutcome(line []byte) (o outcome, err error) {
	err = json.Unmarshal(line, &o, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err == nil && o.CustomID != nil {
		o.openAI()
	}
	switch {
	case err != nil:
		return o, errors.New("the line is not valid JSON, or not a line of an output")
	case o.Model == nil && o.Error == nil:
		return o, errors.New("the line has no modelOutput and no error: this is not a line of an output")
	}
	return o, nil
}

// openAI sets the members of Bedrock's lines by those of OpenAI's. A response with another status than 200 is an error; its message is that
// of the body, if it has one.
func (o *outcome) openAI() {
	o.ID = *o.CustomID
	switch {
	case o.Error != nil:
		o.Error.Message = o.Error.OpenAI
	case o.Response != nil && o.Response.Code == 200:
		o.Model = o.Response.Body
	case o.Response != nil:
		var body struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		message := fmt.Sprintf("status %d", o.Response.Code)
		if json.Unmarshal(o.Response.Body, &body) == nil && body.Error.Message != "" {
			message = body.Error.Message
		}
		o.Error = &struct {
			Message string `json:"errorMessage"`
			OpenAI  string `json:"message"`
		}{Message: message}
	}
}
