package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

func at(status batholith.Status, processed, errored, total int64) standing {
	return standing{status: status, tokens: 10 * processed,
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
	if !strings.Contains(out.String(), "\r\x1b[Ka log line\n") {
		t.Errorf("the log line shares a line with the bar: %q", out.String())
	}
	p.show(at(batholith.StatusCompleted, 10, 0, 10))
	p.done()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("the last line is not taken away: %q", out.String())
	}
}
