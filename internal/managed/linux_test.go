package managed

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The kernel ends a server with the process that started it, however that ends.
func TestAKilledProcessLeavesNoServer(t *testing.T) {
	k := newTies(t)
	parent := exec.Command(os.Args[0], t.TempDir())
	parent.Env = append(os.Environ(), fakeMode+"=parent", k.env())
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	_, _, ended := k.next()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	ended()
}

// What a killed server has started is found by its session, although the server itself is gone.
func TestChildrenOfAKilledServerAreStopped(t *testing.T) {
	k, dir := newTies(t), t.TempDir()
	sp := spec(t, "parental", k.env())
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	args, env := sp.on(port)
	old := exec.Command(args[0], args[1:]...)
	old.Env, old.SysProcAttr = env, &syscall.SysProcAttr{Setsid: true}
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	ends := map[string]func(){}
	for range 2 {
		who, _, ended := k.next()
		ends[who] = ended
	}
	birth, _ := birthOf(old.Process.Pid)
	if err := (State{Name: nameOf(args[0]), PID: old.Process.Pid, Birth: birth}).save(dir); err != nil {
		t.Fatal(err)
	}
	_ = old.Process.Kill()
	_ = old.Wait()
	ends["server"]()
	r := start(t, quick(), spec(t, "serve"), dir)
	ends["child"]()
	r.untilReady()
}

// Another process may have got the id meanwhile: its start time is another.
func TestAStrangerWithTheSameIDIsLeftAlone(t *testing.T) {
	k, dir := newTies(t), t.TempDir()
	p, err := launch([]string{spec(t, "").Exec[0]}, append(os.Environ(), fakeMode+"=idle", k.env()), "", newOutput(filepath.Join(dir, "stranger.log")))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(time.Millisecond)
	k.next()
	birth, _ := birthOf(p.pid())
	birth.Ticks--
	if left := remains(State{PID: p.pid(), Birth: birth}); left != nil {
		t.Errorf("%v would be stopped", left)
	}
	if left := remains(State{PID: p.pid(), Birth: Birth{Boot: "another boot"}}); left != nil {
		t.Errorf("%v would be stopped after a reboot", left)
	}
}
