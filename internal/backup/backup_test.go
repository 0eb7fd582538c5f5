package backup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pkg/xattr"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/store"
)

// site is a data directory with a job whose segments are merged again and again.
type site struct {
	dir   string
	store *store.Store
	job   string
	keys  []string // of the segments that the database names
	n     int
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := &site{dir: dir, job: "aaaaaaaaaaaa"}
	for _, d := range []string{"journal", "kept", "s3/buckets/out"} {
		no(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	for name, text := range map[string]string{"credentials": "key: secret\n", "worker": "w-before\n", "lock": "1\n", "journal/0000000001.log": "a frame"} {
		no(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var err error
	s.store, err = store.Open(t.Context(), filepath.Join(dir, databaseName))
	no(t, err)
	t.Cleanup(func() { s.store.Close() })
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	job := batholith.Job{ID: s.job, Account: "123456789012", Region: "us-east-1", Owner: "arn:aws:iam::123456789012:user/ann", Model: "m",
		Request:   batholith.Request{Name: "n", ModelID: "m", RoleARN: "r", Input: batholith.Location{URI: "s3://in/"}, Output: batholith.Location{URI: "s3://out/"}},
		Submitted: now, Expires: now.Add(24 * time.Hour)}
	_, err = s.store.CreateJob(t.Context(), job, "hash", 0)
	no(t, err)
	no(t, s.store.Move(t.Context(), s.job, batholith.StatusSubmitted, batholith.StatusValidating, "", now))
	chunk := batholith.Chunk{Job: s.job, Count: 512, Bytes: 1, IndexBytes: 1, State: batholith.ChunkPending, Done: batholith.NewBits(512)}
	no(t, s.store.Plan(t.Context(), s.job, []batholith.File{{Key: "a", Records: 512, Output: "a.out", Index: s.key("index")}}, []batholith.Chunk{chunk}, 512))
	no(t, s.store.Move(t.Context(), s.job, batholith.StatusValidating, batholith.StatusScheduled, "", now))
	no(t, s.store.Move(t.Context(), s.job, batholith.StatusScheduled, batholith.StatusInProgress, "", now))
	s.put(t, s.key("index"))
	return s
}

func (s *site) key(name string) string { return s.job + "/.batholith/" + name }

func (s *site) path(key string) string { return filepath.Join(s.dir, "s3/buckets/out", key) }

// put writes an object as the embedded S3 does: under its name when it is whole.
func (s *site) put(t *testing.T, key string) {
	t.Helper()
	path := s.path(key)
	no(t, os.MkdirAll(filepath.Dir(path), 0o700))
	temp := filepath.Join(s.dir, "s3", "temp.new")
	no(t, os.WriteFile(temp, []byte(key), 0o600))
	no(t, xattr.Set(temp, "user.etag", []byte(key)))
	no(t, os.Rename(temp, path))
}

// work commits a segment, or merges all of them into a run and deletes their objects.
func (s *site) work(t *testing.T) {
	t.Helper()
	s.n++
	key := s.key(fmt.Sprintf("segments/%06d", s.n))
	s.put(t, key)
	if len(s.keys) > 3 {
		_, err := s.store.ReplaceSegments(t.Context(), s.job, s.keys, batholith.Segment{Job: s.job, Key: key, Level: 1})
		no(t, err)
		for _, k := range s.keys {
			no(t, os.Remove(s.path(k)))
		}
		s.keys = []string{key}
		return
	}
	c, err := s.store.Claim(context.WithoutCancel(t.Context()), "w-before", s.job, 1, time.Now())
	no(t, err)
	if len(c) > 0 {
		no(t, s.store.Release(t.Context(), "w-before", s.job))
	}
	// A segment without records counts nothing, and is named like any other.
	claimed, err := s.store.Claim(t.Context(), "w-before", s.job, 1, time.Now())
	no(t, err)
	_, err = s.store.Commit(t.Context(), batholith.Commit{Worker: "w-before", Segment: batholith.Segment{Job: s.job, Key: key},
		Parts: []batholith.CommitPart{{Epoch: claimed[0].Epoch, Done: batholith.NewBits(512)}}})
	no(t, err)
	no(t, s.store.Release(t.Context(), "w-before", s.job))
	s.keys = append(s.keys, key)
}

// A backup that is taken while segments are committed and merged names none that it lacks, and is restored to the byte.
func TestABackupOfAWorkingServerNamesNothingThatItLacks(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "backups")
	stop, stopped := make(chan struct{}), sync.WaitGroup{}
	stopped.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.work(t)
			}
		}
	})
	for range 5 {
		r, err := Make(t.Context(), dir, Options{Data: s.dir, Objects: ObjectsCopied})
		no(t, err)
		if len(r.Lost) > 0 {
			t.Errorf("the backup lacks %v", r.Lost[0].Key)
		}
	}
	close(stop)
	stopped.Wait()
	c, err := Check(t.Context(), dir)
	no(t, err)
	if len(c.Snapshots) != 5 || len(c.Faults) > 0 || len(c.Unknown) > 0 {
		t.Fatalf("%d backups, faults %v, unknown %v", len(c.Snapshots), c.Faults, c.Unknown)
	}

	to := filepath.Join(t.TempDir(), "new")
	r, err := Restore(t.Context(), dir, "", to)
	no(t, err)
	if r.Jobs.Jobs != 1 || r.Jobs.Unfinished != 1 {
		t.Errorf("restored %+v", r.Jobs)
	}
	if worker, err := os.ReadFile(filepath.Join(to, "worker")); err != nil || bytes.HasPrefix(worker, []byte("w-before")) {
		t.Errorf("the restored worker is %s, %v", worker, err)
	}
	for _, name := range []string{"lock", "s3/temp.new"} {
		if _, err := os.Stat(filepath.Join(to, name)); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
	index := filepath.Join(to, "s3/buckets/out", s.key("index"))
	if got, err := xattr.Get(index, "user.etag"); err != nil || string(got) != s.key("index") {
		t.Errorf("the attribute is %q, %v", got, err)
	}
	again, err := store.Open(t.Context(), filepath.Join(to, databaseName))
	no(t, err)
	defer again.Close()
	segs, err := again.Segments(t.Context(), s.job)
	no(t, err)
	for _, g := range segs {
		if got, err := os.ReadFile(filepath.Join(to, "s3/buckets/out", g.Key)); err != nil || string(got) != g.Key {
			t.Errorf("segment %s is %q, %v", g.Key, got, err)
		}
	}
}

// An object that the database names and that nobody has is told, and does not stop the backup of all else.
func TestALostSegmentIsToldAndStopsNoBackup(t *testing.T) {
	s := newSite(t)
	s.work(t)
	no(t, os.Remove(s.path(s.keys[0])))
	dir := filepath.Join(t.TempDir(), "backups")
	r, err := Make(t.Context(), dir, Options{Data: s.dir, Objects: ObjectsCopied})
	no(t, err)
	if len(r.Lost) != 1 || r.Lost[0].Key != s.keys[0] || r.Lost[0].Job.ID != s.job {
		t.Errorf("lost: %v", r.Lost)
	}
	if c, err := Check(t.Context(), dir); err != nil || len(c.Faults) != 1 {
		t.Errorf("the check finds %v, %v", c.Faults, err)
	}
}

// What no backup needs is deleted with the last one that does.
func TestPruningKeepsWhatTheOthersNeed(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "backups")
	for range 3 {
		s.work(t)
		_, err := Make(t.Context(), dir, Options{Data: s.dir, Objects: ObjectsCopied, Keep: 2})
		no(t, err)
	}
	c, err := Check(t.Context(), dir)
	no(t, err)
	if len(c.Snapshots) != 2 || len(c.Faults) > 0 {
		t.Errorf("%d backups, faults %v", len(c.Snapshots), c.Faults)
	}
	used, there := map[string]bool{}, 0
	for _, snapshot := range c.Snapshots {
		for _, e := range snapshot.Entries {
			if !e.Folder {
				used[e.Sum] = true
			}
		}
	}
	all, err := filepath.Glob(filepath.Join(dir, contentsName, "*", "*"))
	no(t, err)
	if there = len(all); there != len(used) {
		t.Errorf("%d contents for %d that are named", there, len(used))
	}
}

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
