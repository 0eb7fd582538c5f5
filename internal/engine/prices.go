package engine

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/results"
)

// priced adds the price of the moment to the commits of outcomes.
type priced struct {
	results.Store
	e *Engine
}

// Commit stores outcomes with what their tokens cost now.
func (p priced) Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error) {
	if p.e.o.Price != nil {
		j, err := p.e.known(ctx, c.Segment.Job)
		if err != nil {
			return batholith.Counts{}, err
		}
		c.Price = p.e.o.Price(j.Model, j.ModelID).String()
	}
	return p.Store.Commit(ctx, c)
}

// costs is what the records of a job cost, by currency.
func (e *Engine) costs(ctx context.Context, j batholith.Job) (map[string]batholith.Money, error) {
	all, err := e.o.Store.Spent(ctx, batholith.SpentQuery{Account: j.Account, Jobs: []string{j.ID}})
	return batholith.Costs(all), err
}

// caps returns what bounds what a job may take, with the price of its tokens now; nil: nothing ever does.
func (e *Engine) caps() func(batholith.Job) ([]batholith.Cap, batholith.Price) {
	if e.o.Caps == nil {
		return nil
	}
	return func(j batholith.Job) (caps []batholith.Cap, price batholith.Price) {
		if e.o.Price != nil {
			price = e.o.Price(j.Model, j.ModelID)
		}
		return e.o.Caps(j), price
	}
}
