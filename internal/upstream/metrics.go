package upstream

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/batholith/batholith"
)

// most is the limit of a gauge that can be true.
const most = 1_000_000_000

// engine has the names under which one kind of server reports requests that run and that wait.
// A name counts with every prefix. Several names of one kind count together.
type engine struct {
	prefixes []string
	running  []string
	waiting  []string
}

// engines lists the servers. If a page has the metrics of several, the first counts: one of them
// repeats the other.
var engines = []engine{
	// vllm/v1/metrics/loggers.py; Aphrodite is its fork. Exporters without colons in names write "_".
	{[]string{"vllm:", "vllm_", "aphrodite:"}, []string{"num_requests_running"}, []string{"num_requests_waiting"}},
	// sglang/srt/metrics/collector.py: "sglang_" from 0.5.4 on. num_waiting_reqs is the name in
	// /v1/loads?format=prometheus.
	{[]string{"sglang:", "sglang_"}, []string{"num_running_reqs"}, []string{"num_queue_reqs", "num_waiting_reqs"}},
	// llama.cpp tools/server, started with --metrics.
	{[]string{"llamacpp:"}, []string{"requests_processing"}, []string{"requests_deferred"}},
	// lmdeploy/metrics/loggers.py. The second waits in front of the engine.
	{[]string{"lmdeploy:"}, []string{"num_requests_running"}, []string{"num_requests_waiting", "num_api_requests_waiting"}},
	// tensorrt_llm/metrics/collector.py; NVIDIA Dynamo writes a colon.
	{[]string{"trtllm_", "trtllm:"}, []string{"num_requests_running"}, []string{"num_requests_waiting"}},
	// text-generation-inference backends/v3.
	{[]string{"tgi_"}, []string{"batch_current_size"}, []string{"queue_size"}},
	// Modular MAX.
	{[]string{"maxserve_"}, []string{"num_requests_running"}, []string{"num_requests_queued", "num_requests_awaiting_admission"}},
	// NVIDIA NIM for LLMs.
	{[]string{""}, []string{"num_requests_running"}, []string{"num_requests_waiting"}},
}

// metric is what a name of a metric means.
type metric struct {
	engine  int
	waiting bool
}

// metrics maps names to their meaning.
var metrics = func() map[string]metric {
	all := map[string]metric{}
	for i, e := range engines {
		for _, p := range e.prefixes {
			for _, n := range e.running {
				all[p+n] = metric{i, false}
			}
			for _, n := range e.waiting {
				all[p+n] = metric{i, true}
			}
		}
	}
	return all
}()

// sample is one line of a page.
type sample struct {
	metric
	name   string
	model  string // "": the line names none
	labels string // those that tell engines apart
	value  int
}

// readGauges sums the running and the waiting requests in a Prometheus text. ok is false unless
// both occur for the model.
func readGauges(r io.Reader, model string) (g batholith.Gauges, ok bool) {
	var all []sample
	lines := bufio.NewReaderSize(r, 4<<10)
	for {
		// The gauges are short lines; ReadSlice does not copy.
		line, err := lines.ReadSlice('\n')
		if s, found := readSample(line); found {
			all = append(all, s)
		}
		for err == bufio.ErrBufferFull { // skip the rest of a longer line, which is none of these gauges
			_, err = lines.ReadSlice('\n')
		}
		if err == io.EOF {
			return total(all, model)
		}
		if err != nil {
			return batholith.Gauges{}, false // some engines' numbers may be missing, so the sum would be wrong
		}
	}
}

// total sums the samples of the first engine that has both gauges.
func total(all []sample, model string) (batholith.Gauges, bool) {
	all = ofModel(all, model)
	for i := range engines {
		running, hasRunning := sum(all, metric{i, false})
		waiting, hasWaiting := sum(all, metric{i, true})
		if hasRunning && hasWaiting {
			return batholith.Gauges{Running: running, Waiting: waiting}, true
		}
	}
	return batholith.Gauges{}, false
}

// ofModel leaves out the samples of other models. Samples without a model stay. A server that
// names one other model only has this model under another name: vLLM reports the first of its
// served names, and an adapter's requests under the name of its base model.
func ofModel(all []sample, model string) []sample {
	var named []string
	for _, s := range all {
		if s.model != "" && !slices.Contains(named, s.model) {
			named = append(named, s.model)
		}
	}
	if model == "" || len(named) == 1 {
		return all
	}
	return slices.DeleteFunc(all, func(s sample) bool { return s.model != "" && s.model != model })
}

// sum adds the values of a metric. Lines with equal labels are the same number, reported by
// several ranks of one engine, and count once.
func sum(all []sample, m metric) (n int, ok bool) {
	seen := map[string]int{}
	for _, s := range all {
		if s.metric != m {
			continue
		}
		key := s.name + "{" + s.labels
		n += max(s.value-seen[key], 0)
		seen[key], ok = max(s.value, seen[key]), true
	}
	return n, ok
}

// readSample parses a line `name{label="value",…} 12` or `name 12` if it is one of metrics.
func readSample(line []byte) (s sample, ok bool) {
	end := bytes.IndexAny(line, "{ \t")
	if end <= 0 {
		return s, false
	}
	if s.metric, ok = metrics[string(line[:end])]; !ok {
		return s, false
	}
	s.name = string(line[:end])
	rest := line[end:]
	if rest[0] == '{' {
		end := bytes.LastIndexByte(rest, '}')
		if end < 0 || !s.label(string(rest[1:end])) {
			return s, false
		}
		rest = rest[end+1:]
	}
	fields := bytes.Fields(rest) // a timestamp may follow the value
	if len(fields) == 0 {
		return s, false
	}
	v, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil || !(v >= 0 && v < most) {
		return s, false
	}
	s.value = int(v)
	return s, true
}

// label parses `a="b",c="d"`. It returns false if the line must not be counted: the labels cannot
// be read, or the line is a part of another line. SGLang with --enable-priority-scheduling repeats
// the requests of each priority beside the line of all, whose priority is "".
func (s *sample) label(labels string) bool {
	var parts []string
	for labels = strings.TrimLeft(labels, ", "); labels != ""; labels = strings.TrimLeft(labels, ", ") {
		key, rest, ok := strings.Cut(labels, "=")
		if !ok {
			return false
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return false
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return false
		}
		labels = rest[len(quoted):]
		switch key = strings.TrimSpace(key); key {
		case "model_name", "model":
			s.model = value
		case "priority":
			if value != "" {
				return false
			}
		case "tp_rank", "pp_rank", "moe_ep_rank": // ranks of one engine; SGLang's --enable-metrics-for-all-schedulers has all of them
		default:
			parts = append(parts, key+"="+quoted)
		}
	}
	slices.Sort(parts)
	s.labels = s.model + ";" + strings.Join(parts, ",")
	return true
}
