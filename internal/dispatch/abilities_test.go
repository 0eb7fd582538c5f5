package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
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
				if err := d.Enqueue(job); err != nil {
					t.Fatal(err)
				}
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
