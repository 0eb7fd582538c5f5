package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	_ "github.com/batholith/batholith/internal/raced"
)

// lost stands for a read that fails.
const lost = "(lost)"

func TestAChangeCountsOnceAndWhenTwoReadsFoundIt(t *testing.T) {
	for name, reads := range map[string][]struct {
		found   string
		changed bool
	}{
		"the same":            {{"a", false}, {"a", false}},
		"a change":            {{"b", false}, {"b", true}, {"b", false}},
		"half of it":          {{"b", false}, {"bc", false}, {"bc", true}},
		"back before it held": {{"b", false}, {"a", false}, {"a", false}},
		"there and back":      {{"b", false}, {"b", true}, {"a", false}, {"a", true}},
		"gone and back":       {{lost, false}, {"a", false}, {"a", true}},
		"gone, and empty":     {{lost, false}, {lost, false}, {"", false}, {"", true}, {"", false}},
		"gone half-way":       {{"b", false}, {lost, false}, {"b", false}, {"b", true}},
	} {
		c := Since("a")
		for i, r := range reads {
			if r.found == lost {
				c.Lost()
			} else if got := c.Changed(r.found); got != r.changed {
				t.Errorf("%s: read %d, %q: changed %t", name, i, r.found, got)
			}
		}
	}
}

func TestFilesAreReadOnceASecondUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		looks := 0
		if err := Run(ctx, func() { looks++ }); !errors.Is(err, context.DeadlineExceeded) || looks != 3 {
			t.Errorf("%d looks in 3.5 s, %v", looks, err)
		}
	})
}

func TestOnlyRegularFilesAreReadAndNoMoreThanAsked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{3: "123", 5: "12345", 9: "12345"} {
		if got, err := Read(file, most); got != want || err != nil {
			t.Errorf("at most %d: %q %v", most, got, err)
		}
	}
	if _, err := Read(dir, 1); !errors.Is(err, ErrNotRegular) {
		t.Error(err)
	}
	if _, err := Read(file+".none", 1); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
