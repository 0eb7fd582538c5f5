package batholith

import "strings"

// MatchRole reports whether a configured role matches the ARN arn. The entry may contain wildcards: * matches
// any characters, slashes included, as in IAM policies.
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

// RoleOf returns the configured role that matches arn, or false if none does. If several match, an entry
// without wildcards wins, then the one with the most characters besides its wildcards, then the first.
func RoleOf(entries []string, arn string) (entry string, ok bool) {
	// weight ranks an entry: the number of characters that are not wildcards. An exact match ranks above all.
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
