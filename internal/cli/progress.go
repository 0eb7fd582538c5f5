package cli

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/system"
	"github.com/batholith/batholith/internal/words"
)

// standing is the state of a job as a progress display shows it.
type standing struct {
	status batholith.Status
	counts batholith.Counts
	tokens batholith.Tokens // 0 when unknown
	flying int              // requests in flight; 0 when unknown
}

// sum returns the tokens that were sent and received.
func (s standing) sum() int64 { return s.tokens.Input + s.tokens.Output }

// progress shows the progress of a job on stderr. On a terminal it is a bar; in a log it is one line for each
// change worth reading. Its methods may be called from several goroutines.
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

// newProgress returns a display on stderr, with a bar if stderr is a terminal that can be drawn over.
func (a *app) newProgress() *progress {
	return &progress{out: a.stderr, live: a.live(), now: time.Now, bar: a.newBar()}
}

// followSize redraws the bar when the terminal is resized (SIGWINCH), until stop is called. stop waits for the
// goroutine.
func (p *progress) followSize() (stop func()) {
	if !p.live {
		return func() {}
	}
	resized := make(chan os.Signal, 1)
	system.NotifyResize(resized)
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

// redraw draws the bar again for the present width of the terminal.
func (p *progress) redraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.again()
}

// show displays a new standing. Rates count from the first standing with a known number of records, so that a
// resumed job shows the speed of this run.
func (p *progress) show(s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.counts.Total > 0 && p.begun.IsZero() {
		p.begun, p.begunAt = p.now(), s
	}
	// A terminal shows every change. A log gets few lines, and remembers the last one.
	if p.live {
		p.bar.show(drawn{part: s.counts.Processed, whole: s.counts.Total, members: p.members(s)})
	} else if p.worthALine(s) {
		plain.Fprintf(p.out, "%s\n", p.line(s))
		p.lastShown, p.shownAt = s, p.now()
	}
}

// worthALine reports whether a log gets a line for s: the status changed, another tenth of the records is done, or
// records were done and the last line is 30 s old.
func (p *progress) worthALine(s standing) bool {
	if s.status != p.lastShown.status {
		return true
	}
	tenth := max(1, s.counts.Total/10)
	moved := s.counts.Processed - p.lastShown.counts.Processed
	return moved > 0 && (moved >= tenth || p.now().Sub(p.shownAt) >= 30*time.Second)
}

// line returns a standing in words, such as "InProgress 120/500 records, 3 errors, 45 records/s, 1,200 tokens/s,
// 8s left".
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

// members returns the texts of the bar in the order of the line. The ranks say which are kept in a narrow
// terminal: 60 columns show counts, errors, time left and rate; 200 columns show all.
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

// expected returns the tokens so far and an estimate for the whole job, at the same number of tokens per record:
//
//	all = tokens / processed × total
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

// pace is the speed of a job, in words.
type pace struct {
	elapsed time.Duration // since this command began to look
	rate    string        // records a second
	tokens  string        // a second; "" when unknown
	left    string        // time; "" when nothing is left
}

// pace returns the speed since this command began to look, and the time left at that speed:
//
//	rate = done / elapsed
//	left = elapsed × remaining / done
//
// ok is false before the first record is done and in the first 200 ms, when the numbers would mean nothing.
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

// done removes the bar and leaves the cursor on an empty line. The next show draws it again.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.clear()
}

// Write removes the bar and writes b to stderr, so that log lines and the bar do not mix. The next show draws the
// bar again. It implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.clear()
	return p.out.Write(b)
}
