package document

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	_ "github.com/batholith/batholith/internal/raced"
)

// TestAProcessThatCannotStartIsStartedAgain: a lack of processes or memory that ends within some seconds refuses no document, one that lasts is an
// error that does not blame the document, and a document that cannot be read is read once.
func TestAProcessThatCannotStartIsStartedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fails  int
		answer string
		starts int
		pages  string
		blamed bool
	}{
		"at once":             {0, `{"pages":["a","b"]}`, 1, "a b", false},
		"after some seconds":  {attempts - 1, `{"pages":["a"]}`, attempts, "a", false},
		"never":               {attempts, "", attempts, "", false},
		"an unreadable one":   {0, `{"unreadable":"has no text"}`, 1, "", true},
		"unreadable, at last": {2, `{"unreadable":"has no text"}`, 3, "", true},
		"a broken answer":     {0, `{`, attempts, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				starts := 0
				r := &Reader{slots: make(chan struct{}, 1), run: func(cmd *exec.Cmd) error {
					if starts++; starts <= c.fails {
						return &exec.Error{Name: cmd.Path, Err: syscall.EAGAIN}
					}
					_, err := io.WriteString(cmd.Stdout, c.answer)
					return err
				}}
				pages, err := r.Pages(PDF, nil)
				unreadable, blamed := errors.AsType[*Unreadable](err)
				if got := strings.Join(pages, " "); got != c.pages || starts != c.starts || blamed != c.blamed || (err == nil) != (c.pages != "") {
					t.Errorf("%q, %v (%v) after %d starts", got, err, unreadable, starts)
				}
			})
		})
	}
}
