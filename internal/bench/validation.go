package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/batholith/batholith/internal/jsonl"
)

// validation measures the reading of an input: the scanner alone, against a search for line ends, and whole processes, against reading the
// same bytes. A large file is read on all processors.
func validation(b *bench) error {
	file, err := b.input(20_000, 900, anthropicBody)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	repeat := b.size(20, 5)
	gb := float64(info.Size()) * float64(repeat) / 1e9
	lines, err := b.measured(0, b.inner("newlines", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	checked, err := b.measured(0, b.inner("scan", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	b.table.add(row{what: "validation: scanner, GB per CPU-second", against: "a search for line ends", digits: 2, reference: gb / lines.CPU.Seconds(), ours: gb / checked.CPU.Seconds(),
		goal: atLeast(0.4), stretch: atLeast(0.8)})
	return b.validated(file, info.Size())
}

// validated measures the program with a large file. Its last line is invalid, so that a job is only validated and indexed.
func (b *bench) validated(file string, size int64) error {
	large, total, err := b.repeated(file, size)
	if err != nil {
		return err
	}
	defer os.Remove(large)
	gb := float64(total) / 1e9
	copied, err := b.measured(0, b.inner("copy", large))
	if err != nil {
		return err
	}
	config := b.unique("config.yaml")
	if err := os.WriteFile(config, []byte("models:\n- {id: m, family: anthropic, backends: [{url: http://127.0.0.1:1/v1}]}\n"), 0o600); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		code int
		args []string
	}{
		{"job", 3, []string{"run", large, "--model", "m", "--output", b.unique("out")}},
		{"batholith validate", 1, []string{"validate", large, "--model", "m"}},
	} {
		all := exec.CommandContext(b.ctx, b.binary, append(m.args, "--config", config)...)
		one := exec.CommandContext(b.ctx, b.binary, append(m.args, "--config", config)...)
		one.Env = []string{"GOMAXPROCS=1"}
		u, err := b.measured(m.code, all)
		if err != nil {
			return err
		}
		single, err := b.measured(m.code, one)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("validation: %s, a file of %.1f GB, ", m.name, gb)
		b.table.add(row{what: what + "GB per CPU-second", against: "a copy to nowhere", digits: 2, reference: gb / copied.CPU.Seconds(), ours: gb / u.CPU.Seconds(), goal: atLeast(0.4), stretch: atLeast(0.8)})
		b.table.add(row{what: what + "GB/s on all processors", against: "on one", digits: 2, reference: gb / single.Wall.Seconds(), ours: gb / u.Wall.Seconds()})
		b.table.add(row{what: what + "MB resident", reference: none, ours: u.Memory, goal: atMost(100), stretch: atMost(64)})
	}
	return nil
}

// repeated makes the large file: the records of file many times, and an invalid line.
func (b *bench) repeated(file string, size int64) (path string, total int64, err error) {
	records, err := os.ReadFile(file)
	if err != nil {
		return "", 0, err
	}
	path = b.unique("large") + ".jsonl"
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	for range b.size(50, 10) {
		if _, err := f.Write(records); err != nil {
			return "", 0, err
		}
		total += size
	}
	_, err = f.WriteString("this is no record\n")
	return path, total, err
}

// copyAll is a role: it reads a file, or all files of a folder, and discards the bytes.
func copyAll(args []string) error {
	return filepath.WalkDir(args[0], func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 256<<10))
		return err
	})
}

// newlines is a role: it only searches for line ends. Arguments, as for scan: file, number of repetitions. Both read the file from memory.
func newlines(args []string) error {
	return repeat(args, func(b []byte) error {
		for len(b) > 0 {
			b = b[bytes.IndexByte(b, '\n')+1:]
		}
		return nil
	})
}

// scan is a role: it checks every line, as validation does.
func scan(args []string) error {
	var block []byte
	var entries []jsonl.Entry
	return repeat(args, func(b []byte) error {
		sc := jsonl.NewScanner(bytes.NewReader(b))
		for sc.Next() {
			if p := sc.Problem(); p != nil {
				return p
			}
			if entries = append(entries, jsonl.EntryOf(sc.Line())); len(entries) == 512 {
				block, entries = jsonl.AppendBlock(block[:0], 0, entries), entries[:0]
			}
		}
		return sc.Err()
	})
}

// repeat reads the file args[0], and calls do with its bytes args[1] times.
func repeat(args []string, do func([]byte) error) error {
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	for range n {
		if err == nil {
			err = do(b)
		}
	}
	return err
}
