package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Closest returns the candidate with the fewest edits ([Distance]) from word, without regard to
// case. It returns "" if none is within 1 + len(word)/4 edits. It serves "did you mean …?".
func Closest(word string, candidates []string) string {
	best, limit := "", 1+len(word)/4
	for _, c := range candidates {
		if d := Distance(strings.ToLower(word), strings.ToLower(c)); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// nearestShown is how many candidates Nearest names.
const nearestShown = 10

// Nearest lists up to 10 candidates for a message, the most similar to word first: "a, b, c and 4
// more". Candidates that contain word, or are contained in it, come before all others. It returns
// "none" if there are no candidates.
func Nearest(word string, candidates []string) string {
	if len(candidates) == 0 {
		return "none"
	}
	word = strings.ToLower(word)
	// +1000 sorts candidates that neither contain word nor are contained in it last.
	edits := func(c string) int {
		c = strings.ToLower(c)
		d := Distance(word, c)
		if !strings.Contains(c, word) && !strings.Contains(word, c) {
			d += 1000
		}
		return d
	}
	all := slices.Clone(candidates)
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(edits(a), edits(b)) })
	text := strings.Join(all[:min(len(all), nearestShown)], ", ")
	if n := len(all) - nearestShown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// Distance is the least number of edits that turn a into b: insertions, deletions and
// substitutions of a byte, and swaps of two neighbours (optimal string alignment distance).
func Distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}

// Akin returns the candidates that share the most words with a name in CamelCase, those with the fewest words of
// their own if several do. It serves names that Closest does not find, because whole words are missing: CreateJob
// for CreateModelInvocationJob. A candidate shares at least two thirds of the words of name, in any order and number
// (Jobs is Job). best is empty if none does. all reports that best shares every word.
func Akin(name string, candidates []string) (best []string, all bool) {
	words := parts(name)
	most, own := 0, 0
	for _, c := range candidates {
		theirs := parts(c)
		shared := 0
		for _, w := range words {
			if slices.Contains(theirs, w) {
				shared++
			}
		}
		switch {
		case shared == 0 || 3*shared < 2*len(words) || shared < most:
			continue
		case shared > most || len(theirs) < own:
			best, most, own = nil, shared, len(theirs)
		case len(theirs) > own:
			continue
		}
		best = append(best, c)
	}
	return best, most == len(words)
}

// parts returns the words of a name in CamelCase or with signs between them, in lower case and without a final s.
func parts(name string) (all []string) {
	word := ""
	end := func() {
		if word != "" {
			all = append(all, strings.TrimSuffix(strings.ToLower(word), "s"))
		}
		word = ""
	}
	for i, r := range name {
		letter := r == '*' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter || i > 0 && r >= 'A' && r <= 'Z' && !(name[i-1] >= 'A' && name[i-1] <= 'Z') {
			end()
		}
		if letter {
			word += string(r)
		}
	}
	end()
	return all
}
