package batholith

import "strings"

// MatchRole tells whether an entry of the settings, an ARN whose last part may hold wildcards, stands for the role arn. A * stands for any
// characters, slashes included, as in IAM's policies.
func MatchRole(entry, arn string) bool {
	first, rest, wild := strings.Cut(entry, "*")
	if !wild {
		return entry == arn
	}
	arn, ok := strings.CutPrefix(arn, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		if _, arn, ok = strings.Cut(arn, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(arn, parts[len(parts)-1])
}

// RoleOf returns the entry of the settings that stands for the role arn, or false when none does. An entry without wildcards comes before one
// with, then the one with more characters beside its wildcards, then the first.
func RoleOf(entries []string, arn string) (entry string, ok bool) {
	weight := func(e string) int {
		if !strings.Contains(e, "*") {
			return len(arn) + 1 // more than any with a wildcard that matches
		}
		return len(e) - strings.Count(e, "*")
	}
	for _, e := range entries {
		if MatchRole(e, arn) && (!ok || weight(e) > weight(entry)) {
			entry, ok = e, true
		}
	}
	return entry, ok
}
