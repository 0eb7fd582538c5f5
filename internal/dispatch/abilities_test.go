package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// saying is a server that says what its model can do.
type saying struct {
	*server
	can batholith.Abilities
}

func (s *saying) Abilities(context.Context) batholith.Abilities { return s.can }

// TestOnlyRecordsThatNoServerCanAnswerAreNotSent: an image for a blind model, tools for one that calls none, and a prompt that is certainly
// longer than the context end with an error line that says why. With one server that can, or that says nothing, they are sent.
func TestOnlyRecordsThatNoServerCanAnswerAreNotSent(t *testing.T) {
	long := fmt.Sprintf(`{"messages":[{"role":"user","content":%q}]}`, strings.Repeat("a word ", 5000))
	image := `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]}`
	tools := `{"messages":[],"tools":[{"name":"f"}]}`
	small := batholith.Abilities{Context: 4096, Images: batholith.Unable, Tools: batholith.Unable}
	for name, c := range map[string]struct {
		input string
		set   batholith.Abilities
		can   []batholith.Abilities
		want  string // "": it is sent
	}{
		"too long":                    {input: long, can: []batholith.Abilities{small}, want: "at least 5000 tokens, and the model's context has 4096"},
		"too long by the settings":    {input: long, set: batholith.Abilities{Context: 100}, can: []batholith.Abilities{{}}, want: "context has 100"},
		"long enough by the settings": {input: long, set: batholith.Abilities{Context: 9999}, can: []batholith.Abilities{small}},
		"it may just fit":             {input: long, can: []batholith.Abilities{{Context: 5000}}},
		"an image":                    {input: image, can: []batholith.Abilities{small}, want: "sees no images"},
		"an image by the settings":    {input: image, set: batholith.Abilities{Images: batholith.Able}, can: []batholith.Abilities{small}},
		"tools":                       {input: tools, can: []batholith.Abilities{small}, want: "calls no tools"},
		"another server can":          {input: image, can: []batholith.Abilities{small, {Images: batholith.Able}}},
		"another server says nothing": {input: image, can: []batholith.Abilities{small, {}}},
		"nothing is known":            {input: image, can: []batholith.Abilities{{}}},
		"text":                        {input: `{"messages":[{"role":"user","content":"hello"}]}`, can: []batholith.Abilities{small}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var backends []Backend
				var servers []*server
				for _, can := range c.can {
					s := answering(time.Second)
					servers = append(servers, s)
					backends = append(backends, &saying{s, can})
				}
				job := w.jobOf("j", 1, 1, func(int) string { return c.input })
				d := w.dispatcher(Options{}, backends...)
				serving := d.o.Serving
				d.o.Serving = func(j batholith.Job) (Serving, error) {
					s, err := serving(j)
					s.Set = c.set
					return s, err
				}
				stop := w.start(d)
				d.Enqueue(job)
				w.await(1, "j")
				stop()
				sent := 0
				for _, s := range servers {
					all, _ := s.requests()
					sent += all
				}
				if line := w.line("j-0"); (sent == 0) != (c.want != "") || !strings.Contains(line, c.want) {
					t.Errorf("%d requests, %.300s; want %q", sent, line[max(0, len(line)-300):], c.want)
				}
			})
		})
	}
}

// TestARecordGoesOnlyToAServerThatCanAnswerIt: of two servers one sees no images and has a short context. It gets the plain records only, and the
// other one the rest first, so that neither is idle while there is work for it. No record ends with an error, also when a first attempt failed.
func TestARecordGoesOnlyToAServerThatCanAnswerIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const image = `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}],"n":%d}`
		long := strings.Repeat("a word ", 1000)
		var failed sync.Map
		serve := func(name string, can func(body string) bool) *server {
			s := &server{limit: 2}
			s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
				if !isCanary(body) && !can(body) {
					t.Errorf("the %s server got %.80s", name, body)
				}
				if _, again := failed.LoadOrStore(body, true); !again && strings.Contains(body, `"n":7}`) {
					return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
				}
				return wait(ctx, time.Second)
			}
			return s
		}
		small := serve("small", func(body string) bool { return !strings.Contains(body, "image") && len(body) < 4000 })
		large := serve("large", func(string) bool { return true })
		job := w.jobOf("j", 60, 20, func(n int) string {
			switch {
			case n%3 == 0:
				return fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"n":%d}`, long, n)
			case n%6 == 1:
				return fmt.Sprintf(image, n)
			}
			return fmt.Sprintf(`{"messages":[{"role":"user","content":"hello"}],"n":%d}`, n)
		})
		d := w.dispatcher(Options{}, &saying{small, batholith.Abilities{Images: batholith.Unable, Context: 500}}, &saying{large, batholith.Abilities{Images: batholith.Able, Context: 9000}})
		d.Enqueue(job)
		began := time.Now()
		stop := w.start(d)
		w.await(60, "j")
		took := time.Since(began)
		stop()
		if w.errors("j") != 0 {
			t.Errorf("%d records ended with an error", w.errors("j"))
		}
		if few, _ := small.requests(); few < 26 || took > 18*time.Second { // half of the records for each, 2 at once
			t.Errorf("the small server got %d of 30 plain records, and the job took %s", few, took)
		}
	})
}

// TestARecordWaitsForTheServerThatCanAnswerIt: the server that sees images is away when the job begins. Its records wait, the others are answered.
func TestARecordWaitsForTheServerThatCanAnswerIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		until := time.Now().Add(time.Minute)
		blind, sees := answering(time.Second), answering(time.Second)
		blind.limit, sees.limit = 4, 4
		sees.probe = func(int) error {
			if time.Now().Before(until) {
				return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "no connection"}
			}
			return nil
		}
		job := w.jobOf("j", 20, 20, func(n int) string {
			if n%2 == 0 {
				return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}],"n":%d}`, n)
			}
			return fmt.Sprintf(`{"messages":[{"role":"user","content":"hello"}],"n":%d}`, n)
		})
		d := w.dispatcher(Options{}, &saying{blind, batholith.Abilities{Images: batholith.Unable}}, &saying{sees, batholith.Abilities{Images: batholith.Able}})
		d.Enqueue(job)
		stop := w.start(d)
		w.await(10, "j")
		if time.Now().After(until) {
			t.Error("the plain records waited too")
		}
		w.await(20, "j")
		stop()
		if n, _ := blind.requests(); n != 10 || w.errors("j") != 0 {
			t.Errorf("the blind server got %d, and %d records ended with an error", n, w.errors("j"))
		}
	})
}

// TestACallGoesToAServerThatCanAnswerIt: a picture goes to the server that sees, and is refused if none does.
func TestACallGoesToAServerThatCanAnswerIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		blind, sees := answering(time.Second), answering(time.Second)
		no := &saying{blind, batholith.Abilities{Images: batholith.Unable}}
		d := w.dispatcher(Options{})
		defer w.start(d)()
		both, alone := servedBy(no, &saying{sees, batholith.Abilities{}}), servedBy(no)
		for _, s := range []Serving{both, alone} { // all servers are asked what they can do
			if _, err := askFor(t.Context(), d, s, `{}`); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before, _ := blind.requests()
		const image = `{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]}`
		for range 4 {
			if _, err := askFor(t.Context(), d, both, image); err != nil {
				t.Error(err)
			}
		}
		if _, err := askFor(t.Context(), d, alone, image); err == nil || !strings.Contains(err.Error(), "sees no images") {
			t.Errorf("no server sees: %v", err)
		}
		if after, _ := blind.requests(); after != before {
			t.Errorf("the blind server got %d pictures", after-before)
		}
	})
}

// speaking is a server with a protocol.
type speaking struct {
	*server
	protocol string
}

func (s speaking) Protocol() string { return s.protocol }

// narrowly is a dialect that cannot carry bodies with a word.
type narrowly struct{ plain }

func (d narrowly) Request(input []byte, model string) (batholith.Call, error) {
	if strings.Contains(string(input), "templated") {
		return batholith.Call{}, &batholith.RecordError{Code: 400, Message: "the prompt contains the marks of a template"}
	}
	return d.plain.Request(input, model)
}

// TestABodyGoesToAServerWhoseProtocolCarriesIt: one of two servers has a protocol that cannot carry some bodies. They go to the other one, also if it
// was away first; with no other protocol they are refused. So it is for calls.
func TestABodyGoesToAServerWhoseProtocolCarriesIt(t *testing.T) {
	for name, wide := range map[string]bool{"two protocols": true, "one protocol": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				until := time.Now().Add(time.Minute)
				first, second := answering(time.Second), answering(time.Second)
				first.limit, second.limit = 2, 2
				second.probe = func(int) error {
					if time.Now().Before(until) {
						return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "no connection"}
					}
					return nil
				}
				other := "narrow"
				if wide {
					other = "wide"
				}
				s := Serving{Model: "model", Backends: []Backend{speaking{first, "narrow"}, speaking{second, other}}, Dialect: func(protocol string) dialect.Dialect {
					if protocol == "narrow" {
						return narrowly{}
					}
					return plain{}
				}}
				d := w.dispatcher(Options{})
				d.o.Serving = func(batholith.Job) (Serving, error) { return s, nil }
				d.Enqueue(w.jobOf("j", 20, 20, func(n int) string { return fmt.Sprintf(`{"n":%d,"kind":%q}`, n, []string{"chat", "templated"}[n%2]) }))
				stop := w.start(d)
				w.await(20, "j")
				if want := map[bool]int{true: 0, false: 10}[wide]; w.errors("j") != want {
					t.Errorf("%d records ended with an error, want %d: %s", w.errors("j"), want, w.line("j-1"))
				}
				time.Sleep(2 * time.Minute)
				for range 4 {
					if _, err := askFor(t.Context(), d, s, `{"kind":"templated"}`); (err == nil) != wide {
						t.Errorf("a call: %v", err)
					}
				}
				stop()
			})
		})
	}
}
