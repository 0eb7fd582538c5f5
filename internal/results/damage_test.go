package results

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// framesOf returns where the frames of a journal file begin, the worker's first, and where the last one ends.
func framesOf(b []byte) (at []int) {
	for i := headBytes; i < len(b); i += frameBytes + int(binary.LittleEndian.Uint32(b[i:])) {
		at = append(at, i)
	}
	return append(at, len(b))
}

// A file is damaged at any place, in any way. The outcomes whose frames are whole are read, none is changed, and unless only the last one
// may never have been finished, the damage is reported with its size.
func TestDamageCostsOnlyTheFramesThatItTouches(t *testing.T) {
	want := some(20)
	path := filepath.Join(journalOf(t, want), "0000000000.log")
	whole, _ := os.ReadFile(path)
	at := framesOf(whole)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(whole)-1).Draw(t, "from")
		to := min(len(whole), from+rapid.SampledFrom([]int{1, 1, 1, 2, 4, 8, 100, 600}).Draw(t, "bytes"))
		b := bytes.Clone(whole)
		zero, flip := rapid.Bool().Draw(t, "zero"), rapid.ByteMin(1).Draw(t, "flip")
		for i := from; i < to; i++ {
			if b[i] ^= flip; zero {
				b[i] = 0
			}
		}
		os.WriteFile(path, b, 0o600)
		var got []batholith.Outcome
		err := replay(path, func(_ string, o batholith.Outcome) error { got = append(got, o); return nil })
		next := 0
		for i, o := range want {
			touched := from < at[i+2] && to > at[i+1]
			if next < len(got) && cmp.Equal(o, got[next]) {
				next++
			} else if !touched {
				t.Fatalf("bytes %d to %d of %d are damaged: outcome %d is not read, whose frame is whole (%v)", from, to, len(whole), i, err)
			}
		}
		if next < len(got) {
			t.Fatalf("bytes %d to %d are damaged: an outcome that was never written is read: %+v", from, to, got[next])
		}
		var hurt *damage
		switch tornEnd := from >= at[len(want)] || to == len(whole); {
		case bytes.Equal(b, whole): // zeros in place of zeros
		case err == nil && !tornEnd:
			t.Fatalf("bytes %d to %d are damaged: %d of %d outcomes, and no error", from, to, len(got), len(want))
		case err != nil && (!errors.As(err, &hurt) || hurt.bytes == 0 || hurt.bytes > int64(len(b))):
			t.Fatalf("damage is reported as %v", err)
		}
	})
}

func TestEveryKindOfDamageIsToldFromATornEnd(t *testing.T) {
	for name, keys := range map[string]Keys{"plain": nil, "encrypted": testKeys{}} {
		t.Run(name, func(t *testing.T) { everyKindOfDamage(t, keys) })
	}
}

func everyKindOfDamage(t *testing.T, keys Keys) {
	want := some(10)
	path := filepath.Join(sealedJournalOf(t, keys, want), "0000000000.log")
	whole, _ := os.ReadFile(path)
	at := framesOf(whole)
	if keys != nil {
		at = at[1:] // the first frame holds the key
	}
	const all, allButOne = 10, 9
	for _, c := range []struct {
		name   string
		harm   func(b []byte) []byte
		read   int
		torn   bool // it is no damage in the last file
		refuse bool // the file is of a newer version
	}{
		{name: "nothing", harm: func(b []byte) []byte { return b }, read: all, torn: true},
		{name: "a bit of a length, in the middle", harm: flipBit(at[3]+3, 0x40), read: all},
		{name: "a bit that makes a length shorter", harm: flipBit(at[3], 0x01), read: all},
		{name: "a length of 4 GiB", harm: put4(at[3], 0xffffffff), read: all},
		{name: "a length of 4 GiB, at the end", harm: put4(at[10], 0xffffffff), read: all},
		{name: "a length of 4 GiB, at the end and cut", harm: func(b []byte) []byte { return put4(at[10], 0xffffffff)(b)[:len(b)-2] }, read: allButOne},
		{name: "a length of 0", harm: put4(at[5], 0), read: all},
		{name: "a bit of a checksum", harm: flipBit(at[3]+5, 2), read: allButOne},
		{name: "a bit of a checksum, at the end", harm: flipBit(at[10]+5, 2), read: allButOne},
		{name: "a bit of a payload", harm: flipBit(at[3]+20, 2), read: allButOne},
		{name: "a bit of the last payload", harm: flipBit(at[10]+20, 2), read: allButOne},
		{name: "a bit of the worker's name", harm: flipBit(at[0]+frameBytes, 2), read: all},
		{name: "a bit of the length of the worker's name", harm: flipBit(at[0]+2, 2), read: all},
		{name: "the magic", harm: flipBit(1, 4), read: all},
		{name: "a bit of the version", harm: flipBit(4, 1), read: all},
		{name: "a bit that makes the version an old one", harm: flipBit(4, 3), read: all},
		{name: "a bit of the rest of the head", harm: flipBit(7, 1), read: all},
		{name: "zeros in the middle", harm: func(b []byte) []byte { clear(b[at[3]:at[5]]); return b }, read: 8},
		{name: "a tail of zeros", harm: func(b []byte) []byte { clear(b[at[9]+30:]); return b }, read: 8, torn: true},
		{name: "zeros behind the end", harm: func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, read: all, torn: true},
		{name: "only zeros", harm: func(b []byte) []byte { clear(b); return b }, read: 0, torn: true},
		{name: "cut in the last frame", harm: func(b []byte) []byte { return b[:at[10]+30] }, read: allButOne, torn: true},
		{name: "cut in a length", harm: func(b []byte) []byte { return b[:at[10]+3] }, read: allButOne, torn: true},
		{name: "cut in the head", harm: func(b []byte) []byte { return b[:3] }, read: 0, torn: true},
		{name: "empty", harm: func(b []byte) []byte { return nil }, read: 0, torn: true},
		{name: "bytes are missing", harm: func(b []byte) []byte { return slices.Delete(b, at[4]+9, at[4]+12) }, read: allButOne},
		{name: "other bytes are put in", harm: func(b []byte) []byte { return slices.Insert(b, at[4], []byte("hello, I am not a frame")...) }, read: all},
		{name: "a newer version with other frames", harm: func(b []byte) []byte { return append(b[:4], 9, 0, 0, 0, 'n', 'e', 'w') }, refuse: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			os.WriteFile(path, c.harm(bytes.Clone(whole)), 0o600)
			for _, last := range []bool{true, false} {
				read := 0
				_, err := replaySealed(path, last, keys, func(string, batholith.Outcome) error { read++; return nil })
				if c.refuse {
					if err == nil || errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "newer") {
						t.Errorf("error %v; want one that names the file and says that it is newer", err)
					}
					continue
				}
				info, _ := os.Stat(path)
				fine := c.torn && last || info.Size() == 0 || info.Size() == int64(len(whole)) && c.name == "nothing"
				if read != c.read || (err == nil) != fine || err != nil && !errors.Is(err, errDamaged) {
					t.Errorf("the last file: %v; %d outcomes, want %d; error %v", last, read, c.read, err)
				}
			}
		})
	}
}

func flipBit(at int, bits byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= bits; return b }
}

func put4(at int, n uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], n); return b }
}

// journals writes outcomes to so many files of a journal, as processes do that are killed then.
func journals(t *testing.T, files int, worker string, outcomes []batholith.Outcome) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for part := range slices.Chunk(outcomes, (len(outcomes)+files-1)/files) {
		j, err := openJournal(dir, worker, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for i := range part {
			j.append(&part[i])
		}
		j.write()
		for _, f := range j.files {
			f.file.Close()
			paths = append(paths, f.path)
		}
	}
	return dir, paths
}

// answered leases all chunks of a job and makes an outcome for each of their records.
func answered(w *world, job, worker string) (all []batholith.Outcome) {
	for _, c := range w.lease(job, worker) {
		for i := range c.Count {
			all = append(all, outcome(c, i, worker))
		}
	}
	return all
}

// Of three files the one in the middle is damaged: all other outcomes count, the file is kept under a name that no later file gets, and the
// log tells how much of it could not be read.
func TestADamagedJournalFileIsKeptAndEverythingElseCounts(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"a bit":     func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":       func(b []byte) []byte { return b[:len(b)-20] },
		"zero tail": func(b []byte) []byte { clear(b[len(b)-20:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := newWorld()
				world.plan("job", 10, 30)
				dir, paths := journals(t, 3, "a", answered(world, "job", "a"))
				b, _ := os.ReadFile(paths[1])
				harmed := harm(bytes.Clone(b))
				os.WriteFile(paths[1], harmed, 0o600)
				if seen, err := Inspect(dir); err != nil || len(seen) != 3 || seen[1].Unreadable == 0 || seen[0].Unreadable+seen[2].Unreadable > 0 {
					t.Errorf("before the start: %+v, %v", seen, err)
				}
				var log bytes.Buffer
				w, stop := start(t, newProcess(world, nil), dir, "a", func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
				stop()
				if n := world.jobs["job"].counts.Processed; n != 29 {
					t.Errorf("%d outcomes counted, want 29 of 30", n)
				}
				kept, err := os.ReadFile(paths[1] + damagedExt)
				if err != nil || !bytes.Equal(kept, harmed) {
					t.Errorf("the damaged file is not as it was: %v", err)
				}
				if !strings.Contains(log.String(), "unreadable_bytes=") || !strings.Contains(log.String(), paths[1]+damagedExt) {
					t.Errorf("the log says nothing of it:\n%s", log.String())
				}
				if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
					t.Errorf("the folder holds %v", files)
				}
				if w.journal.next <= 1 {
					t.Errorf("the next file gets the number %d, which is taken", w.journal.next)
				}
				again, err := openJournal(dir, "a", slog.New(slog.DiscardHandler))
				if err != nil || again.next <= 1 {
					t.Errorf("a later process begins with the number %d, which is taken (%v)", again.next, err)
				}
				if seen, err := Inspect(dir); err != nil || len(seen) != 1 || !seen[0].Damaged {
					t.Errorf("after the start: %+v, %v", seen, err)
				}
			})
		})
	}
}

// The torn end of a file that is kept is cut off, so that it is no damage when younger files stand behind it.
func TestATornEndIsNoDamageAtALaterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		all := answered(world, "job", "a")
		dir, paths := journals(t, 1, "a", all[:20])
		b, _ := os.ReadFile(paths[0])
		os.WriteFile(paths[0], b[:len(b)-5], 0o600)
		dead := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put"] })
		w, stop := start(t, dead, dir, "a", nil)
		if err := w.Add(t.Context(), all[25]); err != nil {
			t.Fatal(err)
		}
		dead.kill()
		stop()
		if files, _ := journalFiles(dir); len(files) != 2 {
			t.Fatalf("files %v, want the old one and a new one", files)
		}
		_, stop = start(t, newProcess(world, nil), dir, "a", nil)
		stop()
		if n := world.jobs["job"].counts.Processed; n != 20 {
			t.Errorf("%d outcomes counted, want 19 of the old file and 1 of the new one", n)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 0 {
			t.Errorf("left: %v", files)
		}
	})
}

// A data directory was copied, or its file with the worker's name deleted: what the journal holds was made by a worker of another name.
func TestOutcomesOfAnotherWorkersNameAreCommittedOrKept(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(w *world)
		bucket  bool // away at the first start
		counted int64
		left    string
	}{
		{"the chunks are still that worker's", func(*world) {}, false, 30, ""},
		{"and the bucket is away for longer than a start waits", func(*world) {}, true, 30, ""},
		{"another worker has claimed the chunks", func(w *world) { w.lease("job", "c") }, false, 0, foreignExt},
		{"another worker has answered the records", func(w *world) {
			for i := range w.jobs["job"].chunks {
				w.jobs["job"].chunks[i].State = batholith.ChunkDone
			}
		}, false, 0, ""},
		{"another worker answers the records, and has answered these", func(w *world) {
			w.lease("job", "c")
			for _, c := range w.jobs["job"].chunks {
				for i := range c.Count {
					c.Done.Set(i)
				}
			}
		}, false, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := newWorld()
				world.plan("job", 10, 30)
				dir, _ := journals(t, 2, "old", answered(world, "job", "old"))
				c.change(world)
				if c.bucket {
					dead := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put"] })
					_, stop := start(t, dead, dir, "new", nil)
					stop()
					if files, _ := journalFiles(dir); len(files) != 2 {
						t.Fatalf("after a start without the bucket the folder holds %v", files)
					}
				}
				_, stop := start(t, newProcess(world, nil), dir, "new", nil)
				stop()
				if n := world.jobs["job"].counts.Processed; n != c.counted {
					t.Errorf("%d outcomes counted, want %d", n, c.counted)
				}
				files, _ := filepath.Glob(filepath.Join(dir, "*"))
				if want := map[bool]int{true: 2}[c.left != ""]; len(files) != want {
					t.Errorf("left: %v, want %d files", files, want)
				}
				for _, f := range files {
					if !strings.HasSuffix(f, c.left) {
						t.Errorf("left: %s", f)
					}
				}
			})
		})
	}
}

// The queue commits what Recover left to it under the name of the worker that made it, beside this worker's own.
func TestAQueueCommitsOutcomesOfTwoWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		old := answered(world, "job", "old")
		dir, _ := journals(t, 1, "old", old[:20])
		away := true
		p := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put" && away] })
		w, stop := start(t, p, dir, "new", nil)
		world.mu.Lock()
		world.jobs["job"].chunks[2].Owner = "new" // it is claimed anew
		world.jobs["job"].chunks[2].Epoch++
		chunk := world.jobs["job"].chunks[2]
		world.mu.Unlock()
		for i := range 10 {
			if err := w.Add(t.Context(), outcome(chunk, i, "new")); err != nil {
				t.Fatal(err)
			}
		}
		away = false
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		if n := world.jobs["job"].counts.Processed; n != 30 {
			t.Errorf("%d outcomes counted, want 30", n)
		}
	})
}

// Outcomes of a job that the database does not know were made for another database. They are kept.
func TestOutcomesOfAnUnknownJobAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		dir, paths := journals(t, 1, "a", answered(world, "job", "a"))
		delete(world.jobs, "job")
		p := newProcess(world, nil)
		_, stop := start(t, p, dir, "a", func(o *Options) { o.Open = p.openKnown })
		stop()
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 || files[0] != paths[0]+foreignExt {
			t.Errorf("the folder holds %v", files)
		}
		if seen, err := Inspect(dir); err != nil || len(seen) != 1 || !seen[0].Foreign {
			t.Errorf("%+v, %v", seen, err)
		}
	})
}

// Whoever looks at the log finds out that a file which should have had outcomes has none, or has lost its end.
func TestALostEndOfTheJournalIsLogged(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-20] },
		"zeros":   func(b []byte) []byte { clear(b[len(b)-20:]); return b },
		"emptied": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := newWorld()
				world.plan("job", 10, 30)
				dir, paths := journals(t, 1, "a", answered(world, "job", "a"))
				recovered := func() string {
					var log bytes.Buffer
					_, stop := start(t, newProcess(world, nil), dir, "a", func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
					stop()
					return log.String()
				}
				b, _ := os.ReadFile(paths[0])
				os.WriteFile(paths[0], harm(b), 0o600)
				if said := recovered(); !strings.Contains(said, "the end of a journal file is missing") || !strings.Contains(said, paths[0]) {
					t.Errorf("the log says nothing of it:\n%s", said)
				}
				if said := recovered(); strings.Contains(said, "journal") {
					t.Errorf("nothing is left of it, but the log says:\n%s", said)
				}
			})
		})
	}
}

// A pipe in the journal folder, which would block a read, does not delay the start.
func TestPipesAndFoldersInTheJournalArePutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		dir, _ := journals(t, 1, "a", answered(world, "job", "a"))
		pipe, folder := filepath.Join(dir, "0000000007.log"), filepath.Join(dir, "0000000008.log")
		if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.MkdirAll(filepath.Join(folder, "sub"), 0o700)); err != nil {
			t.Fatal(err)
		}
		_, stop := start(t, newProcess(world, nil), dir, "a", nil)
		stop()
		if n := world.jobs["job"].counts.Processed; n != 30 {
			t.Errorf("%d outcomes counted, want 30", n)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); !slices.Equal(files, []string{pipe + damagedExt, folder + damagedExt}) {
			t.Errorf("the folder holds %v", files)
		}
	})
}

// A server is started while its bucket is out of reach, with finished outcomes of many jobs in the journal. It starts soon all the same, and
// every outcome counts when the bucket is back.
func TestManyJobsWithoutTheirBucketDoNotHoldUpTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		var all []batholith.Outcome
		const jobs = 100
		for n := range jobs {
			job := fmt.Sprintf("job%d", n)
			world.plan(job, 2, 2)
			all = append(all, answered(world, job, "a")...)
		}
		dir, _ := journals(t, 1, "a", all)
		var away atomic.Bool
		away.Store(true)
		began := time.Now()
		_, stop := start(t, newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put" && away.Load()] }), dir, "a", nil)
		if took := time.Since(began); took > recoverInAll+recoverTime+jobs*recoverLeast {
			t.Errorf("the start took %v", took)
		}
		away.Store(false)
		time.Sleep(time.Minute)
		stop()
		for n := range jobs {
			if got := world.jobs[fmt.Sprintf("job%d", n)].counts.Processed; got != 2 {
				t.Errorf("job %d: %d outcomes counted, want 2", n, got)
			}
		}
	})
}
