package batholith

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
)

// The tags of a job that bound what it may take: tokens, in and out, and money in the currency of the settings. Wasted tokens count.
const (
	MaxTokensTag = "batholith:max-tokens"
	MaxCostTag   = "batholith:max-cost"
)

// Amount is a number of tokens and what they cost, in 10^-6 of the currency, rounded up.
type Amount struct{ Tokens, Micros int64 }

// Add returns the sum. It does not overflow: see [Sum].
func (a Amount) Add(b Amount) Amount { return Amount{Sum(a.Tokens, b.Tokens), Sum(a.Micros, b.Micros)} }

// Micros is the amount in 10^-6 of the currency, rounded up, at most 2^63-1.
func (m Money) Micros() int64 {
	if m.units == nil {
		return 0
	}
	n := new(big.Int).Add(m.units, big.NewInt(1e6-1))
	if n.Quo(n, big.NewInt(1e6)); !n.IsInt64() {
		return math.MaxInt64
	}
	return n.Int64()
}

// Cap bounds what a job, or all jobs of a principal in a day or a month of UTC, may take.
type Cap struct {
	Name      string // for messages, such as: the cap of the tag batholith:max-tokens
	Principal string // whose jobs; "": only the job itself, over its whole time
	Monthly   bool   // of a principal: in a month; else in a day
	Tokens    int64  // in and out; 0: no bound
	Micros    int64  // 10^-6 of the currency; 0: no bound
	Currency  string
}

// Since returns the first day that counts for the cap, and when a new period begins; zero: never.
func (c Cap) Since(now time.Time) (day int64, next time.Time) {
	if c.Principal == "" {
		return 0, time.Time{}
	}
	now = now.UTC()
	from, next := now.Truncate(24*time.Hour), now.Truncate(24*time.Hour).AddDate(0, 0, 1)
	if c.Monthly {
		from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
		next = from.AddDate(0, 1, 0)
	}
	return DayOf(from), next
}

// Allowance is what the caps of a job leave.
type Allowance struct {
	Granted bool   // the wanted amount is reserved
	Left    Amount // that could be reserved
	Cap     Cap    // the tightest cap, if it is not granted
	Used    Amount // of that cap: stored, and reserved by all workers
	Next    time.Time
}

// ParseMaxTokens reads the value of [MaxTokensTag], ParseMaxCost that of [MaxCostTag].
func ParseMaxTokens(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a number of tokens above 0", value)
	}
	return n, nil
}

// ParseMaxCost returns 10^-6 of the currency.
func ParseMaxCost(value string) (int64, error) {
	m, err := ParseMoney(value)
	if err == nil && m.IsZero() {
		err = fmt.Errorf("%q is no amount above 0", value)
	}
	return m.Micros(), err
}

// CapsOf returns the caps that a job's tags set. A value that cannot be read is no cap: Create refuses it.
func CapsOf(tags []Tag, currency string) (caps []Cap) {
	for _, t := range tags {
		switch t.Key {
		case MaxTokensTag:
			if n, err := ParseMaxTokens(t.Value); err == nil {
				caps = append(caps, Cap{Name: "the cap of the tag " + t.Key, Tokens: n, Currency: currency})
			}
		case MaxCostTag:
			if n, err := ParseMaxCost(t.Value); err == nil {
				caps = append(caps, Cap{Name: "the cap of the tag " + t.Key, Micros: n, Currency: currency})
			}
		}
	}
	return caps
}
