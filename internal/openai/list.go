package openai

import (
	"context"
	"strconv"
)

// Pages (OpenAI: list batches and list files).
const (
	usualBatches, mostBatches = 20, 100
	usualFiles, mostFiles     = 10_000, 10_000
)

// page is a page of a list.
type page[T any] struct {
	Object string  `json:"object"`
	Data   []T     `json:"data"`
	First  *string `json:"first_id"`
	Last   *string `json:"last_id"`
	More   bool    `json:"has_more"`
}

// pageOf makes a page of at most limit elements.
func pageOf[T any](all []T, limit int, id func(T) string) page[T] {
	p := page[T]{Object: "list", Data: all, More: len(all) > limit}
	if p.More {
		p.Data = all[:limit]
	}
	if n := len(p.Data); n > 0 {
		first, last := id(p.Data[0]), id(p.Data[n-1])
		p.First, p.Last = &first, &last
	}
	return p
}

// limit reads the parameter limit.
func (c *call) limit(usual, most int) (int, error) {
	text := c.r.URL.Query().Get("limit")
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, wrong("limit", "limit is '%s'; it must be a number from 1 to %d.", show(text), most)
	}
	return n, nil
}

// listBatches answers a page of batches, newest first.
func (h *handler) listBatches(ctx context.Context, c *call) error {
	limit, err := c.limit(usualBatches, mostBatches)
	if err != nil {
		return err
	}
	jobs, err := h.Jobs.Batches(ctx, namePrefix, c.r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	all := make([]batch, 0, len(jobs))
	for i, j := range jobs {
		if i == limit { // it only tells that there are more
			all = append(all, batch{})
			break
		}
		now, changes, err := h.Jobs.Batch(ctx, j.ID)
		if err != nil {
			return err
		}
		all = append(all, batchOf(now, changes))
	}
	return c.send(pageOf(all, limit, func(b batch) string { return b.ID }))
}
