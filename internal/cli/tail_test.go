package cli

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// However the output of a job grows between two reads, and wherever a read breaks off, tail prints each of its lines once.
func TestTailPrintsEachLineOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.IntRange(0, 9), 0, 30).Draw(t, "lines") // some are alike
		there := make([]bool, len(lines))
		var f tailedFile
		var printed []string
		read := func(cut bool) {
			text := ""
			for i, n := range lines {
				if there[i] {
					text += fmt.Sprintf("line %d\n", n)
				}
			}
			r := bufio.NewReader(strings.NewReader(text))
			if cut {
				n := rapid.IntRange(0, len(text)).Draw(t, "cut at")
				r = bufio.NewReaderSize(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(text[:n]))), 16)
			}
			err := f.walk(r, func(line []byte) error {
				printed = append(printed, string(line))
				return nil
			})
			if err != nil && !errors.Is(err, iotest.ErrTimeout) {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 5).Draw(t, "reads") {
			for i := range there {
				there[i] = there[i] || rapid.Bool().Draw(t, "finished")
			}
			read(rapid.Bool().Draw(t, "breaks off"))
		}
		var want []string
		for i, n := range lines {
			there[i] = true
			want = append(want, fmt.Sprintf("line %d\n", n))
		}
		read(false)
		slices.Sort(printed)
		slices.Sort(want)
		if !slices.Equal(printed, want) {
			t.Errorf("printed %q of %q", printed, want)
		}
	})
}

func TestAnErrorLineIsTold(t *testing.T) {
	for line, want := range map[string]bool{
		`{"recordId":"1","modelInput":{"error":{}},"modelOutput":{"error":{}}}`:                  false,
		`{"recordId":"1","modelInput":{},"error":{"errorCode":400,"errorMessage":"bad"}}` + "\n": true,
		"no JSON": false,
	} {
		if got := isErrorLine([]byte(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}
