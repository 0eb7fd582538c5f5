package runtime

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// frames writes the answer of InvokeModelWithResponseStream or ConverseStream: binary messages with
// headers and a payload (AWS: event stream encoding). Every message is sent at once.
type frames struct {
	w       http.ResponseWriter
	control *http.ResponseController
	encoder *eventstream.Encoder
	buf     bytes.Buffer
	invoke  bool // messages of InvokeModel, which have the event in Base64
}

// newFrames returns a writer that has written nothing.
func newFrames(w http.ResponseWriter, invoke bool) *frames {
	return &frames{w: w, control: http.NewResponseController(w), encoder: eventstream.NewEncoder(), invoke: invoke}
}

// begin writes the head of the answer.
func (f *frames) begin(c *call) {
	c.header.reply(f.w.Header())
	f.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	if f.invoke {
		f.w.Header().Set("X-Amzn-Bedrock-Content-Type", "application/json")
	}
	f.w.WriteHeader(http.StatusOK)
}

// event writes an event.
func (f *frames) event(e dialect.Event) error {
	if !f.invoke {
		return f.message(eventstreamapi.EventMessageType, eventstreamapi.EventTypeHeader, e.Type, e.Payload)
	}
	payload := base64.StdEncoding.AppendEncode([]byte(`{"bytes":"`), e.Payload)
	return f.message(eventstreamapi.EventMessageType, eventstreamapi.EventTypeHeader, "chunk", append(payload, `"}`...))
}

// end does nothing: the answer ends without a mark.
func (f *frames) end() error { return nil }

// fail writes the error after which the stream ends.
func (f *frames) fail(refusal bedrock.Refusal) error {
	code, _, message := refusal.Refusal()
	said := struct {
		Message  string `json:"message"`
		Original int    `json:"originalStatusCode,omitzero"`
		Said     string `json:"originalMessage,omitzero"`
	}{Message: message}
	if own, ok := refusal.(*Error); ok && own.Original != 0 {
		said.Original, said.Said = own.Original, message
	}
	payload, err := json.Marshal(said)
	if err != nil {
		payload = []byte(`{"message":"The stream failed."}`)
	}
	return f.message(eventstreamapi.ExceptionMessageType, eventstreamapi.ExceptionTypeHeader, f.exception(code), payload)
}

// exception returns the name of an error within a stream (Bedrock: ResponseStream,
// ConverseStreamOutput). Streams of Converse have no error for a timeout.
func (f *frames) exception(code string) string {
	switch code {
	case bedrock.CodeValidation:
		return "validationException"
	case bedrock.CodeThrottling, CodeModelNotReady:
		return "throttlingException"
	case CodeServiceUnavailable:
		return "serviceUnavailableException"
	case CodeModelTimeout:
		if f.invoke {
			return "modelTimeoutException"
		}
		return "modelStreamErrorException"
	case CodeModelError:
		return "modelStreamErrorException"
	}
	return "internalServerException"
}

// message writes a message and sends it.
func (f *frames) message(kind, typeHeader, typ string, payload []byte) error {
	m := eventstream.Message{Payload: payload}
	for _, h := range [...][2]string{{typeHeader, typ}, {eventstreamapi.ContentTypeHeader, "application/json"}, {eventstreamapi.MessageTypeHeader, kind}} {
		m.Headers.Set(h[0], eventstream.StringValue(h[1]))
	}
	f.buf.Reset()
	if err := f.encoder.Encode(&f.buf, m); err != nil {
		return err
	}
	return push(f.w, f.control, f.buf.Bytes())
}

// push sends bytes of a stream to a client, which must read them in time.
func push(w http.ResponseWriter, control *http.ResponseController, b []byte) error {
	_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // a writer without deadlines has none to set
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := control.Flush(); err != nil {
		return err
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}
