package upstream

import (
	"context"

	"github.com/go-json-experiment/json"
)

// Slots returns how many requests the server processes in parallel; ok is false if the server
// does not report it. llama.cpp reports total_slots in /props, its router in /props?model=.
// TEI and TGI report in /info how many requests they accept, running and waiting together
// (max_concurrent_requests). For them, slots = 4/5 × max_concurrent_requests: the limit begins
// 25 % above the slots, and then just reaches the maximum.
func (b *Backend) Slots(ctx context.Context) (n int, ok bool) {
	paths := []string{"/props", "/info"}
	if b.ModelName() != "" {
		paths = []string{"/props", "/props" + b.routed(), "/info"}
	}
	for _, path := range paths {
		body, answered, err := b.ask(ctx, b.beside(path))
		if !answered {
			return 0, false // the server is away or hangs: the other pages would tell no more
		}
		var props struct {
			Slots int `json:"total_slots"`
			Most  int `json:"max_concurrent_requests"`
		}
		if err != nil || json.Unmarshal(body, &props, lenient) != nil {
			continue
		}
		if n := max(props.Slots, props.Most*4/5); n > 0 {
			return n, true
		}
	}
	return 0, false
}
