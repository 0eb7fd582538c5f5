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

// maxMetrics is how many bytes of a server's metrics are read. vLLM sends a few hundred
// thousand, mostly histograms.
const maxMetrics = 4 << 20

// Metric names for running and for waiting requests, by server.
var (
	// Sources: vllm/v1/metrics/loggers.py; sglang/srt/metrics/collector.py; llama.cpp
	// tools/server, started with --metrics.
	runningGauges = []string{"vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"}
	waitingGauges = []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"}
)

// Gauges reads the numbers of running and waiting requests from the server's metrics page,
// /metrics beside /v1. They include requests of other clients. The engines behind one address
// are summed; other models are excluded if the metrics have a model_name label. ok is false if
// the server has no such metrics.
func (b *Backend) Gauges(ctx context.Context) (batholith.Gauges, bool) {
	attempt, cancel := context.WithTimeout(ctx, min(probeTimeout, b.o.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, b.beside("/metrics"), nil)
	if err != nil {
		return batholith.Gauges{}, false
	}
	if b.protocol.authenticate(b, req, nil) != nil {
		return batholith.Gauges{}, false
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

// beside returns a URL on the server outside /v1.
func (b *Backend) beside(path string) string {
	return strings.TrimSuffix(b.base.String(), "/v1") + path
}

// readGauges sums the two gauges in a Prometheus text. ok is false unless both occur.
func readGauges(r io.Reader, model string) (g batholith.Gauges, ok bool) {
	lines := bufio.NewReaderSize(r, 4<<10)
	var running, waiting bool
	for {
		// The two gauges are short lines; ReadSlice does not copy.
		line, err := lines.ReadSlice('\n')
		if n, found := gauge(line, runningGauges, model); found {
			g.Running, running = g.Running+n, true
		} else if n, found := gauge(line, waitingGauges, model); found {
			g.Waiting, waiting = g.Waiting+n, true
		}
		for err == bufio.ErrBufferFull { // skip the rest of a longer line, which is none of these gauges
			_, err = lines.ReadSlice('\n')
		}
		if err == io.EOF {
			return g, running && waiting
		}
		if err != nil {
			return batholith.Gauges{}, false // some engines' numbers may be missing, so the sum would be wrong
		}
	}
}

// gauge parses a line `name{label="value",…} 12` or `name 12` if it has one of names and does
// not belong to another model.
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
			continue // the line has a longer name
		}
		// One vLLM process may serve several models or LoRA adapters.
		if other, ok := label(labels, "model_name"); ok && model != "" && other != model {
			return 0, false
		}
		fields := bytes.Fields(rest) // a timestamp may follow the value
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

// label returns the value of a label in `a="b",c="d"`.
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

// Slots returns how many requests the server processes in parallel; ok is false if the server
// does not report it. llama.cpp reports total_slots in /props. TEI reports in /info how many
// requests it accepts, running and waiting together (max_concurrent_requests). For TEI, slots =
// 4/5 × max_concurrent_requests: the limit may go 25 % above the slots, and then just reaches
// the maximum.
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
