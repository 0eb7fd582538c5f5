package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
)

// maxMetrics is how much is read of a server's metrics, in bytes. Those of vLLM have some hundred thousand, most of them histograms.
const maxMetrics = 4 << 20

// The gauges of requests that run and that wait, by the servers that have them.
var (
	// vllm/v1/metrics/loggers.py; sglang/srt/metrics/collector.py; llama.cpp tools/server, with --metrics.
	runningGauges = []string{"vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"}
	waitingGauges = []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"}
)

// Gauges is what the server says of itself in its metrics, which it has beside its /v1: how many requests run and wait, those of others
// included. Several engines behind one address are summed; other models are left out, where the server tells them apart.
func (b *Backend) Gauges(ctx context.Context) (batholith.Gauges, bool) {
	attempt, cancel := context.WithTimeout(ctx, min(probeTimeout, b.o.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, b.beside("/metrics"), nil)
	if err != nil {
		return batholith.Gauges{}, false
	}
	if b.o.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+b.o.APIKey)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return batholith.Gauges{}, false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return batholith.Gauges{}, false
	}
	return readGauges(io.LimitReader(resp.Body, maxMetrics), b.o.Model)
}

// beside is an address of the server outside its protocol.
func (b *Backend) beside(path string) string {
	return strings.TrimSuffix(b.base.String(), "/v1") + path
}

// readGauges finds the two gauges in the text format of Prometheus. Not ok unless both are there.
func readGauges(r io.Reader, model string) (g batholith.Gauges, ok bool) {
	lines := bufio.NewReaderSize(r, 4<<10)
	var running, waiting bool
	for {
		line, err := lines.ReadSlice('\n')
		if n, found := gauge(line, runningGauges, model); found {
			g.Running, running = g.Running+n, true
		} else if n, found := gauge(line, waitingGauges, model); found {
			g.Waiting, waiting = g.Waiting+n, true
		}
		for err == bufio.ErrBufferFull { // the rest of a line that is no gauge of these
			_, err = lines.ReadSlice('\n')
		}
		if err == io.EOF {
			return g, running && waiting
		}
		if err != nil {
			return batholith.Gauges{}, false // a part of the engines is no picture of the server
		}
	}
}

// gauge reads a line `name{label="value",…} 12` or `name 12` when it has one of these names, and not another model.
func gauge(line []byte, names []string, model string) (int, bool) {
	for _, name := range names {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 {
			continue
		}
		var labels []byte
		switch rest[0] {
		case '{':
			end := bytes.LastIndexByte(rest, '}')
			if end < 0 {
				return 0, false
			}
			labels, rest = rest[1:end], rest[end+1:]
		case ' ', '\t':
		default:
			continue // a longer name
		}
		if other, ok := label(labels, "model_name"); ok && model != "" && other != model {
			return 0, false
		}
		fields := bytes.Fields(rest) // a time may follow the value
		if len(fields) == 0 {
			return 0, false
		}
		v, err := strconv.ParseFloat(string(fields[0]), 64)
		if err != nil || !(v >= 0 && v < 1e9) {
			return 0, false
		}
		return int(v), true
	}
	return 0, false
}

// label finds the value of a label in `a="b",c="d"`.
func label(labels []byte, name string) (string, bool) {
	for len(labels) > 0 {
		key, rest, ok := bytes.Cut(labels, []byte("="))
		if !ok {
			return "", false
		}
		value, err := strconv.QuotedPrefix(string(rest))
		if err != nil {
			return "", false
		}
		if string(bytes.TrimLeft(key, ", ")) == name {
			text, err := strconv.Unquote(value)
			return text, err == nil
		}
		labels = rest[len(value):]
	}
	return "", false
}

// Slots is how many requests the server says it works on at once; not ok when it does not say.
// llama.cpp has it in /props, beside its /v1. TEI has in /info how many it takes before it refuses, running and waiting together
// (max_concurrent_requests): four fifths of them pass for its slots, so that no more than all are sent by one who sends a quarter more.
func (b *Backend) Slots(ctx context.Context) (n int, ok bool) {
	var props struct {
		Slots int `json:"total_slots"`
		Most  int `json:"max_concurrent_requests"`
	}
	for _, path := range []string{"/props", "/info"} {
		body, _, err := b.ask(ctx, b.beside(path))
		if err != nil {
			continue
		}
		if json.Unmarshal(body, &props, lenient) != nil {
			continue
		}
		if n := max(props.Slots, props.Most*4/5); n > 0 {
			return n, true
		}
	}
	return 0, false
}
