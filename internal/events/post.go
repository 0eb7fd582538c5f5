package events

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// refusal is an answer that is no success.
type refusal struct {
	status int
	about  string        // what the receiver says, shortened
	after  time.Duration // Retry-After; 0: none
}

// Error has the status and the receiver's words, which are escaped.
func (r *refusal) Error() string {
	text := "it answered " + strconv.Itoa(r.status) + " " + http.StatusText(r.status)
	if r.status/100 == 3 {
		text += ", and redirects are not followed: write the address that it names into the settings"
	}
	if r.about != "" {
		text += ": " + r.about
	}
	return text
}

// ofEvent reports whether an error may be the fault of the event alone, and not of the receiver: the receiver answered with a status that
// says so.
func ofEvent(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status/100 == 4 && !slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests}, r.status)
}

// saidBytes is how much of an answer is read, and saidRunes how much of it is in a log line.
const (
	saidBytes = 16 << 10
	saidRunes = 200
)

// post sends one event. nil means that the receiver has taken it: any status from 200 to 299.
func (r *Receiver) post(ctx context.Context, client *http.Client, c batholith.Change, job batholith.Job, now time.Time) error {
	body, contentType, id, err := bodyOf(r.Format, c, job)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", cmp.Or(r.Header.Get("User-Agent"), "batholith"))
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if r.Secret != "" {
		w, err := signer(r.Secret)
		if err != nil {
			return err
		}
		signature, err := w.Sign(id, now, body)
		if err != nil {
			return err
		}
		request.Header.Set("Webhook-Signature", signature)
	}
	answer, err := client.Do(request)
	if err != nil {
		return errors.New(plain.Redact(plain.Line(err.Error()))) // an URL may have a key
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, saidBytes)) // so that the connection can be used again
	if answer.StatusCode/100 == 2 {
		return nil
	}
	refused := &refusal{status: answer.StatusCode}
	if s := []rune(plain.Line(string(bytes.TrimSpace(said)))); len(s) > 0 {
		refused.about = fmt.Sprintf("%q", string(s[:min(len(s), saidRunes)]))
	}
	if s, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && s > 0 {
		refused.after = time.Duration(s) * time.Second
	}
	return refused
}
