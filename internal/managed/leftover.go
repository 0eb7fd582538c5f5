package managed

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// lookEvery is the time between two looks whether processes have ended.
const lookEvery = 20 * time.Millisecond

// endLeftover stops what an earlier run left of a server: SIGTERM, and SIGKILL after the grace. It returns an error if something cannot
// be stopped: then no second process of the server may be started beside it.
func endLeftover(ctx context.Context, st State, grace time.Duration, log *slog.Logger) error {
	left := remains(st)
	if len(left) == 0 {
		return nil
	}
	log.Warn("stopping what an earlier run left of a model server", "processes", fmt.Sprint(left))
	for _, end := range []func(pid int){askProcess, killProcess} {
		for _, pid := range left {
			end(pid)
		}
		if left = awaitEnd(ctx, st, grace); len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("processes %v of an earlier run cannot be stopped; stop them by hand", left)
}

// awaitEnd waits until nothing is left, at most for the grace, and returns what is.
func awaitEnd(ctx context.Context, st State, grace time.Duration) []int {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		left := remains(st)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return left
		case <-tick.C:
		}
	}
}
