package upstream

import (
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// frameType is the content type of Bedrock's streams.
const frameType = "application/vnd.amazon.eventstream"

// frames reads a stream of Bedrock's runtime (AWS: event stream encoding). each gets every event
// as an object with one member, which has the name of the event's type. An exception is a refusal.
func (f *following) frames(body io.Reader) error {
	decoder := eventstream.NewDecoder()
	counted := &countedReader{Reader: body}
	var payload []byte
	for {
		before := counted.n
		m, err := decoder.Decode(counted, payload[:0])
		f.heard()
		switch {
		case err != nil && counted.failed != nil:
			return counted.failed
		case errors.Is(err, io.EOF) && counted.n == before:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // in the middle of a message
			return io.ErrUnexpectedEOF
		case err != nil:
			return &mangled{how: "has a message that is not in the encoding of event streams"}
		case counted.n > maxStream:
			return &mangled{how: tooLongStream}
		}
		payload = m.Payload
		if err := f.frame(m); err != nil {
			f.drain(body)
			return err
		}
	}
}

// frame handles one message.
func (f *following) frame(m eventstream.Message) error {
	header := func(name string) string {
		if v := m.Headers.Get(name); v != nil {
			return v.String()
		}
		return ""
	}
	switch header(eventstreamapi.MessageTypeHeader) {
	case eventstreamapi.EventMessageType:
		data := append([]byte(`{"`+header(eventstreamapi.EventTypeHeader)+`":`), m.Payload...)
		return f.event("", append(data, '}'))
	case eventstreamapi.ExceptionMessageType:
		return &refusal{status: exceptionStatus(header(eventstreamapi.ExceptionTypeHeader)), inside: true, said: readSaid(m.Payload)}
	}
	return &refusal{status: http.StatusInternalServerError, inside: true, said: said{Message: header(eventstreamapi.ErrorMessageHeader)}}
}

// exceptionStatus returns the HTTP status that an exception within a stream corresponds to
// (Bedrock: ResponseStream).
func exceptionStatus(typ string) int {
	switch typ {
	case "validationException":
		return http.StatusBadRequest
	case "throttlingException":
		return http.StatusTooManyRequests
	case "serviceUnavailableException":
		return http.StatusServiceUnavailable
	case "modelTimeoutException":
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// countedReader counts bytes, and keeps an error of the connection, which the decoder wraps.
type countedReader struct {
	io.Reader
	n      int
	failed error
}

// Read implements [io.Reader].
func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.n += n; err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}
