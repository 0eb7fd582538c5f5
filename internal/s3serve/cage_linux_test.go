package s3serve

import (
	"os"
	"strings"
	"sync"
	"testing"
)

func where(t *testing.T) string {
	t.Helper()
	dir, err := os.Readlink("/proc/thread-self/cwd")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCagedThreadsAreElsewhereAndNobodyElseIs(t *testing.T) {
	t.Chdir(t.TempDir()) // and back, should the cage have to move the process
	dir := t.TempDir()
	c, err := newCage(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			before := where(t)
			inside := ""
			if err := c.do(func() { inside = where(t) }); err != nil {
				t.Error(err)
			}
			after := where(t)
			if inside != dir || !c.shared && (before == dir || after == dir) {
				t.Errorf("before in %s, inside in %s, after in %s", before, inside, after)
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) > maxIdle {
		t.Errorf("%d threads are kept", len(c.idle))
	}
}

func TestSharedCageRefusesToWorkElsewhere(t *testing.T) {
	dir := t.TempDir()
	c := &cage{dir: dir, shared: true}
	defer c.close()
	t.Chdir(dir)
	if err := c.do(func() {}); err != nil {
		t.Error(err)
	}
	c.close() // so that the next call begins on a new thread
	t.Chdir(t.TempDir())
	if err := c.do(func() { t.Error("worked in another directory") }); err == nil {
		t.Error("and said nothing")
	}
}

func TestPanicInTheCageIsAnError(t *testing.T) {
	c, err := newCage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.do(func() { panic("oh") }); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("got %v", err)
	}
	if err := c.do(func() {}); err != nil {
		t.Errorf("after it: %v", err)
	}
}
