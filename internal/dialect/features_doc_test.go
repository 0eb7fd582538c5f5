package dialect

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// The lines of docs/models.md between which the tables of features stand.
const (
	featuresBegin = "<!-- features: begin; written by `go test ./internal/dialect -run TestTheDocumentationTellsEveryFeature -update` -->\n"
	featuresEnd   = "<!-- features: end -->\n"
)

// probe is one line of testdata/features.txt.
type probe struct {
	feature string
	body    value
}

// probedFamily is one section of it.
type probedFamily struct {
	name   string
	base   value
	probes []probe
}

func readProbes(t *testing.T) (all []probedFamily) {
	text, err := os.ReadFile("testdata/features.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "== "):
			name, body, _ := strings.Cut(line[len("== "):], " {")
			all = append(all, probedFamily{name: name, base: value("{" + body)})
		default:
			feature, over, ok := strings.Cut(line, " :: ")
			if !ok {
				t.Fatalf("no probe: %s", line)
			}
			f := &all[len(all)-1]
			f.probes = append(f.probes, probe{feature, overlaid(t, f.base, value(over))})
		}
	}
	return all
}

// dialectWith is that of a section, for a protocol.
func (f probedFamily) dialectWith(protocol string) (Dialect, error) {
	name, _, _ := strings.Cut(f.name, " (")
	typ := batholith.InvokeModel
	if name == "converse" {
		name, typ = "openai", batholith.Converse
	}
	return For(name, protocol, typ, Options{Names: []string{"m"}, Documents: Unread{}})
}

// fateOf is what becomes of a feature: works, mapped, ignored or refused.
func fateOf(t *testing.T, d Dialect, base, body value) string {
	plain, err := d.Request(base, "served")
	if err != nil {
		t.Errorf("%s: %v", base, err)
	}
	call, err := d.Request(body, "served")
	switch {
	case err != nil:
		return "refused"
	case len(call.Changes.Dropped) > len(plain.Changes.Dropped):
		return "ignored"
	case len(call.Changes.Mapped) > len(plain.Changes.Mapped):
		return "mapped"
	}
	return "works"
}

func TestTheDocumentationTellsEveryFeature(t *testing.T) {
	const file = "../../docs/models.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := bytes.Cut(doc, []byte(featuresBegin))
	had, after, ended := bytes.Cut(rest, []byte(featuresEnd))
	if !begun || !ended {
		t.Fatalf("%s has no place for the tables of features", file)
	}
	want := featuresTables(t)
	switch {
	case string(had) == want:
	case *update:
		all := bytes.Join([][]byte{before, []byte(featuresBegin), []byte(want), []byte(featuresEnd), after}, nil)
		if err := os.WriteFile(file, all, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s tells other features than the dialects have; run go test ./internal/dialect -run %s -update", file, t.Name())
	}
}

// featuresTables is one table for each protocol that differs from those before it.
func featuresTables(t *testing.T) string {
	var b strings.Builder
	tables := map[string][]string{} // protocols by their table
	var order []string
	for _, p := range Protocols() {
		table := featuresTable(t, p)
		if tables[table] == nil {
			order = append(order, table)
		}
		tables[table] = append(tables[table], p)
	}
	for _, table := range order {
		fmt.Fprintf(&b, "Backends with the protocol %s:\n\n%s\n", strings.Join(tables[table], ", "), table)
	}
	return b.String()
}

// featuresTable has a row for each feature and a column for each family that has features of the same kind.
func featuresTable(t *testing.T, protocol string) string {
	var b strings.Builder
	families := readProbes(t)
	split := slices.IndexFunc(families, func(f probedFamily) bool { return strings.HasSuffix(f.name, "-embed") })
	for _, group := range [][]probedFamily{families[:split], families[split:]} {
		var features []string
		cells := map[string]string{}
		head := "| |"
		for _, f := range group {
			head += " " + f.name + " |"
			for _, p := range append(f.probes, probe{streamedFeature, f.base}) {
				if !slices.Contains(features, p.feature) {
					features = append(features, p.feature)
				}
				cells[f.name+" "+p.feature] = f.cell(t, protocol, p)
			}
		}
		fmt.Fprintf(&b, "%s\n|%s\n", head, strings.Repeat(" --- |", len(group)+1))
		for _, feature := range features {
			b.WriteString("| " + feature + " |")
			for _, f := range group {
				fmt.Fprintf(&b, " %s |", cells[f.name+" "+feature])
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// streamedFeature is the row of streams, which is no part of a body.
const streamedFeature = "streamed answer"

// cell is what a protocol makes of a feature of a family.
func (f probedFamily) cell(t *testing.T, protocol string, p probe) string {
	d, err := f.dialectWith(protocol)
	if err != nil {
		return "refused"
	}
	if _, err := d.Request(f.base, "served"); err != nil && protocol != ProtocolOpenAI {
		return "refused" // one of the family's formats, which this protocol cannot carry
	}
	if p.feature != streamedFeature {
		return fateOf(t, d, f.base, p.body)
	}
	if s, ok := d.(Streamer); ok {
		if _, err := s.StreamRequest(f.base, "served"); err == nil {
			return "works"
		}
	}
	return "refused"
}
