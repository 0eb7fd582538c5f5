package runtime

import (
	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// Use is what one call took.
type Use struct {
	Who    bedrock.Caller
	Model  string
	Tokens batholith.Tokens // an estimate if Failed
	Failed string           // code of the error with which a stream ended; "": the answer is whole
	Stream bool
}

// clientGone is the code of a client that closed its connection.
const clientGone = "ClientDisconnected"

// afford returns ThrottlingException if the caller has used the tokens of the day. Calls that run at the same time may exceed the quota
// together: what a call takes is known at its end.
func (h *handler) afford(c *call) error {
	most := h.LimitsNow().MaxTokensPerDay
	if most <= 0 || h.Spent == nil {
		return nil
	}
	spent, err := h.Spent(c.http.Context(), c.who)
	switch {
	case err != nil:
		h.Log.Warn("a call was refused because its caller's tokens of today cannot be read", "request", c.id, "err", err)
		return &Error{Code: CodeServiceUnavailable, Message: "The tokens that you have used today cannot be read now. Try again."}
	case spent < most:
		return nil
	}
	// Bedrock: the message of a daily quota begins so.
	return throttled("Too many tokens per day, please wait before trying again: principal %s has used %d tokens today (UTC), in calls and in jobs created today, and %d are allowed (quota max_tokens_per_day). "+
		"Try again tomorrow, or ask the operator to raise the quota.", c.who.Principal, spent, most)
}

// used tells what a whole answer took.
func (h *handler) used(c *call, tokens batholith.Tokens) {
	h.Used(c.http.Context(), Use{Who: c.who, Model: c.model.ID, Tokens: tokens})
}

// streamed tells what a stream took of which the client got something. The counts come at the end of a stream. Of one that has broken off, also
// because its client has gone, they are estimated: the likely tokens of the body, and one for each event.
func (h *handler) streamed(c *call, s *streaming, failed bedrock.Refusal) {
	u := Use{Who: c.who, Model: c.model.ID, Tokens: s.tokens, Stream: true}
	if failed != nil {
		u.Failed, _, _ = failed.Refusal()
	} else if !s.ended {
		u.Failed = clientGone
	}
	c.failed = u.Failed
	if !s.ended {
		u.Tokens = batholith.Tokens{Input: max((dialect.Weigh(c.body).Tokens.Likely+500)/1000, 1), Output: s.events}
	}
	h.Used(c.http.Context(), u)
}
