package engine

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// seen is how long after a job's end was written a request of it may still begin: the time to see it.
const seen = time.Second

// check holds the laws of a job that ended, in one of these statuses.
func (s *simulation) check(j *simJob, ends ...batholith.Status) {
	s.t.Helper()
	job, err := s.db.Find(s.t.Context(), j.id)
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Contains(ends, job.Status) {
		s.t.Fatalf("job %s is %s, want one of %v: %s", j.id, job.Status, ends, job.Message)
	}
	history := s.checkHistory(j, job)
	s.checkCounts(j, job)
	s.checkRequests(j, job, history)
}

// rank is how far along a status is.
func rank(status batholith.Status) int {
	order := []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress, batholith.StatusStopping}
	if i := slices.Index(order, status); i >= 0 {
		return i
	}
	return len(order)
}

// checkHistory: one event for each change, never backwards, none after the end. It returns when which status began.
func (s *simulation) checkHistory(j *simJob, job batholith.Job) map[batholith.Status]time.Time {
	s.t.Helper()
	changes, err := s.db.History(s.t.Context(), j.id)
	if err != nil || len(changes) == 0 {
		s.t.Fatalf("history of %s: %v, %v", j.id, changes, err)
	}
	at := map[batholith.Status]time.Time{}
	last := -1
	for _, c := range changes {
		if rank(c.Status) <= last {
			s.t.Errorf("job %s became %s after %v", j.id, c.Status, changes)
		}
		last = rank(c.Status)
		at[c.Status] = c.At
	}
	if end := changes[len(changes)-1]; end.Status != job.Status || !end.Status.Terminal() {
		s.t.Errorf("job %s is %s, and its last event %s", j.id, job.Status, end.Status)
	}
	return at
}

// checkCounts: the counters, the lines and the manifest tell the same, and the lines are whole and in order.
func (s *simulation) checkCounts(j *simJob, job batholith.Job) {
	s.t.Helper()
	total, lines := int64(0), int64(0)
	for n, records := range j.files {
		total += int64(records)
		found := s.lines(j, n)
		lines += int64(found)
	}
	c := job.Counts
	if c.Processed != c.Succeeded+c.Errored {
		s.t.Errorf("counters of job %s: %+v", j.id, c)
	}
	if job.Status == batholith.StatusCompleted && (c.Processed != total || c.Total != total) {
		s.t.Errorf("job %s is complete with %+v of %d records", j.id, c, total)
	}
	body, ok := s.bucket.Object("out/" + j.id + "/" + batholith.ManifestName)
	if !ok {
		s.checkNoManifest(j, job, lines)
		return
	}
	var m batholith.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		s.t.Fatalf("manifest of %s: %v", j.id, err)
	}
	told := batholith.Counts{Total: m.TotalRecordCount, Processed: m.ProcessedRecordCount, Succeeded: m.SuccessRecordCount, Errored: m.ErrorRecordCount}
	for n, f := range m.Batholith.Files {
		out, ok := s.bucket.Object(j.output(n))
		if sum := crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli)); !ok || f.Bytes != int64(len(out)) || f.CRC32C != fmt.Sprintf("%08x", sum) {
			s.t.Errorf("%s has %d bytes (there: %v), CRC-32C %08x; the manifest says %+v", j.output(n), len(out), ok, sum, f)
		}
	}
	if told != c || m.Batholith.Status != job.Status || lines != c.Processed {
		s.t.Errorf("job %s is %s with %+v and has %d lines; its manifest says %s, %+v", j.id, job.Status, c, lines, m.Batholith.Status, told)
	}
}

// checkNoManifest: only a job that failed, or that never came to have a plan, has none.
func (s *simulation) checkNoManifest(j *simJob, job batholith.Job, lines int64) {
	s.t.Helper()
	switch {
	case job.Status == batholith.StatusFailed, job.Status == batholith.StatusExpired:
	case job.Status == batholith.StatusStopped && job.Counts.Total == 0 && lines == 0:
	default:
		s.t.Errorf("job %s is %s and has no manifest", j.id, job.Status)
	}
}

// lines counts the lines of an output file, which are whole, of this file and in the order of its records.
func (s *simulation) lines(j *simJob, file int) int {
	s.t.Helper()
	out, _ := s.bucket.Object(j.output(file))
	if len(out) == 0 {
		return 0
	}
	if out[len(out)-1] != '\n' {
		s.t.Errorf("%s ends within a line", j.output(file))
	}
	last, n := -1, 0
	for line := range strings.Lines(string(out)) {
		var id int
		_, err := fmt.Sscanf(line, `{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"`+fmt.Sprintf("%s/%d/", j.id, file), &id)
		if err != nil || id <= last || !json.Valid([]byte(line)) {
			s.t.Fatalf("%s: line %q comes after record %d", j.output(file), line, last)
		}
		last = id
		n++
	}
	return n
}

// checkRequests: nothing was sent after the end was seen, and nothing at all for a job whose turn never came.
func (s *simulation) checkRequests(j *simJob, job batholith.Job, at map[batholith.Status]time.Time) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[j.id]
	if _, began := at[batholith.StatusInProgress]; !began && len(r.asked) > 0 {
		s.t.Errorf("%d records of job %s were sent, which never began", len(r.asked), j.id)
	}
	ends := map[string]time.Time{"it was " + string(job.Status): at[job.Status], "its time was over": job.Expires}
	if stop, ok := at[batholith.StatusStopping]; ok {
		ends["it was to stop"] = stop
	}
	for what, when := range ends {
		if s.thawed.After(when) {
			when = s.thawed // a process that is frozen sees nothing
		}
		if late := r.last.Sub(when); late > seen {
			s.t.Errorf("a record of job %s was sent %s after %s", j.id, late, what)
		}
	}
}

// checkTraces: an end leaves nothing behind, on any side, and a kill costs what was in flight. The workers have stopped.
func (s *simulation) checkTraces(workers ...*worker) {
	s.t.Helper()
	s.checkRepeats()
	s.checkLeft(workers...)
}

// checkLeft: an end leaves nothing behind.
func (s *simulation) checkLeft(workers ...*worker) {
	s.t.Helper()
	for _, key := range s.bucket.Keys() {
		if strings.Contains(key, ".batholith/") && !s.denied {
			s.t.Errorf("left over: %s", key)
		}
	}
	if open := s.bucket.OpenUploads(); len(open) > 0 && !s.denied {
		s.t.Errorf("open uploads: %v", open)
	}
	if unclean, err := s.db.Unclean(s.t.Context()); err != nil || len(unclean) > 0 {
		s.t.Errorf("jobs with rows left: %d, %v", len(unclean), err)
	}
	if unswept, err := s.db.Unswept(s.t.Context(), time.Now().Add(time.Hour)); err != nil || len(unswept) > 0 {
		s.t.Errorf("jobs that were not swept: %d, %v", len(unswept), err)
	}
	for _, what := range s.shrunk {
		s.t.Errorf("an output was replaced by less: %s", what)
	}
	for _, w := range workers {
		w.start() // whatever the journal holds is known to be settled
		time.Sleep(time.Minute)
		w.stop()
		if files, err := filepath.Glob(filepath.Join(w.dir(), "journal", "*")); err != nil || len(files) > 0 {
			s.t.Errorf("the journal of %s still has %v, %v", w.name, files, err)
		}
	}
}
