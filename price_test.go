package batholith_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/batholith/batholith"
)

func TestMoneyIsExact(t *testing.T) {
	p, err := batholith.NewPrice("0.15", "0.6", "0.075", "USD")
	if err != nil {
		t.Fatal(err)
	}
	var sum batholith.Money
	for range 1_000_000 {
		sum = sum.Add(p.Cost(batholith.Tokens{Input: 3, Output: 1, CacheRead: 1}))
	}
	if want := "0.975"; sum.String() != want { // 2 × 0.15 + 0.075 + 0.6
		t.Errorf("%s, want %s", sum, want)
	}
	if again, err := batholith.ParsePrice(p.String()); err != nil || again != p {
		t.Errorf("%q is read as %v, %v", p.String(), again, err)
	}
	most := p.Cost(batholith.Tokens{Input: math.MaxInt64, Output: math.MaxInt64})
	if want := "6917529027641.08185525"; most.String() != want { // 0.75 × (2^63-1) / 10^6
		t.Errorf("%s, want %s", most, want)
	}
	for text, want := range map[string]string{"0": "0", "12": "12", "0.000000000001": "0.000000000001", "1.50": "1.5", "100": "100"} {
		m, err := batholith.ParseMoney(text)
		if err != nil || m.String() != want {
			t.Errorf("%q is read as %s, %v", text, m, err)
		}
		body, err := json.Marshal(m)
		var back batholith.Money
		if err != nil || json.Unmarshal(body, &back) != nil || back.Cmp(m) != 0 {
			t.Errorf("%s is %s in JSON, and %s again", m, body, back)
		}
	}
	for _, text := range []string{"", "-1", "1e3", "1.", ".5", "0.0000000000001", "NaN", "1,5", "9999999999999"} {
		if m, err := batholith.ParseMoney(text); err == nil {
			t.Errorf("%q is taken for %s", text, m)
		}
	}
}

func TestACachedTokenHasItsPriceAndNoPriceIsNoCost(t *testing.T) {
	p, err := batholith.NewPrice("2", "3", "", "EUR")
	if err != nil || p.Cached != p.Input {
		t.Errorf("without a price for cached tokens: %+v, %v", p, err)
	}
	free, _ := batholith.NewPrice("0", "0", "", "EUR")
	s := batholith.Spent{Tokens: batholith.Tokens{Input: 10, Output: 10}, Wasted: batholith.Tokens{Output: 5}}
	for price, want := range map[string]string{"": "unknown", free.String(): "0 EUR", p.String(): "0.000065 EUR"} {
		s.Price = price
		got := "unknown"
		if cost, currency, known := s.Cost(); known {
			got = cost.String() + " " + currency
		}
		if got != want {
			t.Errorf("price %q: %s, want %s", price, got, want)
		}
	}
}
