package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// scanned is what a test sees of one line.
type scanned struct {
	N, Offset int64
	Length    int
	ID, Input string
	Reason    string
}

func scanAll(t *testing.T, r io.Reader) []scanned {
	t.Helper()
	var all []scanned
	s := NewScanner(r)
	for s.Next() {
		l := s.Line()
		one := scanned{l.N, l.Offset, l.Length, string(l.ID), string(l.Input), ""}
		if p := s.Problem(); p != nil {
			one.Reason = p.Reason
			if p.Line != l.N {
				t.Errorf("problem of line %d while at line %d", p.Line, l.N)
			}
		}
		all = append(all, one)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryLineKeepsItsNumberAndPlaceHoweverItArrives(t *testing.T) {
	const file = "\ufeff{\"recordId\":\"a\",\"modelInput\":{}}\r\n\n  \t\r\n" +
		"{\"modelInput\":{\"x\":\"\u2028\u0085\"},\"other\":[1]}\n" + "oops\n" + `{"recordId":"\u00e9","modelInput":{"y":1}}`
	want := []scanned{
		{1, 3, 33, "a", "{}", ""},
		{4, 43, 40, "", "{\"x\":\"\u2028\u0085\"}", ""},
		{5, 84, 4, "", "", "the line is not JSON" + expected},
		{6, 89, 42, "é", `{"y":1}`, ""},
	}
	readers := map[string]io.Reader{
		"whole":              strings.NewReader(file),
		"byte by byte":       iotest.OneByteReader(strings.NewReader(file)),
		"end with last data": iotest.DataErrReader(strings.NewReader(file)),
		"halves":             iotest.HalfReader(strings.NewReader(file)),
	}
	for name, r := range readers {
		got := scanAll(t, r)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, l := range got {
			if line := file[l.Offset : l.Offset+int64(l.Length)]; l.Reason == "" && !strings.Contains(line, l.Input) {
				t.Errorf("%s: line %d lies elsewhere: %q", name, l.N, line)
			}
		}
	}
}

func TestBlankFilesHaveNoLines(t *testing.T) {
	for _, file := range []string{"", "\n", "\r\n\r\n", "\ufeff", "\ufeff\n \n", "   "} {
		if got := scanAll(t, strings.NewReader(file)); len(got) != 0 {
			t.Errorf("%q: %v", file, got)
		}
	}
}

func TestReasonsNameColumnAndCure(t *testing.T) {
	deep := `{"modelInput":{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}}`
	for _, c := range []struct{ line, want string }{
		{`[1]`, "the line is an array; expected is one object"},
		{`"x"`, "the line is a string"},
		{`{`, "the line ends at column 1 inside a value"},
		{`{"recordId":"a"}`, "modelInput is missing"},
		{`{}`, "modelInput is missing"},
		{`{"modelInput":"x"}`, "column 15: modelInput is a string; expected is an object"},
		{`{"modelInput":null}`, "column 15: modelInput is null"},
		{`{"recordId":7,"modelInput":{}}`, "column 13: recordId is a number; expected is a string"},
		{`{"modelInput":{},"modelInput":{}}`, "column 31: modelInput appears twice"},
		{`{"recordId":"a","recordId":"a","modelInput":{}}`, "column 28: recordId appears twice"},
		{`{"recordId":"\ud800","modelInput":{}}`, "column 13: recordId has half of a surrogate pair"},
		{`{"modelInput":{}} {}`, "column 19: a second object follows"},
		{`{"modelInput":{}}}`, "column 18"},
		{`{"modelInput":{"a":01}}`, "column 21: invalid character '1'"},
		{`{"modelInput":{"a":1,}}`, "column 22: a comma with nothing after it"},
		{`{'modelInput':{}}`, "column 2: a single quote"},
		{`{"modelInput":{"a":NaN}}`, "column 20: NaN and Infinity are not JSON numbers"},
		{"{\"modelInput\":{\"a\":\"x\ty\"}}", "column 22: a control character (0x09)"},
		{"{\"modelInput\":{\"a\":\"\xff\"}}", "column 21: the byte 0xFF is not UTF-8"},
		{"\xff\xfe{\x00", "the line is UTF-16"},
		{deep, "column 15: arrays and objects nest deeper than 512"},
	} {
		_, _, err := Parse([]byte(c.line))
		var p *Problem
		if !errors.As(err, &p) || !strings.HasPrefix(p.Reason, c.want) {
			t.Errorf("%.60s\n got %v\nwant %s", c.line, err, c.want)
		}
	}
}

func TestOverlongLinesArePassedOverInConstantMemory(t *testing.T) {
	good := `{"recordId":"a","modelInput":{}}`
	for _, length := range []int64{MaxLineBytes + 1, 100 << 20} {
		r := io.MultiReader(strings.NewReader(good+"\n"), io.LimitReader(letters{}, length), strings.NewReader("\n"+good))
		s := NewScanner(r)
		var got []string
		for s.Next() {
			if p := s.Problem(); p != nil {
				got = append(got, p.Error())
			} else {
				got = append(got, fmt.Sprint("line ", s.Line().N, " at ", s.Line().Offset))
			}
		}
		want := []string{"line 1 at 0",
			fmt.Sprintf("line 2: the line is %s bytes long; one modelInput may have 25,000,000", grouped(length)),
			fmt.Sprint("line 3 at ", int64(len(good))+1+length+1)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(s.buf) > MaxLineBytes+startBuffer {
			t.Errorf("a line of %d bytes took a buffer of %d", length, len(s.buf))
		}
	}
}

// letters reads as the letter x for ever.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestLongestInputIsTakenAndOneByteMoreIsNot(t *testing.T) {
	input := func(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
	for n, want := range map[int]string{
		batholith.MaxInputBytes:     "",
		batholith.MaxInputBytes + 1: "modelInput is 25,000,001 bytes long; one may have 25,000,000",
	} {
		got := scanAll(t, strings.NewReader(`{"modelInput":`+input(n)+"}\n"))
		if len(got) != 1 || got[0].Reason != want {
			t.Errorf("%d bytes: reason %q, want %q", n, got[0].Reason, want)
		}
	}
}

func TestReadErrorEndsTheScan(t *testing.T) {
	broken := errors.New("the line is down")
	s := NewScanner(io.MultiReader(strings.NewReader("{\"modelInput\":{}}\n{\"mod"), iotest.ErrReader(broken)))
	lines := 0
	for s.Next() {
		lines++
	}
	if !errors.Is(s.Err(), broken) || lines != 1 {
		t.Errorf("%d lines, error %v; a torn line must not count", lines, s.Err())
	}
}

func TestScanningAllocatesNothingPerLine(t *testing.T) {
	file := bytes.Repeat([]byte(`{"recordId":"a\n","modelInput":{"a":[1,2.5e3,{"b":null}]}}`+"\n"), 1000)
	perScan := testing.AllocsPerRun(5, func() {
		for s := NewScanner(bytes.NewReader(file)); s.Next(); {
			if s.Problem() != nil {
				t.Fatal(s.Problem())
			}
		}
	})
	if perScan > 10 {
		t.Errorf("%v allocations in 1000 lines", perScan)
	}
}
