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

// silent answers as a model server at once, on a free port of the loopback, which it prints, until its standard input ends.
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

// silentServer is the URL of a model server that answers at once. It is started at the first call, and ends with this process.
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

// floor is the least that can be done with net/http: read a line, post its modelInput as it is, read the answer, append it to a file. Its
// arguments are the server, the file, and how many requests are in flight.
func floor(args []string) error { return loop(args, post) }

// translating is floor with what a script does besides: the body is decoded and encoded again with the model's name, and the answer is
// decoded and becomes an output line.
func translating(args []string) error { return loop(args, translated) }

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
