package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// site is a handler over a bucket in memory, and its jobs.
type site struct {
	http.Handler
	bucket  *objecttest.Memory
	room    *memory.Budget
	jobs    []batholith.Job // that have not ended
	created []batholith.Job
}

func newSite() *site {
	s := &site{bucket: objecttest.NewNamedMemory("files"), room: memory.NewBudget(64 << 20)}
	s.Handler = NewHandler(Options{Jobs: s, Room: s.room,
		Open: func(context.Context, bedrock.Caller, string, string, string) (blob.Bucket, error) {
			return s.bucket, nil
		},
		Bucket:    func(string) string { return "files" },
		Role:      func(account string) string { return "arn:aws:iam::" + account + ":role/batholith" },
		LimitsNow: batholith.DefaultLimits, Profile: bedrock.ProfileDefault,
		Admit: func(*http.Request) (bool, error) { return true, nil },
		Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) {
			return bedrock.Caller{Account: "000000000000", Principal: "admin"}, nil
		}})
	return s
}

func (s *site) CreateBatch(_ context.Context, in *bedrock.CreateModelInvocationJobInput, b batholith.Batch) (batholith.Job, error) {
	j := batholith.Job{ID: "abcdefghij01", Status: batholith.StatusSubmitted, Submitted: time.Now(), Request: batholith.Request{Name: in.JobName, ModelID: in.ModelID, Batch: &b, OutputLines: batholith.LinesOpenAI,
		Input: batholith.Location{URI: in.InputDataConfig.S3InputDataConfig.S3URI}, Output: batholith.Location{URI: in.OutputDataConfig.S3OutputDataConfig.S3URI}}}
	s.created = append(s.created, j)
	return j, nil
}

func (s *site) Batch(_ context.Context, id string) (batholith.Job, []batholith.Change, error) {
	for _, j := range s.created {
		if j.ID == id {
			return j, nil, nil
		}
	}
	return batholith.Job{}, nil, bedrock.NotFound("no such job")
}

func (s *site) Batches(context.Context, string, string, int) ([]batholith.Job, error) {
	return s.created, nil
}

func (s *site) StopBatch(context.Context, string) error { return nil }

// ask sends a request and reads the answer into out.
func (s *site) ask(t *testing.T, r *http.Request, out any) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			t.Fatalf("%s %s: %d: %s", r.Method, r.URL, w.Code, w.Body)
		}
	}
	return w
}

func (s *site) get(t *testing.T, path string, out any) int {
	t.Helper()
	return s.ask(t, httptest.NewRequest(http.MethodGet, path, nil), out).Code
}

// form is the body of an upload: pairs of a field and its value.
func form(t *testing.T, fields ...string) *http.Request {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		var err error
		if fields[i] == "file" {
			var part io.Writer
			if part, err = w.CreateFormFile("file", "day.jsonl"); err == nil {
				_, err = io.WriteString(part, fields[i+1])
			}
		} else {
			err = w.WriteField(fields[i], fields[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/files", &b)
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

const oneLine = `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}` + "\n"

func (s *site) janitor() *Janitor {
	return &Janitor{Buckets: func() []blob.Bucket { return []blob.Bucket{s.bucket} }, Unfinished: func(context.Context) ([]batholith.Job, error) { return s.jobs, nil },
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func TestAFileExpires(t *testing.T) {
	for _, order := range [][]string{
		{"file", oneLine, "purpose", "batch", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600"},
		{"expires_after", `{"anchor":"created_at","seconds":3600}`, "purpose", "batch", "file", oneLine},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite()
			var stays, f fileObject
			s.ask(t, form(t, "file", oneLine, "purpose", "batch"), &stays)
			time.Sleep(time.Millisecond)
			s.ask(t, form(t, order...), &f)
			if f.Expires == nil || *f.Expires != f.Created+3600 || stays.Expires != nil {
				t.Fatalf("the files are %+v and %+v", f, stays)
			}
			seen := func(want ...string) {
				t.Helper()
				var list page[fileObject]
				var ids []string
				s.get(t, "/v1/files", &list)
				for _, o := range list.Data {
					ids = append(ids, o.ID)
				}
				if !slices.Equal(ids, want) {
					t.Errorf("the list has %v; want %v", ids, want)
				}
			}
			var again fileObject
			if s.get(t, "/v1/files/"+f.ID, &again); again.Expires == nil || *again.Expires != *f.Expires {
				t.Errorf("it is %+v later", again)
			}
			seen(f.ID, stays.ID)
			time.Sleep(time.Hour - 2*time.Second)
			s.janitor().Sweep(t.Context())
			seen(f.ID, stays.ID)
			time.Sleep(2 * time.Second) // its time is over; its bytes are there for a while
			seen(stays.ID)
			for _, path := range []string{"", "/content"} {
				if code := s.get(t, "/v1/files/"+f.ID+path, nil); code != http.StatusNotFound {
					t.Errorf("%q of an expired file: %d", path, code)
				}
			}
			ask := httptest.NewRequest(http.MethodPost, "/v1/batches", strings.NewReader(fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, f.ID)))
			if w := s.ask(t, ask, nil); w.Code != http.StatusNotFound {
				t.Errorf("a batch over it: %d: %s", w.Code, w.Body)
			}
			time.Sleep(sweepGrace)
			// A job that still reads it keeps it.
			key := s.bucket.Keys()[slices.IndexFunc(s.bucket.Keys(), func(k string) bool { return strings.Contains(k, f.ID) && strings.HasSuffix(k, ".jsonl") })]
			s.jobs = []batholith.Job{{ID: "zzzzzzzzzzzz", Request: batholith.Request{Input: batholith.Location{URI: "s3://files/" + key}}}}
			s.janitor().Sweep(t.Context())
			if _, ok := s.bucket.Object(key); !ok {
				t.Error("the input of a job that runs was deleted")
			}
			s.jobs = nil
			s.janitor().Sweep(t.Context())
			for _, key := range s.bucket.Keys() {
				if !strings.Contains(key, stays.ID) {
					t.Errorf("%s is left", key)
				}
			}
			seen(stays.ID)
		})
	}
}

func TestOutputsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		var f fileObject
		s.ask(t, form(t, "file", oneLine, "purpose", "batch"), &f)
		body := fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h","output_expires_after":{"anchor":"created_at","seconds":7200}}`, f.ID)
		var b batch
		if w := s.ask(t, httptest.NewRequest(http.MethodPost, "/v1/batches", strings.NewReader(body)), &b); w.Code != http.StatusOK {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		j := &s.created[0]
		if j.Output.URI != "s3://files/openai/batches/expires-7200/" || j.Batch.OutputExpires != 7200 {
			t.Fatalf("the job is %+v", j.Request)
		}
		folder := strings.TrimPrefix(j.Output.URI, "s3://files/") + j.ID + "/"
		name := j.Input.URI[strings.LastIndexByte(j.Input.URI, '/')+1:]
		put := func(keys ...string) {
			for _, key := range keys {
				if err := s.bucket.Put(t.Context(), folder+key, []byte("{}\n")); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(name+".out", batholith.ManifestName, batholith.InternalFolder+"/segments/1")
		j.Status, j.Counts = batholith.StatusCompleted, batholith.Counts{Total: 1, Processed: 1, Succeeded: 1}
		s.get(t, "/v1/batches/"+b.ID, &b)
		var out fileObject
		if code := s.get(t, "/v1/files/"+*b.Output, &out); code != http.StatusOK || out.Expires == nil || *out.Expires != out.Created+7200 || out.Purpose != purposeOutput {
			t.Fatalf("%d: %+v", code, out)
		}
		time.Sleep(2 * time.Hour)
		if code := s.get(t, "/v1/files/"+*b.Output+"/content", nil); code != http.StatusNotFound {
			t.Errorf("an expired output: %d", code)
		}
		time.Sleep(sweepGrace)
		s.jobs = []batholith.Job{*j} // of a job that still runs, the partial output is not touched
		s.janitor().Sweep(t.Context())
		if _, ok := s.bucket.Object(folder + name + ".out"); !ok {
			t.Error("the output of a job that runs was deleted")
		}
		s.jobs = nil
		s.janitor().Sweep(t.Context())
		for _, key := range s.bucket.Keys() {
			if strings.HasPrefix(key, outputFolder) && !strings.Contains(key, batholith.InternalFolder) {
				t.Errorf("%s is left", key)
			}
		}
		if _, ok := s.bucket.Object(folder + batholith.InternalFolder + "/segments/1"); !ok {
			t.Error("kept results were deleted")
		}
	})
}

func TestExpiryIsChecked(t *testing.T) {
	s := newSite()
	for _, fields := range [][]string{
		{"expires_after[anchor]", "created_at"}, {"expires_after[seconds]", "3600"},
		{"expires_after[anchor]", "now", "expires_after[seconds]", "3600"}, {"expires_after[anchor]", "created_at", "expires_after[seconds]", "3599"},
		{"expires_after[anchor]", "created_at", "expires_after[seconds]", "2592001"}, {"expires_after[anchor]", "created_at", "expires_after[seconds]", "an hour"},
		{"expires_after", "3600"}, {"expires_after[days]", "1"},
	} {
		var said said
		w := s.ask(t, form(t, append(fields, "file", oneLine, "purpose", "batch")...), &said)
		if w.Code != http.StatusBadRequest || said.Error.Param == nil || !strings.HasPrefix(*said.Error.Param, "expires_after") {
			t.Errorf("%v: %d: %s", fields, w.Code, w.Body)
		}
	}
	if keys := s.bucket.Keys(); len(keys)+len(s.bucket.OpenUploads()) > 0 {
		t.Errorf("%v, %v are left", keys, s.bucket.OpenUploads())
	}
	for _, text := range []string{`{}`, `{"anchor":"created_at"}`, `{"anchor":"x","seconds":3600}`, `{"anchor":"created_at","seconds":1}`, `7`} {
		body := `{"input_file_id":"file-x","endpoint":"/v1/chat/completions","completion_window":"24h","output_expires_after":` + text + `}`
		if w := s.ask(t, httptest.NewRequest(http.MethodPost, "/v1/batches", strings.NewReader(body)), nil); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d: %s", text, w.Code, w.Body)
		}
	}
	body := `{"input_file_id":"s3://b/a.jsonl","endpoint":"/v1/chat/completions","completion_window":"24h","output_expires_after":{"anchor":"created_at","seconds":3600}}`
	if w := s.ask(t, httptest.NewRequest(http.MethodPost, "/v1/batches", strings.NewReader(body)), nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "lifecycle rule") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// If the bucket fails in any call of an upload or of a sweep, no file stays for ever that was to expire.
func TestAFileThatWasToExpireNeverStays(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for fatal := 1; ; fatal++ {
			passed := false
			synctest.Test(t, func(t *testing.T) {
				s := newSite()
				calls := 0
				s.bucket.SetFault(func(string, string) (bool, error) {
					if calls++; calls == fatal {
						return applied, errors.New("not now")
					}
					return true, nil
				})
				s.ask(t, form(t, "file", oneLine, "purpose", "batch", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600"), nil)
				time.Sleep(time.Hour + sweepGrace)
				s.janitor().Sweep(t.Context())
				passed = calls < fatal
				s.bucket.SetFault(nil)
				s.janitor().Sweep(t.Context())
				if keys := s.bucket.Keys(); len(keys) > 0 {
					t.Errorf("call %d failed: %v is left", fatal, keys)
				}
			})
			if passed {
				break
			}
		}
	}
}

// An upload takes its memory from the budget of the process. If there is none, it waits for a while and is refused; the first upload never is.
func TestUploadsShareTheMemoryOfTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		jobs := s.room.Account(0).Hold()
		jobs.Force(s.room.Size()) // chunks and answers of jobs fill it
		body, pipe := io.Pipe()
		first := httptest.NewRequest(http.MethodPost, "/v1/files", body)
		first.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		done := make(chan int)
		go func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, first)
			done <- w.Code
		}()
		synctest.Wait()
		if used := s.room.Used(); used != s.room.Size()+uploadBytes {
			t.Errorf("%d bytes are used, with an upload of unknown length; the jobs have %d", used, s.room.Size())
		}
		began := time.Now()
		w := s.ask(t, form(t, "file", strings.Repeat(oneLine, 100_000), "purpose", "batch"), nil)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "30" || !strings.Contains(w.Body.String(), "server_overloaded") || time.Since(began) != uploadPatience {
			t.Errorf("after %s: %d, %v: %s", time.Since(began), w.Code, w.Header(), w.Body)
		}
		jobs.Release()
		if w := s.ask(t, form(t, "file", oneLine, "purpose", "batch"), nil); w.Code != http.StatusOK {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
		fmt.Fprintf(pipe, "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n%s\r\n--b--\r\n", oneLine)
		pipe.Close()
		if code := <-done; code != http.StatusOK || s.room.Used() != 0 {
			t.Errorf("the first upload: %d; %d bytes are still used", code, s.room.Used())
		}
	})
}
