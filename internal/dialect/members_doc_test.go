package dialect

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The lines of docs/compatibility.md between which the tables of members stand.
const (
	membersBegin = "<!-- members: begin; written by `go test ./internal/dialect -run TestTheDocumentationHasEveryMember -update` -->\n"
	membersEnd   = "<!-- members: end -->\n"
)

func TestTheDocumentationHasEveryMember(t *testing.T) {
	const file = "../../docs/compatibility.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := bytes.Cut(doc, []byte(membersBegin))
	had, after, ended := bytes.Cut(rest, []byte(membersEnd))
	if !begun || !ended {
		t.Fatalf("%s has no place for the tables of members", file)
	}
	want := membersTables()
	switch {
	case string(had) == want:
	case *update:
		all := bytes.Join([][]byte{before, []byte(membersBegin), []byte(want), []byte(membersEnd), after}, nil)
		if err := os.WriteFile(file, all, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s tells other members than the tables in members*.go; run go test ./internal/dialect -run %s -update", file, t.Name())
	}
}

// membersTables is one table, a row for each object of each family.
func membersTables() string {
	var b strings.Builder
	b.WriteString("| family, object | taken | mapped | checked | ignored | refused |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, table := range tables {
		for _, o := range table.objects {
			if len(o.rules) == 0 {
				continue
			}
			place := "**" + table.family + "**"
			if o.path != "" {
				place = table.family + ": `" + o.path + "`"
			}
			fmt.Fprintf(&b, "| %s |", place)
			for _, f := range []Fate{FateTaken, FateMapped, FateChecked, FateIgnored, FateRefused} {
				fmt.Fprintf(&b, " %s |", o.listed(f))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// listed are the members with a fate, each with its note. Refusals say themselves why.
func (o *members) listed(f Fate) string {
	var list []string
	for _, name := range o.names(f) {
		word := "`" + name + "`"
		r := o.rules[name]
		switch {
		case r.to != "" && r.to != name:
			word += " → `" + r.to + "`"
		case r.note != "" && (f == FateMapped || f == FateChecked):
			word += " (" + r.note + ")"
		}
		list = append(list, word)
	}
	return strings.Join(list, ", ")
}
