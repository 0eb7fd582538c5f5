package cli

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// standing is what a progress display shows of a job.
type standing struct {
	status batholith.Status
	counts batholith.Counts
	tokens batholith.Tokens // 0 when unknown
	flying int              // requests in flight; 0 when unknown
}

// sum is the tokens that were sent and received.
func (s standing) sum() int64 { return s.tokens.Input + s.tokens.Output }

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

// followSize draws the bar anew at once when the terminal is resized, until the returned function is called.
func (p *progress) followSize() (stop func()) {
	if !p.live {
		return func() {}
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-resized:
				p.redraw()
			case <-end:
				return
			}
		}
	}()
	return func() {
		signal.Stop(resized)
		close(end)
		<-ended
	}
}

// redraw draws the bar for the terminal as wide as it is now.
func (p *progress) redraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.again()
}

// show takes in how the job stands.
func (p *progress) show(s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.counts.Total > 0 && p.begun.IsZero() {
		p.begun, p.begunAt = p.now(), s
	}
	if p.live {
		p.bar.show(drawn{part: s.counts.Processed, whole: s.counts.Total, members: p.members(s)})
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
	if v, ok := p.pace(s); ok {
		parts = append(parts, v.rate+" records/s")
		if v.tokens != "" {
			parts = append(parts, v.tokens+" tokens/s")
		}
		if v.left != "" {
			parts = append(parts, v.left+" left")
		}
	}
	return strings.Join(parts, ", ")
}

// members are what the bar says, in the order of the line. The ranks are the order in which they find room: 60 columns have the counts,
// errors, the time left and the rate; 200 have all.
func (p *progress) members(s standing) []member {
	count := string(s.status)
	if s.counts.Total > 0 {
		count = strings.TrimPrefix(count+" ", string(batholith.StatusInProgress)+" ") + words.Number(s.counts.Processed) + "/" + words.Number(s.counts.Total)
	}
	all := []member{{0, count}}
	add := func(rank int, text string) { all = append(all, member{rank, text}) }
	if s.counts.Errored > 0 {
		add(1, words.Plural(s.counts.Errored, "error"))
	}
	v, moving := p.pace(s)
	if moving {
		add(3, v.rate+"/s")
		if v.tokens != "" {
			add(4, v.tokens+" tokens/s")
		}
	}
	if s.flying > 0 {
		add(5, fmt.Sprintf("%d in flight", s.flying))
	}
	if moving {
		if text := expected(s); text != "" {
			add(7, text)
		}
		add(6, words.Age(v.elapsed)+" so far")
		if v.left != "" {
			add(2, v.left+" left")
		}
	}
	return all
}

// expected tells the tokens so far, and how many the whole job will have at the same rate a record: tokens / processed × total.
func expected(s standing) string {
	if s.sum() == 0 || s.counts.Processed == 0 {
		return ""
	}
	text := fmt.Sprintf("%s tokens in, %s out", words.Number(s.tokens.Input), words.Number(s.tokens.Output))
	if s.counts.Processed == s.counts.Total {
		return text
	}
	all := float64(s.sum()) / float64(s.counts.Processed) * float64(s.counts.Total)
	return text + fmt.Sprintf(", about %s in all", words.Number(int64(all)))
}

// pace is how fast a job goes, in words.
type pace struct {
	elapsed time.Duration // since this command began to look
	rate    string        // records a second
	tokens  string        // a second; "" when unknown
	left    string        // time; "" when nothing is left
}

// pace is the rate since this command began to look, which is not since the job began when it was resumed, and the time that is left
// at that rate. It is false while there is too little to tell.
func (p *progress) pace(s standing) (v pace, ok bool) {
	v.elapsed = p.now().Sub(p.begun)
	done := s.counts.Processed - p.begunAt.counts.Processed
	if p.begun.IsZero() || done <= 0 || v.elapsed < 200*time.Millisecond {
		return pace{}, false
	}
	v.rate = words.Rate(done, v.elapsed)
	if tokens := s.sum() - p.begunAt.sum(); tokens > 0 {
		v.tokens = words.Rate(tokens, v.elapsed)
	}
	if left := s.counts.Total - s.counts.Processed; left > 0 && !s.status.Terminal() {
		v.left = words.Age(time.Duration(float64(v.elapsed)*float64(left)/float64(done)) + time.Second/2)
	}
	return v, true
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
