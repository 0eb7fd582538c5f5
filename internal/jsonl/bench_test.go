package jsonl

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
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

// BenchmarkScan's figures stand next to a floor (finding newlines) and to jsontext over the same bytes.
func BenchmarkScan(b *testing.B) {
	for name, prompt := range map[string]string{"plain": plain, "escaped": escaped, "foreign": foreign} {
		file := benchFile(prompt)
		b.Run(name+"/scanner", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				s := NewScanner(bytes.NewReader(file))
				for s.Next() {
					if s.Problem() != nil {
						b.Fatal(s.Problem())
					}
				}
			}
		})
		b.Run(name+"/scanner+entry", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			var sum uint64
			for b.Loop() {
				for s := NewScanner(bytes.NewReader(file)); s.Next(); {
					e := EntryOf(s.Line())
					sum += e.Fingerprint ^ e.IDHash
				}
			}
			_ = sum
		})
		b.Run(name+"/newlines", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			n := 0
			for b.Loop() {
				for rest := file; len(rest) > 0; n++ {
					rest = rest[bytes.IndexByte(rest, '\n')+1:]
				}
			}
		})
		b.Run(name+"/jsontext", func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				dec := jsontext.NewDecoder(bytes.NewBuffer(file), jsontext.AllowDuplicateNames(true))
				for {
					if _, err := dec.ReadValue(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
