package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith"
)

// brittle is a dialect with a bug: it panics over some bodies and some answers, with a text that quotes them.
type brittle struct{ plain }

func (brittle) Request(input []byte, model string) (batholith.Call, error) {
	if bytes.Contains(input, []byte("no-request")) {
		panic(fmt.Sprintf("cannot translate %s", input))
	}
	return plain{}.Request(input, model)
}

func (brittle) Answer(input []byte, c batholith.Call, body []byte) (batholith.Answer, error) {
	if bytes.Contains(input, []byte("no-answer")) {
		_ = body[len(body)+1]
	}
	return plain{}.Answer(input, c, body)
}

// TestAPanicOverARecordIsItsErrorAndNotTheEnd: the record gets an error line of our own words, the others their answers, and the log has
// the stack and nothing of the prompt.
func TestAPanicOverARecordIsItsErrorAndNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var log bytes.Buffer
		job := w.jobOf("a", 30, 10, func(n int) string {
			switch n {
			case 3:
				return `{"x":"no-request SECRET"}`
			case 14:
				return `{"x":"no-answer SECRET"}`
			case 25:
				return `{"x":"no-exchange SECRET"}`
			}
			return fmt.Sprintf(`{"n":%d}`, n)
		})
		s := answering(0)
		s.do = func(_ context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, "no-exchange") {
				panic("cannot read what came for " + body)
			}
			return []byte(`"ok"`), nil
		}
		d := w.dispatcher(Options{Attempts: 2, Log: slog.New(slog.NewTextHandler(&log, nil))}, s)
		d.o.Serving = func(batholith.Job) (Serving, error) {
			return Serving{Model: "m", Backends: []Backend{s}, Dialect: always(brittle{})}, nil
		}
		d.Enqueue(job)
		stop := w.start(d)
		w.await(30, "a")
		stop()
		if n := w.errors("a"); n != 3 {
			t.Errorf("%d error lines, want 3", n)
		}
		for n, kind := range map[int]batholith.OutcomeKind{3: batholith.OutcomeInvalid, 14: batholith.OutcomeExhausted, 25: batholith.OutcomeExhausted} {
			o := w.outcomes["a"][batholith.RecordKey{Record: int64(n)}]
			if line := string(o.Line); o.Kind != kind || !strings.Contains(line, `"errorCode":500`) || !strings.Contains(line, "internal error") || strings.Contains(line, "cannot") {
				t.Errorf("record %d ended as %v: %s", n, o.Kind, line)
			}
		}
		if text := log.String(); strings.Contains(text, "SECRET") || !strings.Contains(text, "broken_test.go") || !strings.Contains(text, "brittle") {
			t.Errorf("log:\n%s", text)
		}
	})
}
