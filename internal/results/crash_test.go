package results

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// TestEveryRecordCountsExactlyOnceThroughAnyCrash plays random histories: processes that are killed before or after any call to
// the database or the bucket, or at any time; calls that fail before or after they took effect; journals with torn ends;
// chunks that are taken away from a process that goes on. Whatever happens, the job can be finished, every record has one
// line, that of the commit that counted it, and nothing else is left.
func TestEveryRecordCountsExactlyOnceThroughAnyCrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		complaint := ""
		synctest.Test(t, func(t *testing.T) {
			h := &history{t: t, random: rand.New(rand.NewPCG(seed, 0)), world: newWorld(), dirs: map[string]string{}}
			complaint = h.play()
		})
		if complaint != "" {
			rt.Fatal(complaint)
		}
	})
}

// history is a random sequence of lives of the workers a and b.
type history struct {
	t      *testing.T
	random *rand.Rand
	world  *world
	dirs   map[string]string // journal of each worker

	mu     sync.Mutex
	events []string
}

func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
}

func (h *history) play() string {
	h.world.width = 3
	h.world.plan("job", 1+h.random.IntN(12), h.random.IntN(60), h.random.IntN(3), h.random.IntN(60))
	for range 1 + h.random.IntN(6) {
		h.live([]string{"a", "b"}[h.random.IntN(2)])
	}
	return h.finish()
}

// live is one life of a worker: recover, lease, answer some records, then be killed, stopped or robbed.
func (h *history) live(worker string) {
	dir, ok := h.dirs[worker]
	if !ok {
		dir = h.t.TempDir()
	}
	p := newProcess(h.world, h.verdicts())
	h.note("%s starts", worker)
	w, stop := start(h.t, p, dir, worker, nil)
	var todo []batholith.Outcome
	for _, c := range h.world.lease("job", worker) {
		for i := range c.Count {
			if !c.Done.Has(i) {
				todo = append(todo, outcome(c, i, worker))
			}
		}
	}
	h.random.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, o := range todo[:h.random.IntN(len(todo)+1)] {
		if p.dead.Load() || w.Add(h.t.Context(), o) != nil {
			break
		}
		if h.random.IntN(4) == 0 {
			time.Sleep(time.Duration(h.random.IntN(300)) * time.Millisecond)
		}
		if h.random.IntN(40) == 0 { // another worker takes over, and this one does not know
			h.note("%s is robbed", worker)
			h.world.lease("job", "thief")
		}
	}
	switch h.random.IntN(3) {
	case 0:
		h.note("%s stops", worker)
		stop()
	case 1:
		time.Sleep(time.Duration(h.random.IntN(3000)) * time.Millisecond)
		fallthrough
	default:
		h.note("%s is killed", worker)
		p.kill()
		dir = h.wreck(dir)
		stop()
	}
	h.dirs[worker] = dir
}

// verdicts are what becomes of the calls of one process: few of them fail, and at most one is fatal.
func (h *history) verdicts() func(string) verdict {
	fatal, faulty := h.random.IntN(30), h.random.IntN(2) == 0
	random := rand.New(rand.NewPCG(h.random.Uint64(), 1)) // calls come from several goroutines
	var mu sync.Mutex
	calls := 0
	return func(op string) verdict {
		mu.Lock()
		defer mu.Unlock()
		calls++
		switch {
		case calls == fatal:
			v := killBefore + verdict(random.IntN(2))
			h.note("killed in %s (%d)", op, v)
			return v
		case faulty && random.IntN(10) == 0 && (op == "Commit" || op == "ReplaceSegments"):
			return failLate
		case faulty && random.IntN(5) == 0:
			return failBefore + verdict(random.IntN(2))
		}
		return pass
	}
}

// wreck copies a journal folder as a killed process leaves it: perhaps the end of the last file did not reach the disk.
func (h *history) wreck(dir string) string {
	next := h.t.TempDir()
	paths, _ := journalFiles(dir)
	for i, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // deleted meanwhile
		}
		if i == len(paths)-1 && h.random.IntN(3) == 0 {
			b = b[:h.random.IntN(len(b)+1)]
		}
		if i == len(paths)-1 && h.random.IntN(6) == 0 {
			b = append(b, make([]byte, h.random.IntN(100))...)
		}
		if err := os.WriteFile(filepath.Join(next, filepath.Base(path)), b, 0o600); err != nil {
			h.t.Error(err)
		}
	}
	return next
}

// finish answers what is left without any fault and compares the output with what was accepted.
func (h *history) finish() string {
	for _, worker := range []string{"a", "b"} {
		dir, ok := h.dirs[worker]
		if !ok {
			dir = h.t.TempDir()
		}
		w, stop := start(h.t, newProcess(h.world, nil), dir, worker, nil)
		ask(h.t, w, h.world.lease("job", worker), worker, h.random)
		stop()
	}
	publisher := NewPublisher(PublisherOptions{SmallManifest: -1, Store: h.world, Open: h.world.open})
	job := h.world.job("job", batholith.StatusCompleted)
	defer time.Sleep(time.Minute) // until the latest transaction is over
	if _, err := publisher.Publish(h.t.Context(), job, 1, true); err != nil {
		return h.story(err.Error())
	}
	if diff := cmp.Diff(h.world.expected("job"), h.world.output("job")); diff != "" {
		return h.story("output (-want +got):\n" + diff)
	}
	if job.Counts.Processed != job.Counts.Total {
		return h.story(fmt.Sprintf("counts %+v", job.Counts))
	}
	if err := publisher.Clean(h.t.Context(), job); err != nil {
		return h.story(err.Error())
	}
	if keys := h.world.bucket.Keys(); len(keys) != 4 || len(h.world.bucket.OpenUploads()) > 0 || len(h.world.uploads) > 0 {
		return h.story(fmt.Sprintf("left: %v %v %v", keys, h.world.bucket.OpenUploads(), h.world.uploads))
	}
	return ""
}

func (h *history) story(complaint string) string {
	return complaint + "\n" + strings.Join(h.events, "\n")
}

// TestJournalledOutcomesAreNotAskedAgainAfterKill kills a process at every moment of its first seconds, by tenths, and lets the
// next one with the same disk finish: it asks only what was not added before.
func TestJournalledOutcomesAreNotAskedAgainAfterKill(t *testing.T) {
	for tenth := range 30 {
		synctest.Test(t, func(t *testing.T) {
			h := &history{t: t, random: rand.New(rand.NewPCG(1, 2)), world: newWorld()}
			h.world.plan("job", 10, 60)
			p, dir := newProcess(h.world, nil), t.TempDir()
			w, stop := start(t, p, dir, "a", nil)
			chunks := h.world.lease("job", "a")
			added := 0
			for until := time.Now().Add(time.Duration(tenth) * 100 * time.Millisecond); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
				if err := w.Add(t.Context(), outcome(chunks[added/10], added%10, "a")); err != nil {
					t.Fatal(err)
				}
				added++
			}
			synctest.Wait() // what was added is written
			p.kill()
			left := t.TempDir()
			err := os.CopyFS(left, os.DirFS(dir))
			for errors.Is(err, fs.ErrNotExist) { // a file whose outcomes are all committed went while it was copied
				left = t.TempDir()
				err = os.CopyFS(left, os.DirFS(dir))
			}
			if err != nil {
				t.Fatal(err)
			}
			stop()

			_, stop = start(t, newProcess(h.world, nil), left, "a", nil)
			defer stop()
			if n := h.world.jobs["job"].counts.Processed; n != int64(added) {
				t.Errorf("killed after %d outcomes; %d are known to the next process", added, n)
			}
			if files, _ := filepath.Glob(filepath.Join(left, "*")); len(files) > 0 {
				t.Errorf("the old journal is still there: %v", files)
			}
		})
	}
}
