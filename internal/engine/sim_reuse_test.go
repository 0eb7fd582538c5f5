package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
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
		w := s.through(func(*worker) {})
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
		s.checkLeft(w) // equal records are asked for apart, which checkRepeats would take for repeats
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
