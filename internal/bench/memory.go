package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/batholith/batholith/internal/simlm"
)

// memory measures the largest resident set of the program, in MB. It must not grow with the number of records, with the number or size of
// files, or with the number of finished jobs.
func memory(b *bench) error {
	url, err := b.silentServer()
	if err != nil {
		return err
	}
	settings := fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", url, costInFlight)
	first := none
	job := func(what, settings string, make func(path string) error) error {
		path := b.unique("memory") + ".jsonl"
		if err := make(path); err != nil {
			return err
		}
		defer os.RemoveAll(path)
		u, err := b.finished(settings, modelOf(settings), path)
		if err != nil {
			return err
		}
		b.table.add(row{what: "largest resident memory, MB: " + what, against: "1,000 records", reference: first, ours: u.Memory,
			goal: atMost(100), stretch: atMost(64)})
		if math.IsNaN(first) {
			first = u.Memory
		}
		return nil
	}
	records := func(n, bytes int) error {
		what, settings := fmt.Sprintf("%d records of %d bytes", n, bytes), settings
		if n >= 500_000 {
			what, settings = what+", embedded model", ""
		}
		return job(what, settings, func(path string) error { return prompts(path, n, bytes, openaiBody) })
	}
	files, large := b.size(10_000, 500), b.largest()
	for _, next := range []func() error{
		func() error { return records(1_000, 900) },
		func() error { return records(b.size(100_000, 10_000), 900) },
		func() error { return records(b.size(1_000_000, 30_000), 40) },
		func() error {
			return job(fmt.Sprintf("%d files of 5 records", files), settings, func(dir string) error { return folder(dir, files) })
		},
		func() error {
			return job(fmt.Sprintf("a file of %.1f GB, records of 64 KB", float64(large)*65536/1e9), settings,
				func(path string) error { return prompts(path, large, 64<<10, openaiBody) })
		},
	} {
		if err := next(); err != nil {
			return err
		}
	}
	return finishedJobs(b, settings)
}

// modelOf is the model of a job: without settings an embedded one, which does a million records in a minute.
func modelOf(settings string) string {
	if settings == "" {
		return simlm.Model
	}
	return "m"
}

// largest is the number of records of 64 KB in the large file: -large, if the disk has room for four times as much, else 2,000.
func (b *bench) largest() int {
	if free, err := room(b.dir); b.quick || err != nil || free < 4*int64(b.large)*(64<<10) {
		return 2_000
	}
	return b.large
}

// folder makes a folder with that many files of five records.
func folder(dir string, files int) error {
	r := rand.New(rand.NewPCG(3, 4))
	prompt := make([]byte, 900)
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("%02d", i%50))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		err := write(filepath.Join(sub, fmt.Sprintf("%05d.jsonl", i)), 5, func(int) string { return fmt.Sprintf(openaiBody, words(r, prompt)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// finishedJobs compares the memory of a server that has finished one job with that of a server that has many finished jobs.
func finishedJobs(b *bench, settings string) error {
	many := b.size(100_000, 5_000)
	s, err := b.serve(settings)
	if err != nil {
		return err
	}
	defer func() { s.end() }()
	if err := s.oneJob("one"); err != nil {
		return err
	}
	after, err := s.memory()
	if err != nil {
		return err
	}
	b.table.add(row{what: "largest resident memory, MB: serve after 1 job", reference: none, ours: after, goal: atMost(100), stretch: atMost(64)})
	s.end()
	if err := s.multiply(many, false); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	if err := s.oneJob("another"); err != nil {
		return err
	}
	if err := s.pages(); err != nil {
		return err
	}
	now, err := s.memory()
	if err != nil {
		return err
	}
	b.table.add(row{what: fmt.Sprintf("largest resident memory, MB: serve among %d jobs that were finished just now, all listed", many), against: "after 1 job", reference: after, ours: now,
		goal: atMost(100), stretch: atMost(64)})
	return nil
}

// oneJob runs a job of 1,000 records to its end.
func (s *server) oneJob(name string) error {
	file, err := s.b.input(1_000, 900, openaiBody)
	if err != nil {
		return err
	}
	if err := s.upload("in/"+name+".jsonl", file); err != nil {
		return err
	}
	arn, err := s.create(s.client(0), name, "in/"+name+".jsonl")
	if err != nil {
		return err
	}
	_, err = s.ended(arn, often, time.Minute)
	return err
}
