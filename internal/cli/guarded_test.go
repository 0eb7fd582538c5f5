package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
)

// A server whose data directory goes ends by name, and leaves no empty one in its place.
func TestAServerEndsWithItsDataDirectory(t *testing.T) {
	for name, lost := range map[string]string{"the directory": "", "the database": databaseName, "the objects": objectsName} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d") // not parallel: a server takes the streams of the process
			said := &readiness{make(chan struct{})}
			done := make(chan error, 1)
			go func() {
				a := &app{stdout: said, stderr: said}
				done <- a.execute(t.Context(), []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--log-level", "error"})
			}()
			select {
			case <-said.ready:
			case err := <-done:
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
			err := <-done
			var loss *config.LostError
			if !errors.As(err, &loss) || loss.Name != lost || loss.Replaced || exitCode(err) != exitFailed || remedy(err) == "" {
				t.Errorf("%v, exit code %d, remedy %q", err, exitCode(err), remedy(err))
			}
			if _, err := os.Stat(filepath.Join(dir, lost)); !os.IsNotExist(err) {
				t.Errorf("it is there again: %v", err)
			}
		})
	}
}

// A run that would go on for hours ends within seconds of the loss, and not as a job that is over.
func TestARunEndsWithItsOutputFolder(t *testing.T) {
	line := `{"modelInput":{"messages":[{"role":"user","content":"Hi"}]}}` + "\n"
	dir := folder(t, map[string]string{"a.jsonl": strings.Repeat(line, 20_000)})
	out := filepath.Join(dir, "out")
	var b bytes.Buffer
	a := &app{stdout: &b, stderr: &b, env: []string{"BATHOLITH_SIMULATED_LATENCY=2s", "BATHOLITH_SIMULATED_SLOTS=4"}}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := config.Load(config.Sources{Env: a.env})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan struct{})
	o := localOptions{Config: c, Inputs: []string{filepath.Join(dir, "a.jsonl")}, Model: "batholith.simulated-v1", Type: "InvokeModel", Output: out, Log: a.runLogger(c, a.newProgress())}
	go func() {
		_, err := runLocal(ctx, o, onceInProgress(running))
		done <- err
	}()
	select {
	case <-running:
	case err := <-done:
		t.Fatal(err)
	}
	if err := os.Rename(out, out+".moved"); err != nil { // at once, while the run writes
		t.Fatal(err)
	}
	var loss *config.LostError
	if err := <-done; !errors.As(err, &loss) {
		t.Errorf("%v", err)
	}
}

// onceInProgress closes a channel when the job's records are being sent.
func onceInProgress(running chan struct{}) func(batholith.Job) {
	var once sync.Once
	return func(j batholith.Job) {
		if j.Status == batholith.StatusInProgress {
			once.Do(func() { close(running) })
		}
	}
}
