package upstream

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
)

// PriorityLowest is the value of Options.Priority that stands for the server's lowest priority.
const PriorityLowest = "lowest"

// The lowest priorities. vLLM serves lower numbers first, and requests without one have 0. SGLang
// serves higher numbers first, and a request without one has the lowest number that exists, unless
// --default-priority-value says otherwise; with --schedule-low-priority-values-first both are
// reversed. Sources: vllm/v1/core/sched/request_queue.py; sglang/srt/managers/scheduler.py.
const (
	lowestVLLM          = math.MaxInt32
	lowestSGLang        = math.MinInt64
	lowestSGLangReverse = math.MaxInt64
)

// Priority returns the number that batch requests carry in their member priority; ok is false if
// they carry none. note tells the operator what the server's own statements leave in doubt, or "".
//
// For the lowest priority, the list of models tells SGLang from others (owned_by), and /server_info
// how it was started. A server that does not tell is taken for vLLM.
func (b *Backend) Priority(ctx context.Context) (n int64, ok bool, note string) {
	switch b.o.Priority {
	case "":
		return 0, false, ""
	case PriorityLowest:
	default:
		n, err := strconv.ParseInt(b.o.Priority, 10, 64)
		return n, err == nil, ""
	}
	models, _, _ := b.list(ctx)
	by := func(owner string) bool {
		return slices.ContainsFunc(models, func(m listed) bool { return m.Owner == owner })
	}
	switch {
	case by("sglang"):
		return b.sglangPriority(ctx)
	case by("vllm"):
		return lowestVLLM, true, ""
	}
	return lowestVLLM, true, "the server does not say what it is, so it is taken for one that serves higher numbers later, as vLLM does; write the number that it takes instead"
}

// sglangPriority asks SGLang how it was started.
func (b *Backend) sglangPriority(ctx context.Context) (n int64, ok bool, note string) {
	for _, path := range []string{"/server_info", "/get_server_info"} { // the second before 0.5.4
		body, _, err := b.ask(ctx, b.beside(path))
		if err != nil {
			continue
		}
		var args struct {
			Enabled *bool  `json:"enable_priority_scheduling"`
			Reverse bool   `json:"schedule_low_priority_values_first"`
			Default *int64 `json:"default_priority_value"`
		}
		if json.Unmarshal(body, &args, lenient) != nil || args.Enabled == nil {
			continue
		}
		switch {
		case !*args.Enabled:
			return 0, false, "SGLang was started without --enable-priority-scheduling, so no priority is sent"
		case args.Default == nil:
			note = "SGLang was started without --default-priority-value, so requests of others that name no priority are served no sooner than batch requests"
		}
		if args.Reverse {
			return lowestSGLangReverse, true, note
		}
		return lowestSGLang, true, note
	}
	return lowestSGLang, true, "SGLang does not say how it was started, so it is taken to serve lower numbers later; write the number that it takes instead"
}
