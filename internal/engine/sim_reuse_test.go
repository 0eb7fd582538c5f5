package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/simlm"
)

// A job that takes the answers of earlier jobs asks for what changed, failed or was never tried, and for nothing else: whatever ended the
// earlier jobs, however the lines were edited, moved, doubled and divided into files, and whatever kills it meanwhile. The model is the
// witness.
func TestAnsweredRecordsAreNotAskedAgain(t *testing.T) {
	simulate(t, 3, simSetup{}, func(s *simulation) {
		var earlier []*simJob
		for range 1 + s.plan.IntN(2) {
			earlier = append(earlier, s.endsSomehow())
		}
		answers, asked := s.answers(earlier...), s.askings()

		j, lines := s.corrected(earlier)
		reuse := batholith.Reuse{Finished: s.plan.IntN(2) == 0}
		if !reuse.Finished {
			for _, e := range earlier {
				reuse.Jobs = append(reuse.Jobs, e.id)
			}
		}
		s.submitTagged(j, 24*time.Hour, batholith.Tag{Key: batholith.ReuseTag, Value: reuse.String()})
		s.mu.Lock()
		s.trouble = 1
		s.mu.Unlock()
		workers := []*worker{}
		if s.plan.IntN(2) == 0 { // another worker looks up its chunks by itself
			s.shared = true
			b := s.worker("b")
			b.start()
			workers = append(workers, b)
		}
		workers = append(workers, s.through(func(*worker) {}))
		if s.shared {
			workers[0].stop()
		}
		taken := s.checkCorrected(j, lines, answers)
		for content := range answers {
			if n := len(s.askings()[content]) - len(asked[content]); n > 0 {
				s.t.Errorf("%q had an answer, and was asked %d times more", content, n)
			}
		}
		for content, n := range s.askings() {
			if answers[content] == nil && lines.has(content) && len(n) == len(asked[content]) {
				s.t.Errorf("%q had no answer, and was not asked", content)
			}
		}
		s.checkReused(j, taken)
		s.checkLeft(workers...) // equal records are asked for apart, which checkRepeats would take for repeats
	})
}

// endsSomehow is a job that ended in one of the ways in which jobs end.
func (s *simulation) endsSomehow() *simJob {
	s.t.Helper()
	life := 24 * time.Hour
	end := s.plan.IntN(3)
	if end == 1 {
		life = 2*time.Second + s.some(4*time.Second)
	}
	j := s.create("m0", life, 1+s.plan.IntN(200), 1+s.plan.IntN(200))
	s.through(func(w *worker) {
		if end == 2 {
			s.halt(w, j)
		}
	})
	return j
}

// answers are the answers in the outputs of jobs, by content.
func (s *simulation) answers(jobs ...*simJob) map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	for _, j := range jobs {
		for n := range j.files {
			out, _ := s.bucket.Object(j.output(n))
			for line := range strings.Lines(string(out)) {
				if a, answered := jsonl.ParseAnswer([]byte(line)); answered {
					all[contentOf(string(a.Input))] = append(all[contentOf(string(a.Input))], string(a.Output))
				}
			}
		}
	}
	return all
}

// contentOf is the prompt of a modelInput.
func contentOf(input string) string {
	_, prompt, _ := strings.Cut(input, `"content":"`)
	content, _, _ := strings.Cut(prompt, `"`)
	return content
}

// askings are the requests of all jobs by content.
func (s *simulation) askings() map[string][]*asking {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]*asking{}
	for _, r := range s.requests {
		maps.Copy(all, r.asked)
	}
	return all
}

// corrections are the contents of a job's files, in the order of their lines.
type corrections [][]string

func (c corrections) has(content string) bool {
	return slices.ContainsFunc(c, func(file []string) bool { return slices.Contains(file, content) })
}

// corrected writes the input of a job over lines of earlier ones: some edited, some doubled, some new, in another order and other files.
func (s *simulation) corrected(earlier []*simJob) (*simJob, corrections) {
	s.t.Helper()
	j := &simJob{id: s.nextID(), model: "m0"}
	var all []string
	for _, e := range earlier {
		for n, records := range e.files {
			for i := range records {
				content := fmt.Sprintf("%s/%d/%d", e.id, n, i)
				switch s.plan.IntN(12) {
				case 0:
					content = fmt.Sprintf("%s/%s", j.id, content) // edited
				case 1:
					all = append(all, content)
				case 2:
					continue // left out
				}
				all = append(all, content)
			}
		}
	}
	all = append(all, j.id+"/new")
	if s.plan.IntN(2) == 0 {
		s.plan.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	}
	lines := corrections{}
	for n := range 1 + s.plan.IntN(3) {
		var file []string
		for i, content := range all {
			if i%(n+1) == 0 || n == 2 {
				file = append(file, content)
			}
		}
		lines = append(lines, file)
		j.files = append(j.files, len(file))
		var input strings.Builder
		for i, content := range file {
			fmt.Fprintf(&input, `{"recordId":"x%d","modelInput":{"messages":[{"role":"user","content":"%s"}]}}`+"\n", i, content)
		}
		if err := s.bucket.Put(s.t.Context(), j.input(n), []byte(input.String())); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.enter(j), lines
}

// submitTagged makes a job with a tag.
func (s *simulation) submitTagged(j *simJob, life time.Duration, tags ...batholith.Tag) {
	s.t.Helper()
	now := time.Now()
	_, err := s.db.CreateJob(s.t.Context(), batholith.Job{ID: j.id, Account: simAccount, Region: "us-east-1", Submitted: now, Expires: now.Add(life),
		Request: batholith.Request{Name: j.id, ModelID: j.model, RoleARN: "r", Type: batholith.InvokeModel, Tags: tags}}, "h", 0)
	if err != nil {
		s.t.Fatal(err)
	}
}

// checkCorrected: every line has one outcome, in order and with its own id and content, and one with an earlier answer has that answer. It
// returns how many have.
func (s *simulation) checkCorrected(j *simJob, lines corrections, answers map[string][]string) (taken int64) {
	s.t.Helper()
	if job := s.find(j); job.Status != batholith.StatusCompleted {
		s.t.Fatalf("job %s is %s: %s %s", j.id, job.Status, job.Message, job.Note)
	}
	for n, contents := range lines {
		out, _ := s.bucket.Object(j.output(n))
		i := 0
		for line := range strings.Lines(string(out)) {
			id, input, err := jsonl.Parse([]byte(line))
			if err != nil || i >= len(contents) || string(id) != fmt.Sprint("x", i) || contentOf(string(input)) != contents[i] {
				s.t.Fatalf("line %d of %s is %s", i, j.output(n), line)
			}
			if known := answers[contents[i]]; known != nil {
				taken++
				if a, answered := jsonl.ParseAnswer([]byte(line)); !answered || !slices.Contains(known, string(a.Output)) {
					s.t.Errorf("line %d of %s has another answer than the earlier job gave", i, j.output(n))
				}
			}
			i++
		}
		if i != len(contents) {
			s.t.Errorf("%s has %d lines of %d", j.output(n), i, len(contents))
		}
	}
	return taken
}

// checkReused: the manifest says how many answers were taken, and from which jobs.
func (s *simulation) checkReused(j *simJob, taken int64) {
	s.t.Helper()
	var m batholith.Manifest
	body, _ := s.bucket.Object("out/" + j.id + "/" + batholith.ManifestName)
	if err := json.Unmarshal(body, &m); err != nil {
		s.t.Fatal(err)
	}
	from := int64(0)
	for _, r := range m.Batholith.ReusedFrom {
		from += r.Records
	}
	if m.Batholith.Reused != taken || from != taken {
		s.t.Errorf("%d answers were taken; the manifest says %d, %+v", taken, m.Batholith.Reused, m.Batholith.ReusedFrom)
	}
}

// Without the tag, and with the tag off, a job takes nothing: whoever sends the same input twice gets two answers.
func TestNothingIsTakenUnasked(t *testing.T) {
	simulate(t, 1, simSetup{calm: true, failures: &everyFailure}, func(s *simulation) {
		old := s.create("m0", 24*time.Hour, 30)
		w := s.worker("w")
		w.start()
		time.Sleep(longEnough)
		asked := s.askings()
		j := &simJob{id: s.nextID(), model: "m0", files: []int{30}}
		body, _ := s.bucket.Object(old.input(0))
		if err := s.bucket.Put(s.t.Context(), j.input(0), body); err != nil {
			s.t.Fatal(err)
		}
		s.submitTagged(s.enter(j), 24*time.Hour)
		time.Sleep(longEnough)
		synctest.Wait()
		w.stop()
		for content, n := range s.askings() {
			if len(n) == len(asked[content]) {
				s.t.Errorf("%q was not asked again", content)
			}
		}
	})
}

// refusing is a bucket that fails reads and lists of keys for which it has an error.
type refusing struct {
	blob.Bucket
	why func(key string) error
}

func (b refusing) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if err := b.why(key); err != nil {
		return nil, err
	}
	return b.Bucket.Read(ctx, key, etag, offset, n)
}

func (b refusing) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	if err := b.why(prefix); err != nil {
		return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
	}
	return b.Bucket.List(ctx, prefix)
}

// Whatever is the matter with an earlier job costs its answers and not the new job, and the note names it.
func TestAnEarlierJobThatCannotBeUsedIsLeftOut(t *testing.T) {
	denied := func(part string) func(string) error {
		return func(key string) error {
			if strings.Contains(key, part) {
				return fmt.Errorf("GET %s: %w", key, batholith.ErrAccessDenied)
			}
			return nil
		}
	}
	rewrite := func(s *simulation, key, old, new string) {
		body, ok := s.bucket.Object(key)
		if changed := strings.Replace(string(body), old, new, 1); !ok || changed == string(body) {
			s.t.Fatalf("%s has no %q: %s", key, old, body)
		} else if err := s.bucket.Put(s.t.Context(), key, []byte(changed)); err != nil {
			s.t.Fatal(err)
		}
	}
	manifest := func(old *simJob) string { return "out/" + old.id + "/" + batholith.ManifestName }
	for name, c := range map[string]struct {
		tag    string // $ is the id of the earlier job; "": $
		spoil  func(s *simulation, old *simJob)
		refuse func(string) error
		late   bool // refuse only what is read after the validation
		taken  bool
		note   string
	}{
		"nothing is the matter": {taken: true, note: "10 answers were taken from earlier jobs"},
		"there is no such job":  {tag: "zzzzzzzzzzzz", note: "there is no such job"},
		"its output is gone": {note: "it has no output", spoil: func(s *simulation, old *simJob) {
			s.bucket.Delete(s.t.Context(), old.output(0), manifest(old))
		}},
		"its output is another": {note: "the checksum is", spoil: func(s *simulation, old *simJob) { rewrite(s, old.output(0), "assistant", "assistanT") }},
		"it may not be listed":  {note: "cannot be read", refuse: denied("out/abcdefghij00/")},
		"it may not be read":    {note: "cannot be read", refuse: denied("out/abcdefghij00/0")},
		"it goes after it was seen": {late: true, note: "are not taken any more", refuse: func(key string) error {
			if strings.Contains(key, "out/abcdefghij00/0") {
				return fmt.Errorf("GET %s: %w", key, batholith.ErrNoObject)
			}
			return nil
		}},
		"other settings gave its answers": {note: "another served model", spoil: func(s *simulation, old *simJob) {
			rewrite(s, manifest(old), `"recipe":"`, `"recipe":"f`)
		}},
		"other settings, and any will do": {tag: "finished any-model", taken: true, note: "10 answers were taken", spoil: func(s *simulation, old *simJob) {
			rewrite(s, manifest(old), `"recipe":"`, `"recipe":"f`)
		}},
		"an older version wrote its manifest": {taken: true, note: "10 answers were taken", spoil: func(s *simulation, old *simJob) {
			body, _ := s.bucket.Object(manifest(old))
			_, recipe, _ := strings.Cut(string(body), `"recipe":"`)
			recipe, _, _ = strings.Cut(recipe, `"`)
			rewrite(s, manifest(old), `"recipe":"`+recipe+`",`, "")
		}},
		"what gave its answers is not known": {note: "Left out", spoil: func(s *simulation, old *simJob) { s.bucket.Delete(s.t.Context(), manifest(old)) }},
		"its lines have no modelInput": {note: "no modelInput", spoil: func(s *simulation, old *simJob) {
			body, _ := s.bucket.Object(old.output(0))
			s.bucket.Put(s.t.Context(), old.output(0), []byte(strings.ReplaceAll(string(body), `"modelInput"`, `"other"`)))
			var m batholith.Manifest
			text, _ := s.bucket.Object(manifest(old))
			json.Unmarshal(text, &m)
			m.Batholith.Files[0].CRC32C = ""
			text, _ = json.Marshal(m)
			s.bucket.Put(s.t.Context(), manifest(old), text)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, 0, simSetup{calm: true, failures: &simlm.Failures{}})
				defer s.close()
				old := s.create("m0", 24*time.Hour, 10)
				s.place = func(_ context.Context, j batholith.Job) (blob.Place, error) {
					var b blob.Bucket = s.bucket
					if c.refuse != nil && j.ID != old.id {
						b = refusing{s.bucket, func(key string) error {
							if c.late && rank(s.find(&simJob{id: j.ID}).Status) < rank(batholith.StatusScheduled) {
								return nil
							}
							return c.refuse(key)
						}}
					}
					return blob.Place{Input: b, Output: b, InputKey: "in/" + j.ID + "/", Prefix: "out/" + j.ID + "/"}, nil
				}
				w := s.worker("w")
				w.start()
				defer w.stop()
				for s.find(old).Status != batholith.StatusCompleted {
					time.Sleep(time.Second)
				}
				if c.spoil != nil {
					c.spoil(s, old)
				}
				asked := s.askings()
				j := &simJob{id: s.nextID(), model: "m0", files: []int{10}}
				body, _ := s.bucket.Object(old.input(0))
				s.bucket.Put(s.t.Context(), j.input(0), body)
				s.enter(j)
				var note string
				s.submitTagged(j, 24*time.Hour, batholith.Tag{Key: batholith.ReuseTag, Value: strings.ReplaceAll(cmp.Or(c.tag, "$"), "$", old.id)})
				for job := s.find(j); !job.Status.Terminal(); job = s.find(j) {
					note = cmp.Or(job.Note, note)
					time.Sleep(10 * time.Millisecond)
				}
				again := 0
				for content, n := range s.askings() {
					again += len(n) - len(asked[content])
				}
				if want := map[bool]int{true: 0, false: 10}[c.taken]; again != want {
					t.Errorf("%d of 10 records were asked again, want %d", again, want)
				}
				if job := s.find(j); job.Status != batholith.StatusCompleted || !strings.Contains(note+job.Message, c.note) {
					t.Errorf("the job ended %s, and its note was %q, want %q in it", job.Status, note, c.note)
				}
			})
		})
	}
}
