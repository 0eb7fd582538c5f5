package cli

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a story waits for anything before it fails.
const patience = time.Minute

// storyCommands are what the stories can say beyond testscript's own commands.
var storyCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":  exits,
	"start":  start,
	"signal": signalCommand,
	"await":  await,
	"ended":  ended,
	"said":   said,
	"follow": followServer,
	"bytes":  writeBytes,
	"model":  modelCommand,
	"hook":   hookCommand,
	"stored": stored,
}

// stored TEXT: some row of the PostgreSQL database has the text. ! stored TEXT: none has.
func stored(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: stored TEXT")
	}
	db, err := sql.Open("pgx", ts.Getenv("BATHOLITH_STORE"))
	ts.Check(err)
	defer db.Close()
	rows, err := db.Query("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
	ts.Check(err)
	var tables, with []string
	for rows.Next() {
		var name string
		ts.Check(rows.Scan(&name))
		tables = append(tables, name)
	}
	ts.Check(rows.Err())
	for _, name := range tables {
		var n int
		ts.Check(db.QueryRow("SELECT COUNT(*) FROM "+name+" AS r WHERE strpos(r::text, $1) > 0", args[0]).Scan(&n))
		if n > 0 {
			with = append(with, name)
		}
	}
	if neg != (len(with) == 0) {
		ts.Fatalf("of the tables %q, %q have rows with %q", tables, with, args[0])
	}
}

// exits CODE COMMAND…: the command ends with this exit code. Its output is there for stdout and stderr to match.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want := number(ts, neg, args, 2, "usage: exits CODE COMMAND…")
	if got := exitOf(ts, ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func number(ts *testscript.TestScript, neg bool, args []string, least int, usage string) int {
	if neg || len(args) < least {
		ts.Fatalf("%s", usage)
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	return n
}

// exitOf is the exit code in what os/exec says; -1 when a signal ended the process.
func exitOf(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// process is a command that runs beside the story.
type process struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; read after done
	mu     sync.Mutex    // guards talk
	talk   strings.Builder
	spoken chan struct{} // gets a token when talk has grown
}

// story is what the commands of one script share.
type story struct {
	processes map[string]*process
	model     *heldModel // once the command model has started it
	hook      *storyHook // once the command hook has started it
}

type storyKey struct{}

func of(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

func (s *story) process(ts *testscript.TestScript, name string) *process {
	p := s.processes[name]
	if p == nil {
		ts.Fatalf("no process %s was started", name)
	}
	return p
}

// environment is that of the script as it is now. testscript tells it to processes only.
func environmentOf(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env", "-0"))
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
}

// start NAME REGEXP COMMAND…: the command runs beside the story, which goes on when the command's stderr matches REGEXP.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME REGEXP COMMAND…")
	}
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	p := &process{cmd: exec.Command(path, args[3:]...), done: make(chan struct{}), spoken: make(chan struct{}, 1)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout = ts.MkAbs("."), environmentOf(ts), &p.out
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	go p.listen(stderr)
	ts.Defer(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		ts.Logf("[%s] %s", args[0], p.said())
	})
	of(ts).processes[args[0]] = p
	p.await(ts, args[0], args[1])
}

// listen takes in what the process says until it ends.
func (p *process) listen(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.talk.WriteString(line)
		p.mu.Unlock()
		select {
		case p.spoken <- struct{}{}:
		default:
		}
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talk.String()
}

func (p *process) await(ts *testscript.TestScript, name, pattern string) {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	late := time.After(patience)
	for !re.MatchString(p.said()) {
		select {
		case <-p.spoken:
		case <-p.done:
			if !re.MatchString(p.said()) {
				ts.Fatalf("%s ended (%v) without a word that matches %s:\n%s", name, p.err, pattern, p.said())
			}
		case <-late:
			ts.Fatalf("%s has not said %s:\n%s", name, pattern, p.said())
		}
	}
}

// await NAME REGEXP: the story goes on when the process has said something that matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await NAME REGEXP")
	}
	of(ts).process(ts, args[0]).await(ts, args[0], args[1])
}

// signal NAME KILL|TERM|INT|HUP sends a signal to a process that was started.
func signalCommand(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME KILL|TERM|INT|HUP")
	}
	ts.Check(of(ts).process(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended CODE NAME: the process ends with this exit code, -1 for a signal. What it said is in the files NAME.stdout and NAME.stderr then.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	want := number(ts, neg, args, 2, "usage: ended CODE NAME")
	p := of(ts).process(ts, args[1])
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("%s goes on:\n%s", args[1], p.said())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".stdout"), p.out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".stderr"), []byte(p.said()), 0o600))
	if got := exitOf(ts, p.err); got != want {
		ts.Fatalf("%s ended with %d, want %d:\n%s", args[1], got, want, p.said())
	}
}

// said NAME: what the process has said until now is in the file NAME.stderr then.
func said(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: said NAME")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".stderr"), []byte(of(ts).process(ts, args[0]).said()), 0o600))
}

// followServer makes the environment of the story that of the server in ./batholith-data, as eval "$(batholith env)" does.
func followServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: follow")
	}
	ts.Check(ts.Exec("batholith", "env", "--json"))
	vars := map[string]string{}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &vars))
	for name, value := range vars {
		ts.Setenv(name, value)
	}
}

// bytes FILE TEXT writes a file from a text with Go's escapes, for bytes that no text file should hold.
func writeBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE TEXT")
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\"`) + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
