package jsonl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/batholith/batholith"
)

// account is all that a survey tells of a file.
type account struct {
	Surveyed
	Entries           []Entry
	Problems, Remarks []Problem
}

// front reads a file from front to back, without any of the survey's machinery.
func front(file []byte, remark func(Line) string) (a account) {
	s := NewScanner(bytes.NewReader(file))
	for s.Next() {
		if p := s.Problem(); p != nil {
			a.Problems = append(a.Problems, *p)
			continue
		}
		a.Entries = append(a.Entries, EntryOf(s.Line()))
		if why := remark(s.Line()); why != "" {
			a.Remarks = append(a.Remarks, Problem{s.Line().N, s.Line().Offset, why})
		}
	}
	a.Surveyed = Surveyed{Lines: s.line.N, Problems: int64(len(a.Problems)), Remarks: int64(len(a.Remarks)), Sum: crc32.Checksum(file, castagnoli)}
	return a
}

// ranges reads it in ranges of size bytes.
func ranges(t interface{ Fatal(...any) }, p *Pool, file []byte, size int64, open func(io.Reader) io.Reader, remark func(Line) string) (a account) {
	got, err := p.Run(context.Background(), Survey{Bytes: int64(len(file)), Range: size, Keep: 1 << 20, Remark: remark,
		Open: func(_ context.Context, from int64) io.ReadCloser {
			return io.NopCloser(open(bytes.NewReader(file[from:])))
		},
		Entries: func(es []Entry) error { a.Entries = append(a.Entries, es...); return nil },
		Problems: func(ps, rs []Problem) {
			a.Problems, a.Remarks = append(a.Problems, ps...), append(a.Remarks, rs...)
		}})
	if err != nil {
		t.Fatal(err)
	}
	a.Surveyed = got
	return a
}

// odd remarks on every third record, by what is in it and not by where it is found.
func odd(l Line) string {
	if len(l.Input)%3 == 0 {
		return fmt.Sprintf("%d bytes", len(l.Input))
	}
	return ""
}

func plainly(r io.Reader) io.Reader { return r }

// small is a pool whose pages run out at once.
func small(pages int) *Pool {
	p := NewPool()
	for len(p.fresh) > pages {
		<-p.fresh
	}
	return p
}

// idle fails the test when something of the pool was not given back.
func idle(t interface{ Errorf(string, ...any) }, p *Pool, pages int) {
	if free := len(p.used) + len(p.fresh); free != pages || len(p.scanners) != cap(p.scanners) {
		t.Errorf("%d of %d pages and %d of %d scanners came back", free, pages, len(p.scanners), cap(p.scanners))
	}
}

const record = `{"recordId":"r","modelInput":{"a":"bc"}}`

// The edges that a range can end at: inside of a line, at its newline, behind it, in white space, in a file without a last newline.
func TestAFileInRangesIsTheFileInOne(t *testing.T) {
	long := `{"modelInput":{"a":"` + strings.Repeat("x", 300) + `"}}`
	for _, file := range []string{
		"", "\n", "\n\n\n", "x", record, record + "\n", record + "\n" + record, record + "\r\n" + record + "\r\n",
		"\ufeff" + record + "\n\ufeff" + record + "\n", "\ufeff", "\n\n" + record + "\n \t\r\n\n" + record,
		long + "\n" + record + "\n" + long, record + "\nbad\n\n" + record + "\n{\n" + long + "\nbad", "\nbad", "   \n   ", long + "\n\n\n\n\n\n",
	} {
		want := front([]byte(file), odd)
		p := small(1)
		for size := int64(1); size <= int64(len(file))+1; size++ {
			got := ranges(t, p, []byte(file), size, plainly, odd)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q in ranges of %d (-front +ranges):\n%s", file, size, diff)
			}
			idle(t, p, 1)
		}
	}
}

func TestAnyFileInAnyRangesIsTheFileInOne(t *testing.T) {
	readers := []func(io.Reader) io.Reader{plainly, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader}
	line := rapid.OneOf(rapid.SampledFrom([]string{record, "", "\r", "bad", `{"modelInput":{}}`, "\xff", `{"modelInput":{"é":"\u00e9"}}`, "  " + record + "\r"}),
		rapid.StringN(0, 40, 200))
	pools := []*Pool{small(0), small(1), small(2), small(3)}
	rapid.Check(t, func(t *rapid.T) {
		file := []byte(strings.Join(rapid.SliceOfN(line, 0, 60).Draw(t, "lines"), "\n"))
		pages := rapid.IntRange(0, 3).Draw(t, "pages")
		p := pools[pages]
		got := ranges(t, p, file, rapid.Int64Range(1, int64(len(file))+1).Draw(t, "range"), rapid.SampledFrom(readers).Draw(t, "reader"), odd)
		if diff := cmp.Diff(front(file, odd), got); diff != "" {
			t.Fatalf("(-front +ranges):\n%s", diff)
		}
		idle(t, p, pages)
	})
}

// Many pages a range, fewer in the pool: the ranges ahead wait, and nothing is lost or turned round.
func TestRangesAheadWaitForRoom(t *testing.T) {
	var b bytes.Buffer
	for i := range 20 * pageEntries {
		fmt.Fprintf(&b, `{"recordId":"%d","modelInput":{}}`+"\n", i)
	}
	p := small(2)
	got := ranges(t, p, b.Bytes(), int64(b.Len()/7), plainly, odd)
	if diff := cmp.Diff(front(b.Bytes(), odd), got); diff != "" {
		t.Errorf("(-front +ranges):\n%s", diff)
	}
	idle(t, p, 2)
}

func TestALineThatIsTooLongIsOneProblemHoweverManyRangesItHas(t *testing.T) {
	file := []byte(record + "\n" + strings.Repeat("x", MaxLineBytes+1) + "\n" + record)
	got := ranges(t, NewPool(), file, 3<<20, plainly, odd)
	if diff := cmp.Diff(front(file, odd), got); diff != "" {
		t.Errorf("(-front +ranges):\n%s", diff)
	}
}

func TestSurveysOfManyFilesShareAPool(t *testing.T) {
	p := small(3)
	var files [][]byte
	for range 24 {
		files = append(files, []byte(strings.Repeat(record+"\nbad\n", 1+rand.IntN(1000))))
	}
	failed := make(chan string, len(files))
	for _, file := range files {
		go func() {
			got := ranges(t, p, file, 10_000, plainly, odd)
			failed <- cmp.Diff(front(file, odd), got)
		}()
	}
	for range files {
		if diff := <-failed; diff != "" {
			t.Errorf("(-front +ranges):\n%s", diff)
		}
	}
	idle(t, p, 3)
}

func TestAPoolThatRestsHoldsLittleAndCanDoAllTheSame(t *testing.T) {
	p := NewPool()
	plain := func(r io.Reader) io.Reader { return r }
	silent := func(Line) string { return "" }
	file := []byte(strings.Repeat(`{"modelInput":{}}`+"\n", 40*pageEntries))
	want := front(file, silent)
	for range 2 {
		if diff := cmp.Diff(want, ranges(t, p, file, int64(len(file)/4), plain, silent)); diff != "" {
			t.Fatal(diff)
		}
		p.Rest()
		if used, free := len(p.used), len(p.used)+len(p.fresh); used > keptPages || free != poolPages {
			t.Errorf("%d pages are kept of %d", used, free)
		}
		p.Rest()
	}
}

func TestASurveyThatFailsGivesEverythingBack(t *testing.T) {
	file := []byte(strings.Repeat(record+"\n", 30*pageEntries))
	broken := errors.New("the disk is gone")
	full := errors.New("the index cannot be written")
	ended := errors.New("the job was stopped")
	for _, c := range []struct {
		name string
		want error
		set  func(s *Survey, end context.CancelCauseFunc)
	}{
		{"reader", broken, func(s *Survey, _ context.CancelCauseFunc) {
			whole := s.Open
			s.Open = func(ctx context.Context, from int64) io.ReadCloser {
				if from < 600_000 {
					return whole(ctx, from)
				}
				return io.NopCloser(io.MultiReader(io.LimitReader(whole(ctx, from), 30_000), iotest.ErrReader(broken)))
			}
		}},
		{"entries", full, func(s *Survey, _ context.CancelCauseFunc) {
			n := 0
			s.Entries = func([]Entry) error {
				if n++; n > 9 {
					return full
				}
				return nil
			}
		}},
		{"context", ended, func(s *Survey, end context.CancelCauseFunc) {
			s.Entries = func([]Entry) error { end(ended); return nil }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := small(2)
			ctx, end := context.WithCancelCause(t.Context())
			defer end(nil)
			s := Survey{Bytes: int64(len(file)), Range: 100_000, Open: func(ctx context.Context, from int64) io.ReadCloser {
				return &watched{bytes.NewReader(file[from:]), ctx}
			}}
			c.set(&s, end)
			if _, err := p.Run(ctx, s); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			idle(t, p, 2)
		})
	}
}

// watched is a reader that ends with its context, as those of buckets do.
type watched struct {
	io.Reader
	ctx context.Context
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Reader.Read(p)
}

func (w *watched) Close() error { return nil }

func TestEveryRecordIsLookedAtOnce(t *testing.T) {
	file := []byte(strings.Repeat(record+"\n\nbad\n", 5000))
	var looked atomic.Int64
	ranges(t, NewPool(), file, 1000, plainly, func(Line) string { looked.Add(1); return "" })
	if looked.Load() != 5000 {
		t.Errorf("5000 records were looked at %d times", looked.Load())
	}
}

// The first problems of a file are those that are kept, in order, wherever the ranges end; all are counted.
func TestTheFirstProblemsAreKept(t *testing.T) {
	file := []byte(strings.Repeat("bad\n"+record+"\n", 3000))
	var kept []Problem
	got, err := NewPool().Run(t.Context(), Survey{Bytes: int64(len(file)), Range: 5000, Keep: 10,
		Open:     func(_ context.Context, from int64) io.ReadCloser { return io.NopCloser(bytes.NewReader(file[from:])) },
		Problems: func(ps, _ []Problem) { kept = append(kept, ps...) }})
	if err != nil || got.Problems != 3000 || len(kept) < 10 {
		t.Fatalf("%d problems, %d kept, %v", got.Problems, len(kept), err)
	}
	for i, p := range kept[:10] {
		if p.Line != int64(2*i+1) || p.Offset != int64(i*(len(record)+5)) {
			t.Errorf("problem %d is of line %d at byte %d", i, p.Line, p.Offset)
		}
	}
}

func TestSumsOfPartsMakeTheSumOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "bytes")
		cut := rapid.IntRange(0, len(whole)).Draw(t, "cut")
		a, b := crc32.Checksum(whole[:cut], castagnoli), crc32.Checksum(whole[cut:], castagnoli)
		if got, want := joinSums(a, b, int64(len(whole)-cut)), crc32.Checksum(whole, castagnoli); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
}

func TestTheColumnIsThatOfTheReason(t *testing.T) {
	for line, want := range map[string]int{`{"modelInput":"x"}`: 15, `{"recordId":7,"modelInput":{}}`: 13, `{}`: 0, `column 7`: 0, "{\"modelInput\":{\"a\":\"\xff\"}}": 21} {
		_, _, err := Parse([]byte(line))
		var p *Problem
		if !errors.As(err, &p) || p.Column() != want {
			t.Errorf("%s: %v, column %d, want %d", line, err, p.Column(), want)
		}
	}
}

// TestAPanicOverALineEndsTheSurveyAndNotTheProcess: the pool serves other surveys as before.
func TestAPanicOverALineEndsTheSurveyAndNotTheProcess(t *testing.T) {
	p := NewPool()
	file := strings.Repeat(`{"modelInput":{"a":"b"}}`+"\n", 5000)
	open := func(_ context.Context, from int64) io.ReadCloser { return io.NopCloser(strings.NewReader(file[from:])) }
	for range 3 * cap(p.scanners) {
		_, err := p.Run(t.Context(), Survey{Bytes: int64(len(file)), Range: 10_000, Open: open, Remark: func(l Line) string {
			if l.Offset > 30_000 {
				panic("the line is " + string(l.Input))
			}
			return ""
		}})
		broken, ok := errors.AsType[*batholith.Broken](err)
		if !ok || strings.Contains(err.Error()+broken.Stack, `"b"`) || !strings.Contains(broken.Stack, "survey_test.go") {
			t.Fatalf("got %v with the stack\n%s", err, broken.Stack)
		}
	}
	got, err := p.Run(t.Context(), Survey{Bytes: int64(len(file)), Range: 10_000, Open: open})
	if err != nil || got.Lines != 5000 || len(p.used)+len(p.fresh) != poolPages {
		t.Errorf("after that: %+v, %v, %d pages", got, err, len(p.used)+len(p.fresh))
	}
}
