package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/jsonl"
)

// What does not fit into memory is found all the same, and leaves nothing on the disk.
func TestIDsThatComeAgainAreFoundWhereverTheyAreKept(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	r := rand.New(rand.NewPCG(1, 2))
	var pages [][]jsonl.Entry
	again, missing := int64(0), int64(0)
	seen := map[uint64]string{}
	var want []jsonl.Found
	for file := range 40 {
		var es []jsonl.Entry
		for line := range int64(100) {
			e := jsonl.Entry{Line: line + 1, IDHash: r.Uint64N(3000)}
			es = append(es, e)
			at := fmt.Sprintf("f%d:%d", file, e.Line)
			switch first := seen[e.IDHash]; {
			case e.IDHash == 0:
				missing++
			case first == "":
				seen[e.IDHash] = at
			default:
				again++
				want = append(want, jsonl.Found{File: file, Problem: jsonl.Problem{Line: e.Line, Reason: "the recordId is that of " + first}})
			}
		}
		pages = append(pages, es)
	}
	for _, most := range []int{7, 1000, 1 << 20} {
		s := &idSet{most: most}
		for _, file := range r.Perm(len(pages)) { // files end in any order
			if err := s.add(file, pages[file]); err != nil {
				t.Fatal(err)
			}
		}
		first := jsonl.NewFirst(50)
		n, err := s.repeated(first, func(file int) string { return fmt.Sprintf("f%d", file) })
		s.close()
		if err != nil || n != again || s.missing != missing {
			t.Errorf("%d in memory: %d again and %d missing, %v; want %d and %d", most, n, s.missing, err, again, missing)
		}
		if diff := cmp.Diff(want[:50], first.List()); diff != "" {
			t.Errorf("%d in memory (-want +got):\n%s", most, diff)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%d left in the temporary directory, %v", len(left), err)
	}
}

func TestBodiesOfTheOtherTypeAreOneWarningPerFile(t *testing.T) {
	shape := otherShape + "Converse; set modelInvocationType to Converse"
	list := []located{{File: "a", Line: 1, Reason: shape}, {File: "a", Line: 2, Reason: "max_tokens: Field required"}, {File: "a", Line: 3, Reason: shape + " (b)"},
		{File: "a", Line: 4, Reason: shape}, {File: "b", Line: 1, Reason: shape}, {File: "c", Line: 7, Reason: shape}, {File: "c", Line: 8, Reason: shape}}
	for all, least := range map[int64]string{7: "", 5000: "at least "} {
		want := []located{{File: "a", Line: 1, Reason: shape + "; the same holds for " + least + "2 other lines of this file"}, list[1], list[4],
			{File: "c", Line: 7, Reason: shape + "; the same holds for " + least + "1 other line of this file"}}
		if diff := cmp.Diff(want, onePerFile(list, all)); diff != "" {
			t.Errorf("%d warnings (-want +got):\n%s", all, diff)
		}
	}
}
