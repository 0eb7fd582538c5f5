package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// validation compares the scanner with a search for line ends, and then whole processes with a copy of the same bytes to nowhere: the
// command validate, with the bodies left alone and with a request made of each, and run over an input whose last line is bad, so that the
// job is validated, indexed and no more.
func (s *setup) validation() error {
	file := s.path("anthropic.jsonl")
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	repeat := max(1, int(400<<20/info.Size()))
	lines, err := s.run(s.role("newlines", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	checked, err := s.run(s.role("scan", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	gb := float64(info.Size()) * float64(repeat) / 1e9
	row("validation, GB per CPU-second (floor: line ends)", gb/lines.cpu.Seconds(), gb/checked.cpu.Seconds(), "%.2f", "≥ 0.40")
	if err := s.validated("one file", s.path("large.jsonl"), s.writeLarge); err != nil {
		return err
	}
	return s.validated("files of 100 records", s.path("many"), s.writeMany)
}

// validated measures an input that write makes, and removes it.
func (s *setup) validated(what, input string, write func(string) (int64, error)) error {
	size, err := write(input)
	if err != nil {
		return err
	}
	defer os.RemoveAll(input)
	gb := float64(size) / 1e9
	copied, err := s.run(s.role("copy", input))
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		code int
		args []string
	}{
		{"validate", 1, []string{"validate", input}},
		{"validate --model", 1, []string{"validate", input, "--model", "bench-anthropic"}},
		{"run", 3, []string{"run", input, "--model", "bench-anthropic", "--output", s.path("out-validate")}},
	} {
		cmd := exec.Command(s.binary, append(m.args, "--config", s.path("config.yaml"))...)
		cmd.Dir = s.dir
		u, err := s.exits(m.code, cmd)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s, %s of %.1f GB: ", m.name, what, gb)
		row(name+"GB/s", gb/copied.wall.Seconds(), gb/u.wall.Seconds(), "%.2f", "")
		row(name+"GB/CPU-s", gb/copied.cpu.Seconds(), gb/u.cpu.Seconds(), "%.2f", "≥ 0.40")
		row(name+"MB", copied.memory, u.memory, "%.0f", "≤ 100")
		if err := os.RemoveAll(s.path("out-validate")); err != nil {
			return err
		}
	}
	return nil
}

// badLine makes a job fail in the end of its validation.
const badLine = "this is no record\n"

// renumber gives the records of the job other ids, from n on; they are as long as those that they had.
func renumber(records []byte, n int) int {
	const before = `{"recordId":"r`
	for rest := records; len(rest) > len(before)+7; n++ {
		copy(rest[len(before):], fmt.Sprintf("%07d", n))
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
	return n
}

// writeLarge makes one file of the job's records, over and over, each with an id of its own.
func (s *setup) writeLarge(path string) (int64, error) {
	records, err := os.ReadFile(s.path("anthropic.jsonl"))
	if err != nil {
		return 0, err
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size := int64(0)
	for n := 0; size < s.validate && err == nil; {
		n = renumber(records, n)
		_, err = f.Write(records)
		size += int64(len(records))
	}
	if err == nil {
		_, err = f.WriteString(badLine)
	}
	return size, err
}

// writeMany makes files of a hundred records each.
func (s *setup) writeMany(dir string) (int64, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	f, err := os.Open(s.path("anthropic.jsonl"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	size := int64(0)
	for n := 0; size < s.validate; n++ {
		var file []byte
		for range 100 {
			line, err := in.ReadSlice('\n')
			if err == io.EOF { // from the beginning again
				_, err = f.Seek(0, io.SeekStart)
				in.Reset(f)
			}
			if err != nil {
				return 0, err
			}
			file = append(file, line...)
		}
		renumber(file, 100*n)
		size += int64(len(file))
		if size >= s.validate {
			file = append(file, badLine...)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.jsonl", n)), file, 0o600); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// copyAll reads a file, or the files of a directory, and does nothing with them.
func copyAll(args []string) error {
	buf := make([]byte, 256<<10)
	return filepath.WalkDir(args[0], func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buf)
		return err
	})
}
