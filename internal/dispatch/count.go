package dispatch

import (
	"context"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Counter is a Backend that can count the input tokens of a call.
type Counter interface {
	// Count returns the number of input tokens of a call, or false if the server cannot tell.
	Count(ctx context.Context, c batholith.Call) (tokens int64, ok bool)
}

// Count returns the number of input tokens of a body: as one of the serving's backends counts them, or an estimate. It takes no slot, since
// servers count without the model. A body with media is estimated: servers count what stands for a picture in the prompt, and not the picture.
// The errors are those of Interact about the body.
func (d *Dispatcher) Count(ctx context.Context, s Serving, r Request) (tokens int64, exact bool, err error) {
	named, err := d.named(ctx, time.Now().Add(callPatience), r)
	if err != nil {
		return 0, false, err
	}
	defer named.release()
	input := named.body
	media := dialect.PromptOf(input).Features.Has(dialect.FeatureMedia)
	for _, b := range s.Backends {
		call, err := s.Dialect(b.Protocol()).Request(input, b.ModelName())
		if err != nil {
			return 0, false, recordError(err)
		}
		l := d.laneNow(b, s.Model)
		if l == nil {
			continue
		}
		if c, ok := b.(Counter); ok && !media && l.usable() {
			if n, ok := c.Count(ctx, call); ok {
				return n, true, nil
			}
		}
		if ctx.Err() != nil {
			return 0, false, context.Cause(ctx)
		}
	}
	return max((dialect.Weigh(input).Tokens.Likely+500)/1000, 1), false, nil
}
