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
