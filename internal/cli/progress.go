package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// standing is what a progress display shows of a job.
type standing struct {
	status batholith.Status
	counts batholith.Counts
	tokens int64 // sent and received; 0 when unknown
}

// progress shows how a job goes on stderr: a bar for a person, and for a log a line whenever something worth a line changed.
type progress struct {
	out  io.Writer
	live bool // a person watches
	now  func() time.Time

	mu  sync.Mutex // guards what follows: the job's goroutine shows, any goroutine logs
	bar bar        // used only when live

	begun     time.Time // when the first record count was seen
	begunAt   standing
	lastShown standing
	shownAt   time.Time
}

// newProgress is a display on stderr that fits whether a person watches.
func (a *app) newProgress() *progress {
	return &progress{out: a.stderr, live: a.live(), now: time.Now, bar: a.newBar()}
}

// show takes in how the job stands.
func (p *progress) show(s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.counts.Total > 0 && p.begun.IsZero() {
		p.begun, p.begunAt = p.now(), s
	}
	if p.live {
		p.bar.draw(s.counts.Processed, s.counts.Total, p.words(s))
	} else if p.worthALine(s) {
		plain.Fprintf(p.out, "%s\n", p.line(s))
		p.lastShown, p.shownAt = s, p.now()
	}
}

// worthALine keeps a log short: a new status, another tenth of the records, or half a minute of progress.
func (p *progress) worthALine(s standing) bool {
	if s.status != p.lastShown.status {
		return true
	}
	tenth := max(1, s.counts.Total/10)
	moved := s.counts.Processed - p.lastShown.counts.Processed
	return moved > 0 && (moved >= tenth || p.now().Sub(p.shownAt) >= 30*time.Second)
}

// line tells the standing in words: InProgress 120/500 records, 3 errors, 45 records/s, 1,200 tokens/s, 8s left.
func (p *progress) line(s standing) string {
	parts := []string{string(s.status)}
	if s.counts.Total > 0 {
		parts[0] += fmt.Sprintf(" %s/%s records", words.Number(s.counts.Processed), words.Number(s.counts.Total))
	}
	if s.counts.Errored > 0 {
		parts = append(parts, words.Plural(s.counts.Errored, "error"))
	}
	return strings.Join(append(parts, p.pace(s, "records")...), ", ")
}

// words are the line in short, since they stand beside a bar that says the rest: 120/500 · 3 errors · 45/s · 1,200 tokens/s · 8s left.
func (p *progress) words(s standing) string {
	if s.status != batholith.StatusInProgress {
		return p.line(s)
	}
	parts := []string{words.Number(s.counts.Processed) + "/" + words.Number(s.counts.Total)}
	if s.counts.Errored > 0 {
		parts = append(parts, words.Plural(s.counts.Errored, "error"))
	}
	return strings.Join(append(parts, p.pace(s, "")...), " · ")
}

// pace is the rate since this command began to look, which is not since the job began when it was resumed, and the time that is left
// at that rate.
func (p *progress) pace(s standing, unit string) []string {
	elapsed := p.now().Sub(p.begun)
	done := s.counts.Processed - p.begunAt.counts.Processed
	if p.begun.IsZero() || done <= 0 || elapsed < 200*time.Millisecond {
		return nil
	}
	parts := []string{strings.TrimSpace(words.Rate(done, elapsed)+" "+unit) + "/s"}
	if tokens := s.tokens - p.begunAt.tokens; tokens > 0 {
		parts = append(parts, words.Rate(tokens, elapsed)+" tokens/s")
	}
	if left := s.counts.Total - s.counts.Processed; left > 0 && !s.status.Terminal() {
		eta := time.Duration(float64(elapsed) * float64(left) / float64(done))
		parts = append(parts, words.Age(eta+time.Second/2)+" left")
	}
	return parts
}

// done takes the bar away and leaves the cursor on an empty line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.clear()
}

// Write lets a log share the terminal with the bar: the bar makes room, and is drawn again with the next change.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.clear()
	return p.out.Write(b)
}
