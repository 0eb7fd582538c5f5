package dialect

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// sample is one line of testdata/members.txt.
type sample struct {
	family, path, want string
	body               value
}

// readSamples lays each sample over the body of its family.
func readSamples(t *testing.T) (all []sample) {
	text, err := os.ReadFile("testdata/members.txt")
	if err != nil {
		t.Fatal(err)
	}
	var family string
	var base value
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "== "):
			name, body, _ := strings.Cut(line[len("== "):], " {")
			family, base = name, value("{"+body)
		default:
			parts := strings.Split(line, " :: ")
			if len(parts) < 2 {
				t.Fatalf("no sample: %s", line)
			}
			s := sample{family: family, path: parts[0], want: "M4RK", body: overlaid(t, base, value(parts[1]))}
			if len(parts) > 2 {
				s.want = parts[2]
			}
			all = append(all, s)
		}
	}
	return all
}

// overlaid is a body with other members in it.
func overlaid(t *testing.T, base, over value) value {
	for _, v := range []value{base, over} {
		if _, err := object(v); err != nil {
			t.Fatalf("%s: %v", v, err)
		}
	}
	var b buffer
	b.open('{')
	for name, v := range base.fields() {
		if over.member(name.text()) == nil {
			b.member(name.text(), v)
		}
	}
	for name, v := range over.fields() {
		b.member(name.text(), v)
	}
	b.close('}')
	return value(b)
}

// dialectOf is that of a table.
func dialectOf(t *testing.T, table string) Dialect {
	family, _, _ := strings.Cut(table, " (")
	typ := batholith.InvokeModel
	if family == "converse" {
		family, typ = "openai", batholith.Converse
	}
	d, err := For(family, ProtocolOpenAI, typ, Options{Names: []string{"the-model"}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tableRules are the rules of every table, by family and path.
func tableRules() map[[2]string]*rule {
	all := map[[2]string]*rule{}
	for _, table := range tables {
		for _, o := range table.objects {
			for name, r := range o.rules {
				path := name
				if o.path != "" {
					path = o.path + "." + name
				}
				all[[2]string{table.family, path}] = r
			}
		}
	}
	return all
}

// TestNoMemberVanishes sends each member of each table alone: it is in what is sent, or counted, or it is the error that names it.
func TestNoMemberVanishes(t *testing.T) {
	rules := tableRules()
	for _, s := range readSamples(t) {
		at := [2]string{s.family, s.path}
		r := rules[at]
		if r == nil {
			t.Errorf("%s: %s is in no table, or has two samples", s.family, s.path)
			continue
		}
		delete(rules, at)
		call, err := dialectOf(t, s.family).Request(s.body, "served")
		e, refused := errors.AsType[*batholith.RecordError](err)
		fate := r.fate
		if s.want == "error" {
			fate = FateRefused
		}
		switch fate {
		case FateRefused, FateChecked:
			if !refused || !strings.Contains(e.Message, r.name) {
				t.Errorf("%s: %s: %s is not refused by name: %s, %v", s.family, s.path, s.body, call.Body, err)
			}
		case FateIgnored:
			if err != nil || !slices.Contains(call.Changes.Dropped, r.path) {
				t.Errorf("%s: %s: %s is not counted as dropped: %v, %v", s.family, s.path, s.body, call.Changes, err)
			}
		case FateMapped:
			if err != nil || !slices.Contains(call.Changes.Mapped, r.path) {
				t.Errorf("%s: %s: %s is not counted as mapped: %v, %v", s.family, s.path, s.body, call.Changes, err)
			}
			fallthrough
		default:
			if err != nil || !strings.Contains(string(call.Body), s.want) {
				t.Errorf("%s: %s: %s is sent as %s, without %s (%v)", s.family, s.path, s.body, call.Body, s.want, err)
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(rules), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
		t.Errorf("%s: %s has no sample in testdata/members.txt", at[0], at[1])
	}
}

// TestAMemberOfNoTableIsRefusedByNameOrSent puts an unknown member into every object of every sample and of every golden request.
func TestAMemberOfNoTableIsRefusedByNameOrSent(t *testing.T) {
	const name, mark = "zz_unknown", "UNKN0WN"
	check := func(d Dialect, of string, body value) {
		if _, err := d.Request(body, "served"); err != nil {
			return // it is refused for something else
		}
		for variant, ancestors := range withUnknown(body, `"`+name+`":"`+mark+`"`) {
			call, err := d.Request(variant, "served")
			switch e, refused := errors.AsType[*batholith.RecordError](err); {
			case refused && strings.Contains(e.Message, name):
			case err == nil && strings.Contains(string(call.Body), mark):
			case err == nil && slices.ContainsFunc(call.Changes.Dropped, func(dropped string) bool {
				return slices.Contains(ancestors, dropped[strings.LastIndexByte(dropped, '.')+1:])
			}):
			default:
				t.Errorf("%s: of %s the unknown member is gone: %s, %v, %v", of, variant, call.Body, call.Changes, err)
			}
		}
	}
	for _, s := range readSamples(t) {
		check(dialectOf(t, s.family), s.family+" "+s.path, s.body)
	}
	for _, file := range goldenFiles(t) {
		d, cases := readGolden(t, file)
		for _, g := range cases {
			if body, err := object(g.request); err == nil {
				check(d, file+" "+g.name, body)
			}
		}
	}
}

// withUnknown yields v with a member more in one of its objects, for each of them, and the names of the members that lead there.
func withUnknown(v value, member string) func(yield func(value, []string) bool) {
	return func(yield func(value, []string) bool) {
		var walk func(at int, ancestors []string) (end int, on bool)
		walk = func(at int, ancestors []string) (end int, on bool) {
			on = true
			switch v[at:].kind() {
			case '{':
				empty := v[space(v, at+1)] == '}'
				end = v.object(at, func(name value, from int) int {
					end := skip(v, from)
					if on {
						_, on = walk(from, append(slices.Clone(ancestors), name.text()))
					}
					return end
				})
				variant := slices.Concat(v[:at+1], value(member), value(","), v[at+1:])
				if empty {
					variant = slices.Concat(v[:at+1], value(member), v[at+1:])
				}
				return end, on && yield(variant, ancestors)
			case '[':
				return v.array(at, func(_, from int) int {
					end := skip(v, from)
					if on {
						_, on = walk(from, ancestors)
					}
					return end
				}), on
			}
			return skip(v, at), true
		}
		walk(0, nil)
	}
}
