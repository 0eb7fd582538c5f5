package jsonl

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// benchFile is about 16 MB of lines of 900 bytes, as a chat client writes them.
func benchFile(prompt string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 16<<20; i++ {
		fmt.Fprintf(&b, `{"recordId":"rec_%07d","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":512,`+
			`"temperature":0.7,"messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}]}}`+"\n", i, prompt)
	}
	return b.Bytes()
}

var (
	plain   = strings.Repeat("The quick brown fox jumps over the lazy dog. ", 15)
	escaped = strings.Repeat(`He said: \"jump over the lazy dog\".\n`, 18)
	foreign = strings.Repeat("Schöne Grüße aus Öhringen, 日本語も少し。", 14)
)

// measure repeats scan and reports what it does in a second of processor time, which a busy machine changes little.
func measure(b *testing.B, file []byte, scan func()) {
	var before, after syscall.Rusage
	b.SetBytes(int64(len(file)))
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		scan()
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(len(file))*float64(b.N)*1e3/float64(used), "MB/cpu-s")
}

// BenchmarkScan's figures stand next to a floor (finding newlines), to jsontext doing the same work (examine), and to jsontext
// that only checks the grammar.
func BenchmarkScan(b *testing.B) {
	for name, prompt := range map[string]string{"plain": plain, "escaped": escaped, "foreign": foreign} {
		file := benchFile(prompt)
		b.Run(name+"/scanner", func(b *testing.B) {
			measure(b, file, func() {
				for s := NewScanner(bytes.NewReader(file)); s.Next(); {
					if s.Problem() != nil {
						b.Fatal(s.Problem())
					}
				}
			})
		})
		b.Run(name+"/scanner+entry", func(b *testing.B) {
			var sum uint64
			measure(b, file, func() {
				for s := NewScanner(bytes.NewReader(file)); s.Next(); {
					e := EntryOf(s.Line())
					sum += e.Fingerprint ^ e.IDHash
				}
			})
			if sum == 0 {
				b.Error("no entries")
			}
		})
		b.Run(name+"/newlines", func(b *testing.B) {
			n := 0
			measure(b, file, func() {
				for rest := file; len(rest) > 0; n++ {
					rest = rest[bytes.IndexByte(rest, '\n')+1:]
				}
			})
		})
		b.Run(name+"/examine", func(b *testing.B) {
			measure(b, file, func() {
				for rest := file; len(rest) > 0; {
					line, after, _ := bytes.Cut(rest, []byte{'\n'})
					if _, reason := examine(line, batholith.LinesBedrock); reason != "" {
						b.Fatal(reason)
					}
					rest = after
				}
			})
		})
		b.Run(name+"/jsontext", func(b *testing.B) {
			measure(b, file, func() {
				dec := jsontext.NewDecoder(bytes.NewBuffer(file), jsontext.AllowDuplicateNames(true))
				for {
					if _, err := dec.ReadValue(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkSurvey reads a file of 64 MB on all processors, beside one goroutine that reads it from front to back, and many small files.
func BenchmarkSurvey(b *testing.B) {
	piece := benchFile(plain)
	large := bytes.Repeat(piece, 4)
	survey := func(b *testing.B, p *Pool, file []byte) {
		_, err := p.Run(b.Context(), Survey{Bytes: int64(len(file)), Entries: func([]Entry) error { return nil },
			Open: func(_ context.Context, from int64) io.ReadCloser { return io.NopCloser(bytes.NewReader(file[from:])) }})
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("large/ranges", func(b *testing.B) {
		p := NewPool()
		measure(b, large, func() { survey(b, p, large) })
	})
	b.Run("large/front", func(b *testing.B) {
		measure(b, large, func() {
			sum := crc32.New(castagnoli)
			for s := NewScanner(io.TeeReader(bytes.NewReader(large), sum)); s.Next(); {
				EntryOf(s.Line())
			}
		})
	})
	small := piece[:bytes.IndexByte(piece[90_000:], '\n')+90_001]
	b.Run("small/ranges", func(b *testing.B) {
		p := NewPool()
		measure(b, small, func() { survey(b, p, small) })
	})
	b.Run("small/front", func(b *testing.B) {
		measure(b, small, func() {
			sum := crc32.New(castagnoli)
			for s := NewScanner(io.TeeReader(bytes.NewReader(small), sum)); s.Next(); {
				EntryOf(s.Line())
			}
		})
	})
}
