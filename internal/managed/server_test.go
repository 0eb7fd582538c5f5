package managed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Nothing is sent to a server before it says that it is ready; until then everyone learns how far it is, in our words.
func TestAServerIsReachedOnceItIsReady(t *testing.T) {
	r := start(t, quick(), spec(t, "loading"), t.TempDir())
	s := r.until("the load", func(s State) bool { return s.Percent == 40 })
	_, err := r.Dial(t.Context())
	f, ok := errors.AsType[*batholith.Failure](err)
	if !ok || f.Kind != batholith.FailureUnreachable || f.Public != r.Name()+" is being started" {
		t.Errorf("Dial of a server that loads: %v", err)
	}
	if p := r.Progress(); !strings.Contains(p, "40 %") || strings.Contains(p+f.Public, "secret-of-the-log") {
		t.Errorf("progress %q", p)
	}
	ready := r.Ready()
	ask(s.Port, "/load")
	<-ready
	r.untilReady()
	conn, err := r.Dial(t.Context())
	if err != nil || r.Ready() != nil || r.Progress() != "" {
		t.Fatalf("Dial of a ready server: %v; progress %q", err, r.Progress())
	}
	conn.Close()
}

// A server that ends is started again, on a new port; what it printed after it was ready may hold prompts and is not quoted.
func TestAServerThatEndsIsStartedAgain(t *testing.T) {
	r := start(t, quick(), spec(t, "serve"), t.TempDir())
	first := r.untilReady()
	ask(first.Port, "/die")
	ended := r.until("the end", func(s State) bool { return s.Phase == PhaseWaiting })
	if ended.Why != "exit status 7" || ended.Failed != 0 || ended.Said != nil || ended.PID != 0 {
		t.Errorf("after its end: %+v", ended)
	}
	second := r.untilReady()
	if second.PID == first.PID || second.Starts != 2 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, r.Name()+".log"))
	if err != nil || !strings.Contains(string(text), "a prompt") {
		t.Errorf("the log: %q, %v", text, err)
	}
	if state, err := os.ReadFile(statePath(r.dir, r.Name())); err != nil || strings.Contains(string(state), "a prompt") {
		t.Errorf("the state quotes the log: %s, %v", state, err)
	}
}

// A server that was never ready got no prompt, so its last lines say why it does not start.
func TestAServerThatDoesNotStartIsQuoted(t *testing.T) {
	r := start(t, quick(), spec(t, "broken"), t.TempDir())
	s := r.until("the third failure", func(s State) bool { return s.Failed == 3 && s.Phase == PhaseWaiting })
	if s.Why != "exit status 3" || len(s.Said) != 1 || s.Said[0] != "error: no such model file" {
		t.Errorf("%+v", s)
	}
	if want := r.Name() + " does not start (exit status 3)"; s.Public() != want || !strings.Contains(s.Progress(), "after 3 failed starts") {
		t.Errorf("%q, %q", s.Public(), s.Progress())
	}
	seen, err := Look(r.dir, r.Name())
	if err != nil || seen.Failed < 3 || seen.Log == "" {
		t.Errorf("another process sees %+v, %v", seen, err)
	}
}

func TestAProgramThatIsGoneIsTriedAgain(t *testing.T) {
	r := start(t, quick(), Spec{Exec: []string{filepath.Join(t.TempDir(), "none"), Port}}, t.TempDir())
	s := r.until("the second failure", func(s State) bool { return s.Failed == 2 && s.Phase == PhaseWaiting })
	if s.Why != "its program cannot be started: no such file or directory" {
		t.Errorf("%+v", s)
	}
}

func TestASickServerIsStartedAgain(t *testing.T) {
	o := quick()
	o.Unwell = time.Millisecond
	r := start(t, o, spec(t, "serve"), t.TempDir())
	first := r.untilReady()
	ask(first.Port, "/sicken")
	s := r.until("the stop", func(s State) bool { return s.Phase == PhaseWaiting && s.PID == 0 })
	if s.Why != "its health check kept failing, so it was stopped" {
		t.Errorf("%+v", s)
	}
	r.untilReady()
}

// Whatever a server has started ends with it, when it is stopped and when it crashes.
func TestNothingIsLeftOfAServer(t *testing.T) {
	for name, end := range map[string]func(*run, int){
		"stopped": func(r *run, _ int) { r.stop() },
		"crashed": func(_ *run, port int) { ask(port, "/die") },
	} {
		t.Run(name, func(t *testing.T) {
			k := newTies(t)
			r := start(t, quick(), spec(t, "parental", k.env()), t.TempDir())
			_, _, first := k.next()
			_, _, second := k.next()
			end(r, r.untilReady().Port)
			first()
			second()
			r.stop()
			if s, err := Look(r.dir, r.Name()); err != nil || s.Phase != PhaseStopped || s.PID != 0 {
				t.Errorf("the state after the end: %+v, %v", s, err)
			}
		})
	}
}

func TestAServerThatDoesNotObeyIsKilled(t *testing.T) {
	o := quick()
	o.Grace = time.Millisecond
	k := newTies(t)
	r := start(t, o, spec(t, "stubborn", k.env()), t.TempDir())
	_, _, ended := k.next()
	r.untilReady()
	r.stop()
	ended()
}

// A process that an earlier run left is stopped before another one is started: two would not fit into the memory of the GPU.
func TestAServerOfAnEarlierRunIsStoppedFirst(t *testing.T) {
	k, dir := newTies(t), t.TempDir()
	sp := spec(t, "serve", k.env())
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	args, env := sp.on(port)
	old, err := launch(args, env, "", newOutput(filepath.Join(dir, "old.log")))
	if err != nil {
		t.Fatal(err)
	}
	_, pid, ended := k.next()
	birth, ok := birthOf(pid)
	if !ok {
		t.Fatal("the process has no birth")
	}
	if err := (State{Name: nameOf(args[0]), Phase: PhaseReady, PID: pid, Birth: birth}).save(dir); err != nil {
		t.Fatal(err)
	}
	r := start(t, quick(), sp, dir)
	ended() // before the next one connects
	<-old.ended
	if s := r.untilReady(); s.PID == pid {
		t.Errorf("the old process is still used: %+v", s)
	}
}

func TestEqualCommandsAreOneServer(t *testing.T) {
	s := New(Options{})
	a := s.Add(Spec{Exec: []string{"/opt/bin/Llama server", Port}})
	if s.Add(Spec{Exec: []string{"/opt/bin/Llama server", Port}}) != a {
		t.Error("an equal command is another server")
	}
	b, c := s.Add(Spec{Exec: []string{"/opt/bin/Llama server", Port}, Dir: "/tmp"}), s.Add(Spec{Exec: []string{"…"}})
	if a.Name() != "llama-server" || b.Name() != "llama-server-2" || c.Name() != "server" {
		t.Errorf("names %s, %s, %s", a.Name(), b.Name(), c.Name())
	}
	s.Keep(func(o *Server) bool { return o == b })
	if len(s.all) != 1 {
		t.Errorf("%d servers are kept", len(s.all))
	}
}

func TestHealthIsJudgedByStatus(t *testing.T) {
	for status, want := range map[int]struct {
		v    verdict
		next bool
	}{200: {answered, false}, 401: {answered, false}, 404: {answered, true}, 405: {answered, true}, 501: {answered, true}, 503: {unwell, false}, 500: {unwell, false}, 429: {unwell, false}} {
		if v, next := verdictOf(status); v != want.v || next != want.next {
			t.Errorf("%d: %v, %v", status, v, next)
		}
	}
}

// A busy server is left alone for longer than one that says that it is not ready.
func TestABusyServerIsNotSick(t *testing.T) {
	o := Options{}.withDefaults()
	at := time.Unix(0, 0)
	for name, c := range map[string]struct {
		looks []verdict
		sick  bool // at the end
		every time.Duration
	}{
		"well":                     {[]verdict{answered, answered}, false, time.Hour},
		"not ready for a minute":   {[]verdict{unwell, unwell, unwell}, true, time.Minute / 2},
		"not ready for less":       {[]verdict{unwell, unwell}, false, time.Minute / 2},
		"ready between":            {[]verdict{unwell, answered, unwell}, false, time.Minute},
		"busy for minutes":         {[]verdict{unheard, unheard, unheard}, false, 4 * time.Minute},
		"busy for ten minutes":     {[]verdict{unheard, unheard, unheard}, true, 5 * time.Minute},
		"busy, and then not ready": {[]verdict{unheard, unwell, unwell}, false, time.Minute},
	} {
		i, why := illness{o: o}, ""
		for n, v := range c.looks {
			why = i.look(v, at.Add(time.Duration(n)*c.every))
		}
		if (why != "") != c.sick {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// The log of a server holds prompts: only its owner may read it, and it does not fill the disk.
func TestALogIsPrivateAndBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	o := newOutput(path)
	o.most = 100
	for range 50 {
		if _, err := o.Write([]byte("a line of ten\nhalf")); err != nil {
			t.Fatal(err)
		}
	}
	o.close()
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil || info.Size() > 100 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	if lines := o.lines(); len(lines) != keptLines || lines[len(lines)-1] != "half" || lines[0] != "halfa line of ten" {
		t.Errorf("last lines %q", lines)
	}
	o.begin()
	o.Write([]byte("\x1b[31mred\x1b[0m " + strings.Repeat("x", 1000) + "\n150 % of 99.5%\n"))
	if lines := o.lines(); len(lines) != 2 || len(lines[0]) > lineBytes+20 || strings.ContainsRune(lines[0], 0x1b) || o.loaded() != 99 {
		t.Errorf("lines %q, loaded %d", lines, o.loaded())
	}
}

func TestAServerThatIsNotStartedTakesNothing(t *testing.T) {
	s := New(Options{}).Add(Spec{Exec: []string{"llama-server"}})
	if _, err := s.Dial(context.Background()); err == nil || s.Ready() == nil {
		t.Error("it can be reached")
	}
}
