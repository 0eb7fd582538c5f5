package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/simlm"
)

// serve answers as a model server on a free port of the loopback, which it prints, until its standard input ends.
func serve([]string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String() + "/v1")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ln.Close()
	}()
	http.Serve(ln, simlm.New(simlm.Options{Model: "bench"}))
	return nil
}

// startServer starts the model server; the returned function ends it.
func (s *setup) startServer() (stop func(), err error) {
	cmd := s.role("server")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { in.Close(); cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the model server: %w", err)
	}
	s.url = strings.TrimSpace(line)
	return stop, nil
}

// inFlight is how many requests the floor and the program have in flight.
const inFlight = 64

// write makes the inputs and the settings.
func (s *setup) write() error {
	bodies := map[string]string{
		"openai":    `{"messages":[{"role":"user","content":"%s"}],"max_tokens":32}`,
		"anthropic": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"%s"}]}`,
	}
	var config strings.Builder
	config.WriteString("models:\n")
	for name, body := range bodies {
		if err := s.writeJob(s.path(name+".jsonl"), body); err != nil {
			return err
		}
		fmt.Fprintf(&config, "- {id: bench-%s, family: %s, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", name, name, s.url, inFlight)
	}
	return os.WriteFile(s.path("config.yaml"), []byte(config.String()), 0o600)
}

func (s *setup) writeJob(path, body string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	r := rand.New(rand.NewPCG(1, 2))
	prompt := make([]byte, s.bytes)
	for i := range s.records {
		for j := range prompt {
			prompt[j] = "abcdefghijklmnopqrstuvwxyz     "[r.IntN(31)]
		}
		fmt.Fprintf(w, `{"recordId":"r%07d","modelInput":`+body+"}\n", i, prompt)
	}
	return w.Flush()
}

// floor is the least that can be done with net/http: read a line, post its modelInput as it is, read the answer, append it to a file.
func floor(args []string) error {
	url, path := args[0], args[1]
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := os.Create(path + ".floor")
	if err != nil {
		return err
	}
	defer out.Close()
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = inFlight
	client := &http.Client{Transport: t}
	lines, answers, failed := make(chan []byte, inFlight), make(chan []byte, inFlight), make(chan error, inFlight)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for line := range lines {
				if err := post(client, url, line, answers); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	go func() {
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			lines <- bytes.Clone(sc.Bytes())
		}
		close(lines)
		wg.Wait()
		close(answers)
	}()
	w := bufio.NewWriter(out)
	for a := range answers {
		w.Write(a)
		w.WriteByte('\n')
	}
	select {
	case err := <-failed:
		return err
	default:
		return w.Flush()
	}
}

func post(client *http.Client, url string, line []byte, answers chan<- []byte) error {
	_, body, _ := bytes.Cut(line, []byte(`"modelInput":`))
	resp, err := client.Post(url+"/chat/completions", "application/json", bytes.NewReader(body[:len(body)-1]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the model server answered %s", resp.Status)
	}
	answers <- answer
	return err
}

// newlines looks for line ends only; scan checks every line as validation does. Both read a file from memory so many times.
func newlines(args []string) error {
	return repeated(args, func(b []byte) error {
		for len(b) > 0 {
			b = b[bytes.IndexByte(b, '\n')+1:]
		}
		return nil
	})
}

func scan(args []string) error {
	var block []byte
	var entries []jsonl.Entry
	return repeated(args, func(b []byte) error {
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

func repeated(args []string, do func([]byte) error) error {
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
