package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/doctor"
)

// readiness is told when a server says that it is ready.
type readiness struct{ ready chan struct{} }

func (r *readiness) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Batholith is ready")) {
		close(r.ready)
	}
	return len(p), nil
}

func TestDoctorAsksTheServerWhichJobsAreOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	input := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(input, []byte(`{"recordId":"1","modelInput":{"messages":[{"role":"user","content":"Hi"}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	said := &readiness{make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		a := &app{stdout: said, stderr: said}
		done <- a.execute(ctx, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--log-level", "error"})
	}()
	defer func() { stop(); <-done }()
	select {
	case <-said.ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	if err := a.execute(ctx, []string{"submit", input, "--data", dir, "--model", "batholith.simulated-v1", "--wait"}); err != nil {
		t.Fatal(err)
	}

	c, err := config.Load(config.Sources{Flags: map[string]string{"data": dir}})
	if err != nil {
		t.Fatal(err)
	}
	clients, err := (&app{}).connectServer(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var job jobFacts
	for j, err := range clients.list(ctx, &bedrock.ListModelInvocationJobsInput{}) {
		if err != nil {
			t.Fatal(err)
		}
		job = j
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(job.outputPrefix(), "s3://"), "/")
	if _, err := clients.objects.store.API().PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(prefix + ".batholith/left.seg"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	// look is what is said of jobs and objects by a doctor who looks so much later, one finding a line.
	look := func(fix bool, after time.Duration) string {
		o := a.doctorOptions(c, "")
		o.Fix, o.Now, o.S3 = fix, func() time.Time { return time.Now().Add(after) }, nil
		var said strings.Builder
		for _, f := range doctor.Examine(ctx, o) {
			if f.Check == "jobs" || f.Check == "objects" {
				fmt.Fprintf(&said, "%s: %s\n", f.Severity, f.What)
			}
		}
		return said.String()
	}
	if said := look(true, 0); said != "" {
		t.Errorf("a job that may still be clearing up: %s", said)
	}
	if said := look(false, time.Hour); !strings.Contains(said, "problem: job "+job.id()+" is over and left 1 object below s3://"+bucket+"/"+prefix) {
		t.Error(said)
	}
	if said := look(true, time.Hour); !strings.Contains(said, "mended: job "+job.id()) || strings.Contains(said, "problem") {
		t.Error(said)
	}
	if said := look(false, time.Hour); said != "ok: finished jobs have left no files behind\n" {
		t.Error(said)
	}
}
