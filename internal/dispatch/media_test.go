package dispatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/object"
)

// png is the beginning of such an image, with so many bytes in all.
func png(n int) []byte {
	return append([]byte("\x89PNG\r\n\x1a\n"), strings.Repeat("p", n-8)...)
}

// pictured is a record with an image in S3.
func pictured(uri string) string {
	quoted, _ := json.Marshal(uri)
	return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":%s}}}}]}]}`, quoted)
}

// pictures is a dispatcher whose jobs may name objects below in/ of the bucket.
func (w *world) pictures(o Options, backends ...Backend) *Dispatcher {
	d := w.dispatcher(o, backends...)
	d.o.Place = func(context.Context, batholith.Job) (blob.Place, error) {
		return blob.Place{Input: w.bucket, Output: w.bucket, Media: func(uri, _ string) (blob.Bucket, string, string) {
			_, key, why := object.Media(uri, []object.Folder{{Bucket: "memory", Prefix: "in/"}})
			return w.bucket, key, why
		}}, nil
	}
	return d
}

// put stores an object.
func (w *world) put(key string, body []byte) {
	w.t.Helper()
	if err := w.bucket.Put(w.t.Context(), key, body); err != nil {
		w.t.Fatal(err)
	}
}

// whole is the body of a call as a server gets it.
func whole(ctx context.Context, c batholith.Call) (string, error) {
	body := string(c.Body)
	for _, m := range c.Media {
		r, err := m.Open(ctx)
		if err != nil {
			return "", &batholith.MediaError{URI: m.URI, Err: err}
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return "", &batholith.MediaError{URI: m.URI, Err: err}
		}
		body = strings.Replace(body, m.Mark, base64.StdEncoding.EncodeToString(b), 1)
	}
	return body, nil
}

// seeing is a server that reads the media of its requests.
type seeing struct{ *server }

func (s seeing) Do(ctx context.Context, c batholith.Call) ([]byte, error) {
	if !isCanary(string(c.Body)) {
		body, err := whole(ctx, c)
		if err != nil {
			return nil, err
		}
		c.Body = []byte(body)
	}
	return s.server.Do(ctx, c)
}

// TestARecordIsSentWithTheObjectsThatItNames: small and large objects come into the request as Base64, the output line has the input as it was,
// and an object is read once for neighbours that share it.
func TestARecordIsSentWithTheObjectsThatItNames(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": mostInMemory + 5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("in/a.png", png(size))
				want := `"bytes":"` + base64.StdEncoding.EncodeToString(png(size)) + `"`
				s := &server{limit: 2, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
					if !strings.Contains(body, want) {
						t.Errorf("the server got %.200s", body)
					}
					return wait(ctx, time.Second)
				}}
				job := w.jobOf("j", 6, 3, func(int) string { return pictured("s3://memory/in/a.png") })
				room := memory.NewBudget(256 << 20)
				d := w.pictures(Options{Room: room}, seeing{s})
				d.Enqueue(job)
				stop := w.start(d)
				w.await(6, "j")
				if n := w.errors("j"); n != 0 {
					t.Errorf("%d records ended with an error: %s", n, w.line("j-0"))
				}
				if line := w.line("j-0"); !strings.Contains(line, pictured("s3://memory/in/a.png")) {
					t.Errorf("the output line has another input: %s", line)
				}
				if heads := w.bucket.Calls("Head"); name == "small" && heads != 1 {
					t.Errorf("the object was looked up %d times, want once", heads)
				}
				stop()
				if used := room.Used(); used != 0 {
					t.Errorf("%d bytes of memory are still held", used)
				}
			})
		})
	}
}

// TestAnObjectThatCannotBeSentEndsItsRecordOnly: each of these records gets an error line that names the URI and a remedy, nothing of it is
// sent, and the record beside it is answered.
func TestAnObjectThatCannotBeSentEndsItsRecordOnly(t *testing.T) {
	at := func(uri string) string { return pictured(uri) }
	location := func(s string) string {
		return `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":` + s + `}}}]}]}`
	}
	for name, c := range map[string]struct {
		input, want string
		code        int
	}{
		"missing":          {at("s3://memory/in/none.png"), "there is no object s3://memory/in/none.png; upload it", 400},
		"another case":     {at("s3://memory/in/A.PNG"), "there is no object", 400},
		"denied":           {at("s3://memory/in/secret.png"), "grant the role s3:GetObject", 403},
		"denied by owner":  {location(`{"uri":"s3://memory/in/secret.png","bucketOwner":"999999999999"}`), "correct the bucketOwner", 403},
		"no account":       {location(`{"uri":"s3://memory/in/a.png","bucketOwner":"mine"}`), "bucketOwner: Input should be the 12 digits", 400},
		"no uri":           {location(`{"bucketOwner":"999999999999"}`), "s3Location.uri: field required", 400},
		"a number":         {location(`{"uri":7}`), "s3Location.uri: Input should be a valid string", 400},
		"another member":   {location(`{"uri":"s3://memory/in/a.png","x":1}`), "s3Location.x: Extra inputs are not permitted", 400},
		"empty":            {at("s3://memory/in/empty.png"), "is empty", 400},
		"too large":        {at("s3://memory/in/huge.png"), "25000000 are the most", 400},
		"another format":   {at("s3://memory/in/a.jpg"), "is image/jpeg by its first bytes, and format says png", 400},
		"another folder":   {at("s3://memory/other/a.png"), "put the object beside the input", 400},
		"a sibling folder": {at("s3://memory/in2/a.png"), "is not below s3://memory/in/", 400},
		"another bucket":   {at("s3://others/in/a.png"), "is not below s3://memory/in/", 400},
		"dots":             {at("s3://memory/in/../other/a.png"), "dot part", 400},
		"percent dots":     {at("s3://memory/in/%2e%2E/other/a.png"), "dot part", 400},
		"percent slash":    {at("s3://memory/in/..%2fother/a.png"), "dot part", 400},
		"two slashes":      {at("s3://memory/in//a.png"), "empty part", 400},
		"a slash first":    {at("s3://memory//in/a.png"), "empty part", 400},
		"a backslash":      {at(`s3://memory/in/..\other\a.png`), "control character", 400},
		"a NUL":            {at("s3://memory/in/a\x00.png"), "control character", 400},
		"a folder":         {at("s3://memory/in/"), "names no object", 400},
		"a bucket":         {at("s3://memory"), "names no object", 400},
		"HTTP":             {at("http://memory/in/a.png"), "is not an S3 URI", 400},
		"a file":           {at("file:///in/a.png"), "is not an S3 URI", 400},
		"no bucket":        {at("s3:///in/a.png"), "is not an S3 URI", 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				huge := 10
				if name == "too large" {
					huge = mostImage + 1
				}
				for key, body := range map[string][]byte{"in/a.png": png(100), "in/empty.png": nil, "in/huge.png": png(huge), "in/secret.png": png(100),
					"in/a.jpg": []byte("\xff\xd8\xff\xe0 and more"), "other/a.png": png(100), "in2/a.png": png(100)} {
					w.put(key, body)
				}
				w.bucket.SetFault(func(op, key string) (bool, error) {
					if key == "in/secret.png" {
						return false, batholith.ErrAccessDenied
					}
					return true, nil
				})
				s := answering(time.Second)
				job := w.jobOf("j", 2, 2, func(n int) string {
					if n == 0 {
						return c.input
					}
					return pictured("s3://memory/in/a.png")
				})
				d := w.pictures(Options{}, seeing{s})
				d.Enqueue(job)
				stop := w.start(d)
				w.await(2, "j")
				stop()
				line := w.line("j-0")
				if !strings.Contains(line, c.want) || !strings.Contains(line, fmt.Sprintf(`"errorCode":%d`, c.code)) {
					t.Errorf("got %s\nwant %d and %q in it", line, c.code, c.want)
				}
				if w.errors("j") != 1 {
					t.Errorf("the other record: %s", w.line("j-1"))
				}
				if all, _ := s.requests(); all != 1 {
					t.Errorf("%d requests, want only that of the good record", all)
				}
			})
		})
	}
}

// TestAFaultOfTheBucketEndsNoRecordAndCountsNoAttempt: the bucket is away for ten minutes before the records' objects are read, and breaks off
// while a large one is sent. Meanwhile other records use the slots. Then every record is answered, and its attempts are one.
func TestAFaultOfTheBucketEndsNoRecordAndCountsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("in/small.png", png(1000))
		w.put("in/large.png", png(mostInMemory+100))
		away := time.Now().Add(10 * time.Minute)
		var reads, waits atomic.Int64 // of the large object; reports of the outage
		w.bucket.SetFault(func(op, key string) (bool, error) {
			switch {
			case !strings.HasPrefix(key, "in/"):
			case time.Now().Before(away):
				return false, errors.New("503 SlowDown")
			case op == "Read" && key == "in/large.png":
				if n := reads.Add(1); n > 1 && n < 20 { // the first read is that of the first bytes
					return true, errors.New("connection reset") // after half of the bytes
				}
			}
			return true, nil
		})
		s := answering(time.Second)
		s.limit = 2
		job := w.jobOf("j", 6, 6, func(n int) string {
			return []string{pictured("s3://memory/in/small.png"), pictured("s3://memory/in/large.png"), fmt.Sprintf(`{"n":%d}`, n)}[n%3]
		})
		d := w.pictures(Options{Waits: func(_ string, _ time.Time, err error) {
			if err != nil {
				waits.Add(1)
			}
		}}, seeing{s})
		d.Enqueue(job)
		stop := w.start(d)
		w.await(2, "j")
		if time.Now().After(away) {
			t.Error("records without objects waited for the bucket")
		}
		w.await(6, "j")
		stop()
		for key, o := range w.outcomes["j"] {
			if o.Errored || o.Attempts != 1 {
				t.Errorf("record %v: %d attempts, %s", key, o.Attempts, o.Line)
			}
		}
		if waits.Load() == 0 {
			t.Error("nobody was told that the bucket is away")
		}
	})
}

// TestARoleThatLosesAllItsRightsEndsNoRecord: while the input is denied too, the denial is the job's, which waits.
func TestARoleThatLosesAllItsRightsEndsNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("in/a.png", png(1000))
		job := w.jobOf("j", 2, 2, func(int) string { return pictured("s3://memory/in/a.png") })
		until := time.Now().Add(time.Minute)
		w.bucket.SetFault(func(op, key string) (bool, error) {
			if op == "Head" && time.Now().Before(until) {
				return false, batholith.ErrAccessDenied
			}
			return true, nil
		})
		d := w.pictures(Options{}, seeing{answering(time.Second)})
		d.Enqueue(job)
		stop := w.start(d)
		w.await(2, "j")
		stop()
		if n := w.errors("j"); n != 0 {
			t.Errorf("%d records ended: %s", n, w.line("j-0"))
		}
	})
}

// TestAllAttemptsAtARecordHaveTheSameObject: the object is written over between two attempts. The record ends with an error line, instead of
// being answered for another image than it was sent with.
func TestAllAttemptsAtARecordHaveTheSameObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("in/a.png", png(mostInMemory+1))
		s := &server{limit: 2, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			if strings.Contains(body, "image") {
				w.put("in/a.png", png(2000))
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		job := w.jobOf("j", 40, 40, func(n int) string {
			if n == 0 {
				return pictured("s3://memory/in/a.png")
			}
			return fmt.Sprintf(`{"n":%d}`, n)
		})
		d := w.pictures(Options{}, seeing{s})
		d.Enqueue(job)
		stop := w.start(d)
		w.await(40, "j")
		stop()
		if line := w.line("j-0"); w.errors("j") != 1 || !strings.Contains(line, "was changed after the record was sent") {
			t.Errorf("got %s", line)
		}
	})
}

// TestAHaltDoesNotWaitForObjects: a job is halted while its bucket does not answer.
func TestAHaltDoesNotWaitForObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		job := w.jobOf("j", 40, 40, func(n int) string { return pictured(fmt.Sprintf("s3://memory/in/%d.png", n)) })
		w.bucket.SetFault(func(op, key string) (bool, error) {
			return !strings.HasPrefix(key, "in/"), nil
		})
		room := memory.NewBudget(256 << 20)
		d := w.pictures(Options{Room: room}, seeing{answering(time.Second)})
		d.Enqueue(job)
		stop := w.start(d)
		time.Sleep(time.Second)
		if err := d.Halt(t.Context(), "j", batholith.ErrStopped); err != nil {
			t.Error(err)
		}
		stop()
		if used := room.Used(); used != 0 {
			t.Errorf("%d bytes of memory are still held", used)
		}
	})
}

// TestObjectsOfManyRecordsFitTheMemory: a thousand objects of 2 MB, with a budget of 64 MiB, slots for all and a server that takes its time.
func TestObjectsOfManyRecordsFitTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 100 {
			w.put(fmt.Sprintf("in/%d.png", n), png(2<<20))
		}
		const budget = 64 << 20
		room := memory.NewBudget(budget)
		most := int64(0)
		s := &server{limit: 100, do: func(ctx context.Context, body string, _ int) ([]byte, error) { return wait(ctx, time.Minute) }}
		job := w.jobOf("j", 200, 100, func(n int) string { return pictured(fmt.Sprintf("s3://memory/in/%d.png", n%100)) })
		d := w.pictures(Options{Room: room}, &sightless{s, func() { most = max(most, room.Used()) }})
		d.Enqueue(job)
		stop := w.start(d)
		w.await(200, "j")
		stop()
		if most > budget || most == 0 {
			t.Errorf("%d bytes were held, with a budget of %d", most, budget)
		}
		if n := w.errors("j"); n > 0 {
			t.Errorf("%d records ended with an error: %s", n, w.line("j-0"))
		}
		if used := room.Used(); used != 0 {
			t.Errorf("%d bytes of memory are still held", used)
		}
	})
}

// sightless is a server that does not read media. look is called at each request.
type sightless struct {
	*server
	look func()
}

func (b *sightless) Do(ctx context.Context, c batholith.Call) ([]byte, error) {
	b.mu.Lock()
	b.look()
	b.mu.Unlock()
	return b.server.Do(ctx, c)
}
