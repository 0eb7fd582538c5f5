package batholith

import (
	"fmt"
	"math/big"
	"strings"
)

// Money is an exact amount of some currency, in units of 10^-12. The zero value is 0. Sums and products of prices and token counts have no
// rounding.
type Money struct{ units *big.Int } // nil: 0; never changed once it is here

// moneyDigits is the number of decimals of an amount, priceDigits that of a price per million tokens.
const (
	moneyDigits = 12
	priceDigits = moneyDigits - 6
)

// ParseMoney reads a decimal number with at most 12 decimals that is not negative.
func ParseMoney(text string) (Money, error) {
	n, err := parseDecimal(text, moneyDigits)
	return Money{n}, err
}

// parseDecimal reads a decimal number as a whole number of units of 10^-digits.
func parseDecimal(text string, digits int) (*big.Int, error) {
	whole, part, point := strings.Cut(strings.TrimSpace(text), ".")
	if whole == "" || point && part == "" || len(part) > digits || strings.Trim(whole+part, "0123456789") != "" || len(whole) > 12 {
		return nil, fmt.Errorf("%q is not an amount; write a number that is not negative, with at most %d decimals, such as 0.15", text, digits)
	}
	n, _ := new(big.Int).SetString(whole+part+strings.Repeat("0", digits-len(part)), 10)
	return n, nil
}

// Add returns the sum.
func (m Money) Add(n Money) Money {
	switch {
	case m.units == nil:
		return n
	case n.units == nil:
		return m
	}
	return Money{new(big.Int).Add(m.units, n.units)}
}

// Cmp compares two amounts of one currency: -1, 0 or 1.
func (m Money) Cmp(n Money) int {
	zero := new(big.Int)
	a, b := m.units, n.units
	if a == nil {
		a = zero
	}
	if b == nil {
		b = zero
	}
	return a.Cmp(b)
}

// IsZero reports whether the amount is 0.
func (m Money) IsZero() bool { return m.units == nil || m.units.Sign() == 0 }

// String is the exact amount as a decimal number, without zeros at its end.
func (m Money) String() string {
	if m.IsZero() {
		return "0"
	}
	digits := fmt.Sprintf("%0*s", moneyDigits+1, m.units.String())
	cut := len(digits) - moneyDigits
	return strings.TrimSuffix(digits[:cut]+"."+strings.TrimRight(digits[cut:], "0"), ".")
}

// MarshalText is String.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMoney.
func (m *Money) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMoney(string(text))
	return err
}

// Price is what the tokens of a model cost, in 10^-6 of the currency for a million tokens. The zero Price is unknown.
type Price struct {
	Input, Output, Cached int64
	Currency              string // such as USD; empty: there is no price
}

// ParsePrice reads what String has written. The empty text is no price.
func ParsePrice(text string) (Price, error) {
	if text == "" {
		return Price{}, nil
	}
	f := strings.Fields(text)
	if len(f) != 4 {
		return Price{}, fmt.Errorf("%q is not a price", text)
	}
	return NewPrice(f[0], f[1], f[2], f[3])
}

// NewPrice makes a price of decimal amounts of the currency for a million tokens, each with at most 6 decimals. An empty cached is input.
func NewPrice(input, output, cached, currency string) (p Price, err error) {
	if cached == "" {
		cached = input
	}
	p.Currency = currency
	for i, to := range []*int64{&p.Input, &p.Output, &p.Cached} {
		n, err := parseDecimal([]string{input, output, cached}[i], priceDigits)
		if err != nil {
			return Price{}, err
		}
		if !n.IsInt64() {
			return Price{}, fmt.Errorf("%s is too large for a price", n)
		}
		*to = n.Int64()
	}
	return p, nil
}

// Known reports whether there is a price.
func (p Price) Known() bool { return p.Currency != "" }

// String is the price in the database: input, output, cached and currency. It is empty if there is none.
func (p Price) String() string {
	if !p.Known() {
		return ""
	}
	decimal := func(n int64) string {
		return Money{new(big.Int).Mul(big.NewInt(n), big.NewInt(1e6))}.String()
	}
	return decimal(p.Input) + " " + decimal(p.Output) + " " + decimal(p.Cached) + " " + p.Currency
}

// Cost is what tokens cost. Tokens that were read from a cache have a price of their own.
func (p Price) Cost(t Tokens) Money {
	cached := min(t.CacheRead, t.Input)
	sum := new(big.Int)
	for _, part := range [][2]int64{{t.Input - cached, p.Input}, {cached, p.Cached}, {t.Output, p.Output}} {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(max(part[0], 0)), big.NewInt(part[1])))
	}
	return Money{sum}
}

// Spent is what records took: of one job, or of a group of jobs.
type Spent struct {
	Day                       int64 // see DayOf; 0 in a group that is not by day
	Account, Principal, Model string
	Job                       string
	Price                     string // see Price.String; "": there was none
	Records, Errors           int64  // that ended, and with an error line
	Attempts, Repeats         int64  // requests, and those that were not the first for their record
	Canaries                  int64  // requests of Batholith's own
	Tokens                    Tokens // of answers that were used
	Wasted                    Tokens // of answers that could not be used; not part of Tokens
}

// Add adds the counters of another group.
func (s Spent) Add(t Spent) Spent {
	s.Records, s.Errors = Sum(s.Records, t.Records), Sum(s.Errors, t.Errors)
	s.Attempts, s.Repeats, s.Canaries = Sum(s.Attempts, t.Attempts), Sum(s.Repeats, t.Repeats), Sum(s.Canaries, t.Canaries)
	s.Tokens, s.Wasted = s.Tokens.Add(t.Tokens), s.Wasted.Add(t.Wasted)
	return s
}

// Cost is what the tokens cost, wasted ones included, at the price of their time. It is false if there was no price.
func (s Spent) Cost() (cost Money, currency string, known bool) {
	p, err := ParsePrice(s.Price)
	if err != nil || !p.Known() {
		return Money{}, "", false
	}
	return p.Cost(s.Tokens).Add(p.Cost(s.Wasted)), p.Currency, true
}

// Costs adds up what groups cost, by currency.
func Costs(all []Spent) map[string]Money {
	sums := map[string]Money{}
	for _, s := range all {
		if cost, currency, known := s.Cost(); known {
			sums[currency] = sums[currency].Add(cost)
		}
	}
	return sums
}

// SpentQuery selects what was spent, and the groups that it is added up in.
type SpentQuery struct {
	Account     string
	Principal   string   // "": all
	Since       int64    // first day
	Until       int64    // first day that is not wanted; 0: no bound
	Jobs        []string // only these jobs; nil: all
	ByDay       bool
	ByJob       bool
	ByModel     bool
	ByPrincipal bool
}
