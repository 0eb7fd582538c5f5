package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestAFullDiskIsToldOnceWithItsRemedy lets every part of a process fail by the same full disk, again and again.
func TestAFullDiskIsToldOnceWithItsRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		disk := newFullDisk("/data", slog.New(slog.NewTextHandler(&out, nil)))
		var full atomic.Pointer[error] // what a write to the disk returns; nil: it has room
		disk.probe = func() error {
			if err := full.Load(); err != nil {
				return *err
			}
			return nil
		}
		defer disk.watch(t.Context())()
		log := disk.handle().With("part", "any")
		fail := func() {
			log.Warn("journal", "err", fmt.Errorf("write: %w", syscall.ENOSPC))
			log.Error("lease", "err", errors.New("renew: database or disk is full (13)"))
			log.Warn("commit", "err", "the S3 server has no room (InsufficientStorage: request 1)")
		}

		fail()
		if n := strings.Count(out.String(), "\n"); n != 3 || disk.Notice() != "" { // another disk is full, such as that of an external S3
			t.Fatalf("%d lines while the disk has room, notice %q:\n%s", n, disk.Notice(), out.String())
		}
		for round := range 2 {
			before := len(out.String())
			err := fmt.Errorf("write: %w", []error{syscall.ENOSPC, syscall.EDQUOT}[round])
			full.Store(&err)
			for range 20 {
				fail()
				time.Sleep(time.Second) // of the bubble
				synctest.Wait()
			}
			if said := out.String()[before:]; strings.Count(said, "\n") != 1 || !strings.Contains(said, "make room on the disk of /data") {
				t.Fatalf("a full disk is told as:\n%s", said)
			}
			if disk.Notice() != diskIsFull {
				t.Errorf("notice %q", disk.Notice())
			}
			log.Warn("something else", "err", "timeout")
			synctest.Wait()
			full.Store(nil)
			time.Sleep(2 * probeEvery)
			synctest.Wait()
			if said := out.String()[before:]; disk.Notice() != "" || !strings.Contains(said, "has room again") || !strings.Contains(said, "something else") {
				t.Errorf("with room again, notice %q:\n%s", disk.Notice(), said)
			}
		}
	})
}

// TestTheTestOfADiskLeavesNothingBehind also holds for a disk that refuses the file.
func TestTheTestOfADiskLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if d := newFullDisk(dir, slog.New(slog.DiscardHandler)); d.test() || d.Notice() != "" {
		t.Error("a disk with room is full")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if d := newFullDisk(dir+"/missing", slog.New(slog.DiscardHandler)); d.test() {
		t.Error("a missing directory is taken for a full disk")
	}
}

// A write to a failing disk may take minutes. Get, List and /readyz ask meanwhile.
func TestNobodyWaitsForTheTestOfADisk(t *testing.T) {
	d := newFullDisk(t.TempDir(), slog.New(slog.DiscardHandler))
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan bool)
	d.probe = func() error {
		close(begun)
		<-end
		return syscall.ENOSPC
	}
	go func() { ended <- d.test() }()
	<-begun
	if said := d.Notice(); said != "" { // it would wait here for ever
		t.Errorf("before the first test ends: %q", said)
	}
	close(end)
	if !<-ended || d.Notice() != diskIsFull {
		t.Errorf("after it: %q", d.Notice())
	}
}
