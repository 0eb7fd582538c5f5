package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/batholith/batholith"
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

	mu  sync.Mutex               // guards what follows: the job's goroutine shows, any goroutine logs
	bar *progressbar.ProgressBar // nil off a terminal

	begun     time.Time // when the first record count was seen
	begunAt   standing
	lastShown standing
	shownAt   time.Time
}

func (a *app) newProgress() *progress {
	return &progress{out: a.stderr, live: a.terminal, now: time.Now}
}

// show takes in how the job stands.
func (p *progress) show(s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.counts.Total > 0 && p.begun.IsZero() {
		p.begun, p.begunAt = p.now(), s
	}
	if p.live {
		p.showBar(s)
	} else if p.worthALine(s) {
		fmt.Fprintf(p.out, "%s\n", p.line(s))
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

// line tells the standing in words: InProgress 120/500, 3 errors, 45 records/s, 1,200 tokens/s, 8s left.
func (p *progress) line(s standing) string {
	text := string(s.status)
	if s.counts.Total > 0 {
		text += fmt.Sprintf(" %s/%s records", grouped(s.counts.Processed), grouped(s.counts.Total))
	}
	if s.counts.Errored > 0 {
		text += ", " + plural(s.counts.Errored, "error")
	}
	return text + p.pace(s)
}

// pace is the rate since this command began to look, which is not since the job began when it was resumed.
func (p *progress) pace(s standing) string {
	elapsed := p.now().Sub(p.begun)
	done := s.counts.Processed - p.begunAt.counts.Processed
	if p.begun.IsZero() || done <= 0 || elapsed < 200*time.Millisecond {
		return ""
	}
	text := fmt.Sprintf(", %s records/s", rate(done, elapsed))
	if tokens := s.tokens - p.begunAt.tokens; tokens > 0 {
		text += fmt.Sprintf(", %s tokens/s", rate(tokens, elapsed))
	}
	if left := s.counts.Total - s.counts.Processed; left > 0 && !s.status.Terminal() {
		eta := time.Duration(float64(elapsed) * float64(left) / float64(done))
		text += fmt.Sprintf(", %s left", shortSpan(eta+time.Second/2))
	}
	return text
}

func (p *progress) showBar(s standing) {
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.ThemeUnicode),
		)
	}
	if s.counts.Total > 0 && p.bar.GetMax64() != s.counts.Total {
		p.bar.ChangeMax64(s.counts.Total)
	}
	p.bar.Describe(p.line(s))
	if s.counts.Total > 0 {
		// A bar at its end would finish and clear itself; done does that.
		_ = p.bar.Set64(min(s.counts.Processed, s.counts.Total-1))
	}
}

// done takes the bar away and leaves the cursor on an empty line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
		p.bar = nil
	}
}

// Write lets a log share the terminal with the bar: the bar makes room, and is drawn again with the next change.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	return p.out.Write(b)
}
