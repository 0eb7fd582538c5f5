package cli

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
)

// on is a screen of some columns; 0: a pipe.
func on(out *bytes.Buffer, columns int) *screen {
	s := &screen{out: out}
	if columns > 0 {
		s.columns = func() int { return columns }
	}
	return s
}

func jobsTable() *table {
	return &table{columns: []column{{name: "ID"}, {name: "NAME", least: 8}, {name: "MODEL", least: 12, optional: true}, {name: "STATUS"}, {name: "PROGRESS", least: 8}, {name: "AGE"}},
		rows: [][]cell{
			{{text: "8fj2k4l6m8n0"}, {text: "夜間バッチ処理の要約"}, {text: "anthropic.claude-3-haiku-20240307-v1:0"}, {text: "InProgress"}, {text: "120/500 24%"}, {text: "12m"}},
			{{text: "aaaaaaaaaaaa"}, {text: "nightly"}, {text: "m"}, {"Failed", red}, {text: "-"}, {text: "3h"}},
		}}
}

func TestATableKeepsToTheWidth(t *testing.T) {
	for columns, want := range map[int]string{
		0: `ID            NAME                  MODEL                                   STATUS      PROGRESS     AGE
8fj2k4l6m8n0  夜間バッチ処理の要約  anthropic.claude-3-haiku-20240307-v1:0  InProgress  120/500 24%  12m
aaaaaaaaaaaa  nightly               m                                       Failed      -            3h
`,
		80: `ID            NAME               MODEL              STATUS      PROGRESS     AGE
8fj2k4l6m8n0  夜間バッチ処理の…  anthropic.claude…  InProgress  120/500 24%  12m
aaaaaaaaaaaa  nightly            m                  Failed      -            3h
`,
		60: `ID            NAME              STATUS      PROGRESS     AGE
8fj2k4l6m8n0  夜間バッチ処理…   InProgress  120/500 24%  12m
aaaaaaaaaaaa  nightly           Failed      -            3h
`,
		24: `ID            NAME
8fj2k4l6m8n0  夜間バ…
aaaaaaaaaaaa  nightly
`,
	} {
		var out bytes.Buffer
		if err := jobsTable().write(on(&out, columns)); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", columns, out.String(), want)
		}
	}
}

// What people read fits the terminal whatever it holds; in a pipe nothing is cut. No word here is wider than 54 columns.
func TestOutputFitsTheWidthOfTheTerminal(t *testing.T) {
	words := rapid.SliceOf(rapid.StringMatching(`[a-z日本é😀\x1b]{1,9}`))
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(80, 200).Draw(t, "columns")
		text := strings.Join(words.Draw(t, "words"), " ")
		all := &bytes.Buffer{}
		write := func(s *screen) {
			a := &table{columns: []column{{name: "A", least: 3}, {name: "B"}}, rows: [][]cell{{{text: text}, {text: "x"}}}}
			_ = a.write(s)
			f := facts{screen: s, indent: 10}
			f.row("name", cell{text: text})
			_ = located{File: "f.jsonl", Line: 7, Reason: text}.write(s, "warning: ")
			_ = s.finding(red, "problem", "s3", text)
			s.ended(batholith.StatusCompleted, " "+text)
			writeSamples(s, []sample{{id: strings.Repeat("長", 30), prompt: text, answer: text}})
			writeReasons(s, []counted{{text, 3}})
		}
		write(on(all, columns))
		for line := range strings.Lines(all.String()) {
			if n := widthOf(strings.TrimSuffix(line, "\n")); n > columns {
				t.Fatalf("%d columns on %d: %q", n, columns, line)
			}
		}
		all.Reset()
		write(on(all, 0))
		if n := strings.Count(all.String(), plain.Line(text)); len(plain.Line(text)) < pipedLength && text != "" && n < 8 {
			t.Fatalf("a pipe has the text %d times, not 8:\n%s", n, all)
		}
	})
}

func TestSettingsToPasteAreNeverBroken(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: plain.NewWriter(&out), paged: true, columns: func() int { return 40 }, env: []string{"LANG=C.UTF-8", "NO_COLOR=1"}}
	const settings = "models:\n  - id: anthropic.claude-3-haiku-20240307-v1:0\n    backends:\n      - url: http://127.0.0.1:8000/v1"
	if err := a.reportFindings([]doctor.Finding{{Severity: doctor.Note, Check: "model", What: "a model server answers on this machine", Why: "its port is a usual one", Remedy: "put this into the settings:\n" + settings}}); err != nil {
		t.Fatal(err)
	}
	want := `note     model     a model server
                   answers on this
                   machine
         why       its port is a usual
                   one
         do        put this into the
                   settings:
                   models:
                     - id: anthropic.claude-3-haiku-20240307-v1:0
                       backends:
                         - url: http://127.0.0.1:8000/v1
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

func TestOnlyTheSeverityOfAFindingIsColoured(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, columns: func() int { return 40 }, colour: true}
	if err := s.finding(red, "problem", "s3", "a text that goes on in a second line"); err != nil {
		t.Fatal(err)
	}
	if want := "\x1b[31mproblem  \x1b[0ms3        a text that goes on\n                   in a second line\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestColoursFollowTheConventions(t *testing.T) {
	for _, tt := range []struct {
		env      []string
		flag     bool
		terminal bool
		want     bool
	}{
		{nil, false, true, true},
		{nil, false, false, false},
		{[]string{"NO_COLOR=1"}, false, true, false},
		{[]string{"NO_COLOR="}, false, true, true},
		{nil, true, true, false},
		{[]string{"CLICOLOR=0"}, false, true, false},
		{[]string{"CLICOLOR_FORCE=1"}, false, false, true},
		{[]string{"CLICOLOR_FORCE=0"}, false, false, false},
		{[]string{"CLICOLOR_FORCE=1", "NO_COLOR=1"}, false, false, false},
		{[]string{"CLICOLOR_FORCE=1"}, true, true, false},
		{[]string{"TERM=dumb"}, false, true, false},
	} {
		a := &app{env: tt.env, noColour: tt.flag, terminal: tt.terminal, paged: tt.terminal, columns: func() int { return 80 }}
		if page, talk := a.page().colour, a.talk().colour; page != tt.want || talk != tt.want {
			t.Errorf("%q, --no-color %v, terminal %v: stdout %v, stderr %v, want %v", tt.env, tt.flag, tt.terminal, page, talk, tt.want)
		}
	}
}

// escapes are control sequences, and beyond is what is not ASCII.
var (
	escapes = regexp.MustCompile(`\x1b`)
	beyond  = regexp.MustCompile(`[^\x00-\x7f]`)
)

func TestWithoutALocaleATerminalKeepsToASCIIAndAPipeDoesNot(t *testing.T) {
	a := &app{}
	if !a.ascii(true) || a.ascii(false) {
		t.Errorf("ASCII only on a terminal: %v, in a pipe: %v", a.ascii(true), a.ascii(false))
	}
}

func TestALocaleWithoutUTF8KeepsToASCII(t *testing.T) {
	for _, tt := range []struct {
		env   []string
		ascii bool
	}{
		{[]string{"LANG=C"}, true}, {[]string{"LANG=de_DE.ISO-8859-1"}, true}, {[]string{"LANG=de_DE.UTF-8"}, false}, {[]string{"LANG=C.utf8"}, false},
		{[]string{"LANG=de_DE.UTF-8", "LC_ALL=C"}, true}, {[]string{"LANG=C", "LC_CTYPE=ja_JP.UTF-8"}, false}, {[]string{"LC_ALL=", "LANG=en_US.UTF-8"}, false},
		{[]string{"LANG=en_US.UTF-8", "TERM=dumb"}, true},
	} {
		for _, terminal := range []bool{true, false} {
			var stdout, stderr bytes.Buffer
			a := &app{env: tt.env, terminal: terminal, paged: terminal, columns: func() int { return 60 }}
			a.stdout, a.stderr = a.streams(&stdout, &stderr)
			a.tell("hint", "3 × …")
			b := a.newBar()
			if a.live() {
				b.draw(1, 2, "a · b")
			}
			_ = jobsTable().write(a.page())
			writeReasons(a.talk(), []counted{{"why", 2}})
			own := strings.NewReplacer("夜間バッチ処理の要約", "").Replace(stdout.String() + stderr.String()) // in a pipe, text of others is as it is
			if got := !beyond.MatchString(own); got != tt.ascii && (terminal || tt.ascii) {
				t.Errorf("%q, terminal %v: ASCII only is %v: %q", tt.env, terminal, got, own)
			}
			if !terminal && escapes.MatchString(own) {
				t.Errorf("%q: a pipe gets control sequences: %q", tt.env, own)
			}
		}
	}
}
