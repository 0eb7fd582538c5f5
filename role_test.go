package batholith

import "testing"

func TestARoleIsThatOfItsNearestEntry(t *testing.T) {
	const of = "arn:aws:iam::000000000000:role/"
	entries := []string{of + "batholith", of + "batch-*", of + "*", of + "*-prod", of + "batch-*-x-*-y", of + "service-role/*"}
	for name, want := range map[string]string{
		"batholith":             "batholith",
		"batch-":                "batch-*",
		"batch-a":               "batch-*",
		"batch-prod":            "batch-*", // as many characters as *-prod has, and less of them wild
		"my-prod":               "*-prod",
		"batch-a-x-b-y":         "batch-*-x-*-y",
		"batch-a-x-y":           "batch-*", // the two halves do not overlap
		"batch-a-x--y":          "batch-*-x-*-y",
		"other":                 "*",
		"service-role/x":        "service-role/*",
		"path/below/MyOwnRole1": "*",
	} {
		if got, ok := RoleOf(entries, of+name); !ok || got != of+want {
			t.Errorf("%s: %s, %v, want %s", name, got, ok, want)
		}
	}
	for _, other := range []string{"", "arn:aws:iam::111111111111:role/x", "arn:aws:iam::000000000000:user/x", of[:len(of)-1]} {
		if got, ok := RoleOf(entries, other); ok {
			t.Errorf("%s: %s", other, got)
		}
	}
	if _, ok := RoleOf(entries[1:2], of+"batch"); ok {
		t.Error("batch is no batch-*")
	}
}
