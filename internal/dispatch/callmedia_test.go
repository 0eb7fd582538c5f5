package dispatch

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/object"
)

// media opens every object of the bucket, like the embedded S3 for a caller who may read everything.
func (w *world) media(_ context.Context, uri, _ string) (blob.Readable, string, *batholith.RecordError) {
	_, key, why := object.Named(uri)
	if why != "" {
		return nil, "", &batholith.RecordError{Code: 400, Message: why}
	}
	return w.bucket, key, nil
}

// naming makes one call of a body that names objects of the bucket.
func (w *world) naming(d *Dispatcher, s Serving, body string) error {
	return d.Interact(w.t.Context(), s, Request{Body: []byte(body), Media: w.media}, func(ctx context.Context, t *Turn) error {
		_, err := t.Ask(ctx)
		return err
	})
}

// block is a body with one block that names an object.
func block(kind, format, uri string) string {
	return fmt.Sprintf(`{"messages":[{"role":"user","content":[{%q:{"format":%q,"name":"n","source":{"s3Location":{"uri":%q}}}}]}]}`, kind, format, uri)
}

// TestACallIsSentWithTheObjectsThatItNames: images of any size and documents reach the server, also at the second server after a failure of the
// first one, an object that is named twice is looked up once, and no memory stays held.
func TestACallIsSentWithTheObjectsThatItNames(t *testing.T) {
	for name, c := range map[string]struct {
		kind, format string
		content      []byte
	}{
		"a small image":    {"image", "png", png(1000)},
		"a large image":    {"image", "png", png(mostInMemory + 5)},
		"a text":           {"document", "txt", []byte("some text")},
		"a large document": {"document", "pdf", []byte(strings.Repeat("p", mostInMemory+1))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("any/object", c.content)
				want := `"bytes":"` + base64.StdEncoding.EncodeToString(c.content) + `"`
				asked := 0
				s := &server{limit: 2, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
					if strings.Count(body, want) != 2 {
						t.Errorf("the server got %.200s", body)
					}
					if asked++; asked == 1 {
						return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
					}
					return wait(ctx, time.Second)
				}}
				room := memory.NewBudget(256 << 20)
				d := w.dispatcher(Options{Room: room}, seeing{s})
				stop := w.start(d)
				one := block(c.kind, c.format, "s3://memory/any/object")
				two := strings.Replace(one, `"content":[`, `"content":[`+one[strings.Index(one, `[{"`+c.kind)+1:strings.LastIndex(one, "]}]}")]+",", 1)
				if err := w.naming(d, servedBy(seeing{s}), two); err != nil {
					t.Error(err)
				}
				if heads := w.bucket.Calls("Head"); asked != 2 || heads != 1 {
					t.Errorf("%d requests, %d looks at the object", asked, heads)
				}
				stop()
				if used := room.Used(); used != 0 {
					t.Errorf("%d bytes of memory are still held", used)
				}
			})
		})
	}
}

// TestAnObjectThatCannotBeSentRefusesItsCall: nothing is sent, no slot is taken, and the refusal names the object and a remedy.
func TestAnObjectThatCannotBeSentRefusesItsCall(t *testing.T) {
	many := strings.Repeat(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://memory/a.png"}}}},`, mostNamed+1)
	for name, c := range map[string]struct {
		body, want string
		code       int
	}{
		"missing":        {pictured("s3://memory/none.png"), "there is no object s3://memory/none.png", 400},
		"denied":         {pictured("s3://memory/secret.png"), "ask for s3:GetObject", 403},
		"no bucket":      {pictured("s3://memory/nobucket.png"), "there is no bucket", 400},
		"empty":          {pictured("s3://memory/empty.png"), "is empty", 400},
		"another format": {pictured("s3://memory/a.jpg"), "is image/jpeg by its first bytes", 400},
		"dots":           {pictured("s3://memory/../a.png"), "dot part", 400},
		"HTTP":           {pictured("http://memory/a.png"), "is not an S3 URI", 400},
		"no uri":         {`{"messages":[{"content":[{"image":{"source":{"s3Location":{}}}}]}]}`, "uri: field required", 400},
		"too many":       {`{"messages":[{"role":"user","content":[` + strings.TrimSuffix(many, ",") + `]}]}`, "100 are the most", 400},
		"documents":      {block("document", "pdf", "s3://memory/huge.pdf"), "25000000 are the most", 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), answering(time.Second)
				for key, body := range map[string][]byte{"a.png": png(100), "empty.png": nil, "a.jpg": []byte("\xff\xd8\xff\xe0 and more"), "secret.png": png(9), "nobucket.png": png(9)} {
					w.put(key, body)
				}
				if name == "documents" {
					w.put("huge.pdf", make([]byte, mostImage+1))
				}
				w.bucket.SetFault(func(_, key string) (bool, error) {
					return key != "secret.png" && key != "nobucket.png", map[string]error{"secret.png": batholith.ErrAccessDenied, "nobucket.png": batholith.ErrNoBucket}[key]
				})
				d := w.dispatcher(Options{}, seeing{s})
				stop := w.start(d)
				var refused *batholith.RecordError
				if err := w.naming(d, servedBy(seeing{s}), c.body); !errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(refused.Message, c.want) {
					t.Errorf("got %v, want %d and %q", err, c.code, c.want)
				}
				err := d.Interact(t.Context(), servedBy(seeing{s}), Request{Body: []byte(pictured("s3://memory/a.png"))}, func(context.Context, *Turn) error { return nil })
				if !errors.As(err, &refused) || !strings.Contains(refused.Message, "give the content in bytes") {
					t.Errorf("without an S3: %v", err)
				}
				stop()
				if all, _ := s.requests(); all != 0 {
					t.Errorf("%d requests were sent", all)
				}
			})
		})
	}
}

// TestACallSaysWhenTheBucketFails: the bucket is away, or breaks off while a large object is sent, or the object is changed between its look and
// its bytes. The client is told to try again, the server is not blamed, and the slot is free.
func TestACallSaysWhenTheBucketFails(t *testing.T) {
	for name, fault := range map[string]func(w *world, op string, nth int) error{
		"away": func(*world, string, int) error { return errors.New("503 SlowDown") },
		"breaks off": func(_ *world, op string, nth int) error {
			return map[bool]error{true: errors.New("reset")}[op == "Read" && nth > 1]
		},
		"changes":        func(w *world, op string, nth int) error { return w.replace(op == "Read" && nth == 1) },
		"changes midway": func(w *world, op string, nth int) error { return w.replace(op == "Read" && nth == 2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), answering(time.Second)
				s.limit = 1
				w.put("a.png", png(mostInMemory+100))
				reads := 0
				w.bucket.SetFault(func(op, key string) (bool, error) {
					if op == "Read" {
						reads++
					}
					if op == "Put" {
						return true, nil
					}
					err := fault(w, op, reads)
					return err == nil, err
				})
				d := w.dispatcher(Options{}, seeing{s})
				stop := w.start(d)
				var unread *batholith.MediaError
				if err := w.naming(d, servedBy(seeing{s}), pictured("s3://memory/a.png")); !errors.As(err, &unread) || unread.URI != "s3://memory/a.png" {
					t.Errorf("got %v", err)
				}
				w.bucket.SetFault(nil)
				if _, err := askFor(t.Context(), d, servedBy(seeing{s}), `{}`); err != nil {
					t.Errorf("the next call: %v", err)
				}
				stop()
			})
		})
	}
}

// replace writes another version of the object of TestACallSaysWhenTheBucketFails, if it is now time.
func (w *world) replace(now bool) error {
	if now {
		w.put("a.png", append(png(mostInMemory+100), 'x'))
	}
	return nil
}
