package managed

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fakeMode is the environment variable that makes the test's program a model server: a word for what it does.
const (
	fakeMode = "FAKE_SERVER"
	fakeTie  = "FAKE_TIE" // address to which the fake connects; the connection ends with it
)

func TestMain(m *testing.M) {
	switch mode := os.Getenv(fakeMode); mode {
	case "":
		os.Exit(m.Run())
	case "broken":
		fmt.Println("error: no such model file")
		os.Exit(3)
	case "idle":
		tie("child")
		select {}
	case "parent": // runs a server as batholith does, until it is killed
		s := New(Options{}).Add(Spec{Exec: []string{os.Args[0], Port}, Env: []string{fakeMode + "=serve"}, Inherit: os.Environ(), Health: []string{"/health"}})
		_ = s.Run(context.Background(), os.Args[1], nil)
	default:
		serveFake(mode)
	}
}

// tie connects to the test and says who it is.
func tie(who string) net.Conn {
	addr := os.Getenv(fakeTie)
	if addr == "" {
		return nil
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		os.Exit(9)
	}
	fmt.Fprintf(conn, "%s %d\n", who, os.Getpid())
	return conn
}

// serveFake is a model server on the port of its only argument. "loading" is not ready until /load is asked; "stubborn" ignores SIGTERM;
// "parental" starts a child.
func serveFake(mode string) {
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	if mode == "parental" {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fakeMode+"=idle")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			os.Exit(8)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		os.Exit(5)
	}
	tie("server")
	var loaded, sick atomic.Bool
	loaded.Store(mode != "loading")
	fmt.Print("loading shards:  10%\rloading shards:  40%\rsecret-of-the-log\n")
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if !loaded.Load() || sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/load", func(http.ResponseWriter, *http.Request) { loaded.Store(true) })
	mux.HandleFunc("/sicken", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) { fmt.Println("a prompt"); os.Exit(7) })
	_ = http.Serve(ln, mux)
	os.Exit(6)
}

// spec is how the fake is started.
func spec(t *testing.T, mode string, env ...string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Exec: []string{self, Port}, Env: append(env, fakeMode+"="+mode), Inherit: os.Environ(), Health: []string{"/health"}}
}

// run is a server that runs during a test.
type run struct {
	*Server
	t      *testing.T
	dir    string
	states chan State
	stop   func() // and waits for the end of Run
}

// quick are times for tests; none of them decides about a result.
func quick() Options {
	return Options{Least: time.Millisecond, Most: 2 * time.Millisecond, Look: time.Millisecond, Watch: time.Millisecond, Grace: time.Minute}
}

func start(t *testing.T, o Options, sp Spec, dir string) *run {
	t.Helper()
	r := &run{t: t, dir: dir, states: make(chan State, 10_000)}
	o.Changed = func(s State) { r.states <- s }
	servers := New(o)
	r.Server = servers.Add(sp)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- servers.Run(ctx, dir, nil) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(r.stop)
	return r
}

// until waits for a state.
func (r *run) until(what string, is func(State) bool) State {
	r.t.Helper()
	for {
		select {
		case s := <-r.states:
			if is(s) {
				return s
			}
		case <-r.t.Context().Done():
			r.t.Fatalf("%s did not come; the state is %+v", what, r.State())
		}
	}
}

func (r *run) untilReady() State {
	r.t.Helper()
	return r.until("readiness", func(s State) bool { return s.Phase == PhaseReady })
}

// ask sends a request to the fake. The fake may end before it answers.
func ask(port int, path string) {
	if resp, err := http.Get("http://" + loopback(port) + path); err == nil {
		resp.Body.Close()
	}
}

// ties are the connections of fakes, which end with them.
type ties struct {
	t  *testing.T
	ln net.Listener
}

func newTies(t *testing.T) *ties {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &ties{t, ln}
}

func (k *ties) env() string { return fakeTie + "=" + k.ln.Addr().String() }

// next waits for a fake, and returns what it is, its id, and a function that waits for its end.
func (k *ties) next() (who string, pid int, ended func()) {
	k.t.Helper()
	conn, err := k.ln.Accept()
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fscanf(conn, "%s %d\n", &who, &pid); err != nil {
		k.t.Fatal(err)
	}
	return who, pid, func() {
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "closed network") {
			k.t.Error("the fake said more, or the test ended")
		}
	}
}
