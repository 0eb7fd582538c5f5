package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/batholith/batholith/internal/simlm"
)

// silent is a role: a model server that answers at once, on a free loopback port. It prints its URL, and ends with its standard input.
func silent([]string) error {
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

// silentServer returns the URL of a model server that answers at once. The first call starts it; it ends with this process.
func (b *bench) silentServer() (string, error) {
	if b.silent != "" {
		return b.silent, nil
	}
	cmd := b.role("silent")
	if _, err := cmd.StdinPipe(); err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("start the model server: %w", err)
	}
	b.silent = strings.TrimSpace(line)
	return b.silent, nil
}

// floor is a role: the least work that net/http allows. It reads a line, posts its modelInput unchanged, reads the answer and appends it to
// a file. Arguments: URL of the server, file, number of requests in flight.
func floor(args []string) error { return loop(args, post) }

// translating is a role: floor with the work of a script. It decodes the body, adds the model's name and encodes it, decodes the answer,
// and encodes an output line.
func translating(args []string) error { return loop(args, translated) }

// loop sends every line of a file with post, and writes the answers to a file.
func loop(args []string, post func(client *http.Client, url string, line []byte, answers chan<- []byte) error) error {
	url, path := args[0], args[1]
	flying, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
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
	t.MaxIdleConnsPerHost = flying
	client := &http.Client{Transport: t}
	lines, answers, failed := make(chan []byte, flying), make(chan []byte, flying), make(chan error, flying)
	var wg sync.WaitGroup
	for range flying {
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

// post sends a line's modelInput unchanged.
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

// translated decodes and encodes the line's modelInput and the answer.
func translated(client *http.Client, url string, line []byte, answers chan<- []byte) error {
	var in struct {
		RecordID   string         `json:"recordId"`
		ModelInput map[string]any `json:"modelInput"`
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return err
	}
	in.ModelInput["model"] = "bench"
	body, err := json.Marshal(in.ModelInput)
	if err != nil {
		return err
	}
	resp, err := client.Post(url+"/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	delete(in.ModelInput, "model")
	out, err := json.Marshal(map[string]any{"recordId": in.RecordID, "modelInput": in.ModelInput, "modelOutput": answer})
	answers <- out
	return err
}
