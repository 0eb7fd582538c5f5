package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

func at(status batholith.Status, processed, errored, total int64) standing {
	return standing{status: status, tokens: batholith.Tokens{Input: 9 * processed, Output: processed},
		counts: batholith.Counts{Total: total, Processed: processed, Succeeded: processed - errored, Errored: errored}}
}

func TestALogGetsALineWhenSomethingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{out: &out, now: time.Now}
		p.show(at(batholith.StatusSubmitted, 0, 0, 0))
		p.show(at(batholith.StatusSubmitted, 0, 0, 0))
		p.show(at(batholith.StatusInProgress, 0, 0, 1000))
		for n := int64(1); n <= 250; n++ {
			time.Sleep(100 * time.Millisecond) // virtual
			p.show(at(batholith.StatusInProgress, n, 1, 1000))
		}
		p.show(at(batholith.StatusInProgress, 250, 1, 1000))
		time.Sleep(time.Minute)
		p.show(at(batholith.StatusInProgress, 251, 1, 1000))
		p.show(at(batholith.StatusCompleted, 1000, 1, 1000))
		want := []string{
			"Submitted",
			"InProgress 0/1,000 records",
			"InProgress 100/1,000 records, 1 error, 10 records/s, 100 tokens/s, 1m left",
			"InProgress 200/1,000 records, 1 error, 10 records/s, 100 tokens/s, 1m left",
			"InProgress 251/1,000 records, 1 error, 3.0 records/s, 30 tokens/s, 4m left",
			"Completed 1,000/1,000 records, 1 error, 12 records/s, 118 tokens/s",
		}
		if got := strings.TrimSpace(out.String()); got != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

func TestTheBarLeavesNothingBehindAndLogsStandAlone(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, live: true, now: time.Now, bar: bar{out: &out, width: func() int { return 80 }}}
	p.show(at(batholith.StatusValidating, 0, 0, 0))
	p.show(at(batholith.StatusInProgress, 5, 0, 10))
	if _, err := p.Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\r\x1b[Ja log line\n") {
		t.Errorf("the log line shares a line with the bar: %q", out.String())
	}
	p.show(at(batholith.StatusCompleted, 10, 0, 10))
	p.done()
	if !strings.HasSuffix(out.String(), "\r\x1b[J") {
		t.Errorf("the last line is not taken away: %q", out.String())
	}
}

// shownOn is what a bar shows on a terminal of some columns.
func shownOn(t *testing.T, columns int, s standing, after time.Duration, env ...string) string {
	t.Helper()
	var out bytes.Buffer
	a := &app{stderr: &out, terminal: true, columns: func() int { return columns }, env: append([]string{"LANG=C.UTF-8"}, env...)}
	p := a.newProgress()
	began := time.Unix(0, 0)
	p.now = func() time.Time { return began }
	p.show(standing{status: batholith.StatusInProgress, counts: batholith.Counts{Total: s.counts.Total}})
	p.now = func() time.Time { return began.Add(after) }
	out.Reset()
	p.show(s)
	return strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r"), "\x1b[J\r")
}

func TestTheBarKeepsToTheWidthAndUsesIt(t *testing.T) {
	s := standing{status: batholith.StatusInProgress, flying: 16, tokens: batholith.Tokens{Input: 23_000, Output: 1_000},
		counts: batholith.Counts{Total: 200, Processed: 124, Succeeded: 121, Errored: 3}}
	for columns, want := range map[int]string{
		20:  " 62% 124/200",
		39:  " 62% 124/200 · 3 errors · 6s left",
		60:  "███████████░░░░░░░  62% 124/200 · 3 errors · 12/s · 6s left",
		80:  "█████████████░░░░░░░░  62% 124/200 · 3 errors · 12/s · 2,400 tokens/s · 6s left",
		200: "█████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░  62% 124/200 · 3 errors · 12/s · 2,400 tokens/s · 16 in flight · 23,000 tokens in, 1,000 out, about 38,709 in all · 10s so far · 6s left",
	} {
		got := shownOn(t, columns, s, 10*time.Second)
		if got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
		if widthOf(got) >= columns {
			t.Errorf("%d columns: %d are used", columns, widthOf(got))
		}
	}
}

// Whatever the numbers are, a wider terminal shows no less, and the line never reaches the last column. Below barWidth there is no bar, and more room.
func TestTheBarKeepsItsMembersInTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 1<<40).Draw(t, "total")
		done := rapid.Int64Range(0, total).Draw(t, "done")
		s := standing{status: batholith.StatusInProgress, flying: rapid.IntRange(0, 100_000).Draw(t, "flying"),
			tokens: batholith.Tokens{Input: rapid.Int64Range(0, 1<<45).Draw(t, "tokens")},
			counts: batholith.Counts{Total: total, Processed: done, Errored: rapid.Int64Range(0, done).Draw(t, "errors")}}
		p := &progress{live: true, now: time.Now, begun: time.Now().Add(-time.Minute), begunAt: standing{counts: batholith.Counts{Total: total}}}
		members := p.members(s)
		before, ascii := 0, rapid.Bool().Draw(t, "ascii")
		for columns := barWidth + 1; columns < 220; columns += 7 {
			b := bar{width: func() int { return columns }, ascii: ascii}
			line := b.line(drawn{part: done, whole: total, members: members}, columns-1)
			if widthOf(line) >= columns {
				t.Fatalf("%d columns: %q", columns, line)
			}
			n := strings.Count(line, b.text(separator))
			if n < before {
				t.Fatalf("%d columns show %d members, fewer than %d: %q", columns, n+1, before+1, line)
			}
			before = n
		}
	})
}
