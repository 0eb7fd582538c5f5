package config

import (
	"strings"
	"testing"
)

func TestAModelHasThePriceOfItsNameOrThatOfAll(t *testing.T) {
	c, err := load(t, `
currency: EUR
prices:
  - {model: small, input: 0.15, output: 0.6, cached: 0.075}
  - {model: "*", input: 1, output: 2}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"small": "0.15 0.6 0.075 EUR", "other": "1 2 1 EUR"} {
		if got := c.Price("id", name).String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := Default(ProfileDefault).Price("small").String(); got != "" {
		t.Errorf("without prices: %s", got)
	}
	for text, want := range map[string]string{
		"prices: [{model: a, input: 1}]":                                             "prices[0].output: it is missing",
		"prices: [{model: a, input: -1, output: 2}]":                                 "prices[0].input: \"-1\" is not an amount",
		"prices: [{input: 1, output: 2}]":                                            "prices[0].model: the price names no model",
		"prices: [{model: a, input: 1, output: 2}, {model: a, input: 1, output: 2}]": "the model a has a price already",
		"prices: [{model: a, input: 1, output: 2, cached: 0.0000001}]":               "prices[0].cached: \"0.0000001\" is not an amount",
		"currency: euros": "currency: \"euros\" is not a currency",
	} {
		if _, err := load(t, text, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
