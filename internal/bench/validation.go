package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
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

// endless gives the records of the job over and over, each with an id of its own. It holds one line: the largest resident memory that the
// system tells of a process is at least that of the process which started it.
type endless struct {
	f  *os.File
	in *bufio.Reader
	n  int
}

func (s *setup) endless() (*endless, error) {
	f, err := os.Open(s.path("anthropic.jsonl"))
	if err != nil {
		return nil, err
	}
	return &endless{f: f, in: bufio.NewReaderSize(f, 256<<10)}, nil
}

// next holds until it is called again.
func (e *endless) next() ([]byte, error) {
	line, err := e.in.ReadSlice('\n')
	if err == io.EOF {
		if _, err := e.f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		e.in.Reset(e.f)
		line, err = e.in.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	copy(line[len(`{"recordId":"r`):], fmt.Sprintf("%07d", e.n)) // as long as the id that was there
	e.n++
	return line, nil
}

// writeFile writes records until a file has count of them or the input is as large as it shall be, and returns the file's size.
func (s *setup) writeFile(path string, e *endless, count int, before int64) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 64<<10)
	for n := 0; n < count && before+size < s.validate; n++ {
		line, err := e.next()
		if err != nil {
			return 0, err
		}
		w.Write(line)
		size += int64(len(line))
	}
	if before+size >= s.validate {
		w.WriteString(badLine)
	}
	return size, w.Flush()
}

// writeLarge makes one file.
func (s *setup) writeLarge(path string) (int64, error) {
	e, err := s.endless()
	if err != nil {
		return 0, err
	}
	defer e.f.Close()
	return s.writeFile(path, e, math.MaxInt, 0)
}

// writeMany makes files of a hundred records each.
func (s *setup) writeMany(dir string) (total int64, err error) {
	e, err := s.endless()
	if err != nil {
		return 0, err
	}
	defer e.f.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	for n := 0; total < s.validate; n++ {
		size, err := s.writeFile(filepath.Join(dir, fmt.Sprintf("%06d.jsonl", n)), e, 100, total)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
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
