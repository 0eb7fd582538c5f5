package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// smallFloor is the cost of n small jobs without a service.
func (b *bench) smallFloor(url, path string, n int) (smallCost, error) {
	u, err := b.measured(0, b.inner("smallfloor", url, path, fmt.Sprint(n)))
	return smallCost{cpu: u.CPU.Seconds() * 1000 / float64(n), rate: float64(n) / u.Wall.Seconds()}, err
}

// smallJobsFloor is a role: it does n times the work that no durable service can avoid. It reads the input, asks the
// model for each record, 64 in parallel, and writes the answers, a manifest and a log entry, each synced. Arguments: URL of the server,
// input file, n.
func smallJobsFloor(args []string) error {
	url, path := args[0], args[1]
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "floor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = costInFlight
	client := &http.Client{Transport: t}
	for i := range n {
		answers, err := askAll(client, url, path)
		if err != nil {
			return err
		}
		manifest, err := json.Marshal(map[string]int{"records": len(answers)})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(log, i); err != nil {
			return err
		}
		if err := errors.Join(synced(filepath.Join(dir, fmt.Sprintf("%d.out", i)), bytes.Join(answers, []byte("\n"))),
			synced(filepath.Join(dir, fmt.Sprintf("%d.json", i)), manifest), log.Sync()); err != nil {
			return err
		}
	}
	return nil
}

// askAll posts every record of a file, 64 in parallel, and returns the answers.
func askAll(client *http.Client, url, path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines [][]byte
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		lines = append(lines, bytes.Clone(sc.Bytes()))
	}
	answers, slots, failed := make(chan []byte, len(lines)), make(chan struct{}, costInFlight), make(chan error, len(lines))
	var wg sync.WaitGroup
	for _, line := range lines {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := post(client, url, line, answers); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(answers)
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	var all [][]byte
	for a := range answers {
		all = append(all, a)
	}
	return all, sc.Err()
}

// synced writes a file and syncs it.
func synced(path string, body []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}
