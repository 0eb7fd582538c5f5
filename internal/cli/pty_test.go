package cli

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// signalled is a stream that tells of each writing.
type signalled struct{ wrote chan string }

func (s signalled) Write(p []byte) (int, error) {
	s.wrote <- string(p)
	return len(p), nil
}

func TestAResizeDrawsTheBarAtOnce(t *testing.T) {
	var columns atomic.Int64
	columns.Store(80)
	out := signalled{make(chan string, 10)}
	a := &app{stderr: out, terminal: true, env: []string{"LANG=C.UTF-8"}, columns: func() int { return int(columns.Load()) }}
	p := a.newProgress()
	stop := p.followSize()
	p.show(at("InProgress", 1, 0, 2))
	wide := <-out.wrote
	columns.Store(50)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	narrow := <-out.wrote
	stop()
	if w, n := widthOf(drawnLine(wide)), widthOf(drawnLine(narrow)); n >= 50 || n >= w {
		t.Errorf("%d columns after the resize, %d before: %q", n, w, narrow)
	}
}

// drawnLine is what a drawing of the bar shows.
func drawnLine(s string) string { return strings.NewReplacer("\r", "", "\x1b[J", "").Replace(s) }

// colourSequence is a colour of the program's own.
var colourSequence = regexp.MustCompile(`\x1b\[[0-9]+m`)

// The real program on a real terminal, which is resized while a job runs.
func TestOnATerminalEveryLineKeepsToTheWidth(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &heldModel{left: -1, held: make(chan struct{}), arrived: make(chan struct{}, 1000), gone: make(chan struct{}, 1000), answered: map[string]int{}}
	m.hold(1)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	t.Cleanup(m.release)
	dir := t.TempDir()
	var lines []string
	for i := range 3 {
		lines = append(lines, fmt.Sprintf(`{"recordId":"長い名前-%d","modelInput":{"messages":[{"role":"user","content":"%d 日本語の長い質問 %s"}]}}`, i, i, strings.Repeat("words of a long prompt ", 10)))
	}
	if err := os.WriteFile(filepath.Join(dir, "in.jsonl"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: program, Args: []string{"batholith", "run", "in.jsonl"}, Dir: dir, Env: []string{"LANG=C.UTF-8", "TERM=xterm", "HOME=" + dir,
		fmt.Sprintf("BATHOLITH_MODELS=[{id: held, family: openai, backends: [{url: '%s/v1'}]}]", server.URL)}}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 90})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	said := &bytes.Buffer{}
	readUntil(t, terminal, said, func(s string) bool { return strings.Contains(s, "1/3") })
	if !strings.Contains(said.String(), "█") {
		t.Errorf("no bar: %q", said)
	}
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 40, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	narrow := func(s string) bool { // once one drawing has the new width, all have
		drawings := strings.Split(s, "\x1b[J\r")
		return len(drawings) > 2 && widthOf(drawnLine(drawings[len(drawings)-2])) < 60
	}
	said.Reset()
	readUntil(t, terminal, said, narrow)
	said.Reset()
	m.release()
	readUntil(t, terminal, said, nil)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	output := colourSequence.ReplaceAllString(said.String(), "")
	for _, row := range strings.FieldsFunc(strings.ReplaceAll(output, "\x1b[J", "\n"), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if n := widthOf(row); n > 60 {
			t.Errorf("%d columns: %q", n, row)
		}
	}
	if !strings.Contains(output, "answers:") || !strings.Contains(output, "echo: 0") {
		t.Errorf("the summary is missing: %q", output)
	}
}

// readUntil reads a terminal until enough was said, or, with nil, until its program has ended.
func readUntil(t *testing.T, terminal *os.File, said *bytes.Buffer, enough func(string) bool) {
	t.Helper()
	buffer := make([]byte, 4096)
	for enough == nil || !enough(said.String()) {
		n, err := terminal.Read(buffer)
		said.Write(buffer[:n])
		if err != nil { // Linux: EIO when the last process has closed its end
			if enough != nil {
				t.Fatalf("the program ended too soon: %q", said)
			}
			return
		}
	}
}
