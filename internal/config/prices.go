package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// Sample returns the size of a job's sample in records; 0: no sample.
func (c *Config) Sample(j batholith.Job) int { return j.Sample(c.Canary) }

// Caps returns what bounds what a job may take: its tags, and the budgets of its principal.
func (c *Config) Caps(j batholith.Job) []batholith.Cap {
	caps := batholith.CapsOf(j.Tags, c.Currency)
	own := slices.ContainsFunc(c.Budgets, func(b Budget) bool { return b.Principal == j.Owner && cmp.Or(b.Account, c.Account) == j.Account })
	for _, b := range c.Budgets {
		name := b.Principal
		if !own && name == everyModel {
			name = j.Owner
		}
		if name != j.Owner || cmp.Or(b.Account, c.Account) != j.Account {
			continue
		}
		micros := int64(0)
		if b.Cost != "" {
			micros, _ = batholith.ParseMaxCost(b.Cost) // checked
		}
		per := cmp.Or(b.Per, "day")
		caps = append(caps, batholith.Cap{Name: fmt.Sprintf("the budget of %s for a %s", plain.Line(j.Owner), per), Principal: j.Owner, Monthly: per == "month", Tokens: b.Tokens, Micros: micros, Currency: c.Currency})
	}
	return caps
}

// checkBudgets checks the budgets.
func (l *loader) checkBudgets() {
	for i, b := range l.config.Budgets {
		path := fmt.Sprintf("budgets[%d]", i)
		if b.Principal == "" {
			l.bad(path+".principal", "write the name of a principal, or \"*\" for all others", "the budget names no principal")
		}
		if b.Per != "" {
			l.oneOf(path+".per", b.Per, "day", "month")
		}
		if b.Tokens < 0 {
			l.bad(path+".tokens", "write 0 for no bound", "it is negative")
		}
		if b.Cost != "" {
			if _, err := batholith.ParseMaxCost(b.Cost); err != nil {
				l.bad(path+".cost", "write an amount above 0, such as 20", "%v", err)
			}
		}
		if b.Tokens == 0 && b.Cost == "" {
			l.bad(path, "write tokens or cost", "the budget bounds nothing")
		}
	}
}

// currencies matches the code of a currency (ISO 4217).
var currencies = regexp.MustCompile(`^[A-Z]{3}$`)

// everyModel is the model of a price that counts for all models without one of their own.
const everyModel = "*"

// Price returns what the tokens of a model cost. names are its id and aliases; the first that has an entry decides. Without one the zero
// Price is returned.
func (c *Config) Price(names ...string) batholith.Price {
	for _, name := range append(names, everyModel) {
		for _, p := range c.Prices {
			if p.Model == name {
				price, _ := batholith.NewPrice(p.Input, p.Output, p.Cached, c.Currency) // checked
				return price
			}
		}
	}
	return batholith.Price{}
}

// checkPrices checks the prices.
func (l *loader) checkPrices() {
	c := l.config
	if c.Canary < 0 || c.Canary > batholith.MaxSample {
		l.bad("canary", fmt.Sprintf("write 0 for none, or at most %d", batholith.MaxSample), "%d is not possible", c.Canary)
	}
	if !currencies.MatchString(c.Currency) {
		l.bad("currency", "write the three letters of a currency, such as USD or EUR", "%q is not a currency", c.Currency)
	}
	l.checkBudgets()
	seen := map[string]bool{}
	for i, p := range c.Prices {
		path := fmt.Sprintf("prices[%d]", i)
		switch {
		case p.Model == "":
			l.bad(path+".model", "write the id of a model, or \"*\" for all others", "the price names no model")
		case seen[p.Model]:
			l.bad(path+".model", "remove one of them", "the model %s has a price already", p.Model)
		}
		seen[p.Model] = true
		for key, amount := range map[string]string{"input": p.Input, "output": p.Output} {
			if amount == "" {
				l.bad(path+"."+key, "write the price of a million tokens; 0 if they are free", "it is missing")
			} else if _, err := batholith.NewPrice(amount, "0", "", "USD"); err != nil {
				l.bad(path+"."+key, "write the price of a million tokens", "%v", err)
			}
		}
		if p.Cached != "" {
			if _, err := batholith.NewPrice("0", "0", p.Cached, "USD"); err != nil {
				l.bad(path+".cached", "write the price of a million tokens", "%v", err)
			}
		}
	}
}
