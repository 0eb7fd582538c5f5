package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/sync/errgroup"
)

// calls measures what an interactive call costs: the same chat is sent to a model server that answers at once, directly and through
// Converse, one after the other on kept connections. The signature is made before the time begins, since the client makes it. The rows are
// the added time at the median, and the CPU time of the server's process per call: one after the other, and callsAtOnce in parallel. The
// former has the time in which an idle process looks for work before it sleeps: the server wakes up and falls asleep several times a call.
func calls(b *bench) error {
	url, err := b.silentServer()
	if err != nil {
		return err
	}
	s, err := b.serve(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench}]}\n", url))
	if err != nil {
		return err
	}
	defer s.end()
	n := b.size(3000, 300)
	direct := func() (*http.Request, error) {
		body := []byte(`{"model":"bench","messages":[{"role":"user","content":"Hello"}],"max_tokens":16}`)
		r, err := http.NewRequestWithContext(b.ctx, http.MethodPost, url+"/chat/completions", bytes.NewReader(body))
		return r, err
	}
	through := func() (*http.Request, error) {
		return s.converse(`{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":16}}`)
	}
	if _, err := medianCall(n/10, through); err != nil { // connections, caches
		return err
	}
	floor, err := medianCall(n, direct)
	if err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	took, err := medianCall(n, through)
	if err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	if err := sendCalls(n, through); err != nil {
		return err
	}
	together, err := s.cpu()
	if err != nil {
		return err
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	b.table.add(row{what: "Converse, p50, ms", against: "the model server alone", reference: ms(floor), ours: ms(took), digits: 2, goal: atMost(ms(floor) + 2)})
	b.table.add(row{what: "Converse: CPU, ms a call", against: "", reference: none, ours: ms(after-before) / float64(n), digits: 2, goal: atMost(0.3)})
	b.table.add(row{what: fmt.Sprintf("the same, %d at once", callsAtOnce), against: "", reference: none, ours: ms(together-after) / float64(n/callsAtOnce*callsAtOnce), digits: 2, goal: atMost(0.3)})
	return nil
}

// callsAtOnce is the number of calls in parallel in sendCalls.
const callsAtOnce = 16

// sendCalls sends n requests, callsAtOnce in parallel.
func sendCalls(n int, request func() (*http.Request, error)) error {
	var g errgroup.Group
	for range callsAtOnce {
		g.Go(func() error {
			_, err := medianCall(n/callsAtOnce, request)
			return err
		})
	}
	return g.Wait()
}

// converse is a signed request for Converse.
func (s *server) converse(body string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(s.b.ctx, http.MethodPost, s.at.Bedrock+"/model/m/converse", bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: principals[0], SecretAccessKey: "secret-of-" + principals[0]}
	return r, v4.NewSigner().SignHTTP(s.b.ctx, keys, r, hex.EncodeToString(sum[:]), "bedrock", s.at.Region, time.Now())
}

// medianCall sends n requests one after the other and returns the median of their times.
func medianCall(n int, request func() (*http.Request, error)) (time.Duration, error) {
	took := make([]time.Duration, 0, n)
	for range n {
		r, err := request()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		took = append(took, time.Since(began))
		if err != nil || resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("a call answered %s: %s (%v)", resp.Status, body, err)
		}
	}
	slices.Sort(took)
	return took[n/2], nil
}
