package plain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTerminalControlSequencesAreShownAndHaveNoEffect(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"ASCII":                       {"plain ~!", "plain ~!"},
		"clipboard":                   {"a\x1b]52;c;cHduZWQ=\x07b", `a\u001b]52;c;cHduZWQ=\u0007b`},
		"colour":                      {"\x1b[31mred", `\u001b[31mred`},
		"newline":                     {"x\r\nbatholith: error: y", `x\r\nbatholith: error: y`},
		"tab and backspace":           {"a\tb\b\b", `a\tb\u0008\u0008`},
		"DEL":                         {"a\x7fb", `a\u007fb`},
		"C1":                          {"a\u009b31mb\u0085", `a\u009b31mb\u0085`},
		"C1 as single bytes":          {"a\x9b31mb\x85\x90", `a\x9b31mb\x85\x90`},
		"half a character":            {"a\xe2\x82", `a\xe2\x82`},
		"surrogate in UTF-8":          {"\xed\xa0\x80", `\xed\xa0\x80`},
		"overlong":                    {"\xc0\x9b", `\xc0\x9b`},
		"bidi":                        {"a\u202eb\u2066c\u2069\u200e\u200f\u061c", `a\u202eb\u2066c\u2069\u200e\u200f\u061c`},
		"line separators":             {"a\u2028b\u2029c", `a\u2028b\u2029c`},
		"no width":                    {"pass\u200bw\u2060o\ufeffr\u00add", `pass\u200bw\u2060o\ufeffr\u00add`},
		"joiner in a word":            {"pass\u200dword \u200c", `pass\u200dword \u200c`},
		"joiner beside a letter":      {"é\u200da", `é\u200da`},
		"two joiners":                 {"न\u200d\u200dह", `न\u200d\u200dह`},
		"joiner of emoji":             {"👩\u200d🚀", "👩\u200d🚀"},
		"joiner of Devanagari":        {"क्\u200dष", "क्\u200dष"},
		"non-joiner of Persian":       {"می\u200cخواهم", "می\u200cخواهم"},
		"tags":                        {"a\U000e0041\U000e0001", `a\udb40\udc41\udb40\udc01`},
		"variants":                    {"❤\ufe0f 1\ufe0f\u20e3 葛\U000e0100", "❤\ufe0f 1\ufe0f\u20e3 葛\U000e0100"},
		"bytes hidden in variants":    {"a\ufe01 😀\ufe01\ufe02\U000e0120", "a\\ufe01 😀\ufe01\\ufe02\\udb40\\udd20"},
		"fillers":                     {"\u3164\u115f\uffa0\u034f\u180e", `\u3164\u115f\uffa0\u034f\u180e`},
		"noncharacters":               {"\ufffe\ufdd0", `\ufffe\ufdd0`},
		"text in other scripts":       {"Ünïcödé 日本語　 العربية עברית ไทย é e\u0301 \u00a0 \ufffd …→", "Ünïcödé 日本語　 العربية עברית ไทย é e\u0301 \u00a0 \ufffd …→"},
		"Arabic sign that takes room": {"\u06dd", "\u06dd"},
		"NUL":                         {"\x00", `\u0000`},
	} {
		if got := Line(tt.text); got != tt.want {
			t.Errorf("%s: %+q, want %+q", name, got, tt.want)
		}
	}
}

// acting is what must never come out, whatever went in.
var acting = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2028}\x{2029}\x{2060}-\x{206f}\x{61c}\x{feff}\x{e0000}-\x{e00ff}]`)

func FuzzNothingThatActsComesOut(f *testing.F) {
	for _, s := range []string{"a\x1b[0m", "\u202e", "\xff\x9b", "\u200d", "{\"a\":\"\\u001b\"}\n", "👩\u200d🚀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := Line(s)
		if acting.MatchString(line) || strings.ContainsAny(line, "\n\t") || !utf8.ValidString(line) {
			t.Errorf("%q has become %q", s, line)
		}
		if Line(line) != line {
			t.Errorf("%q changes again", line)
		}
		var b bytes.Buffer
		if n, err := NewWriter(&b).Write([]byte(s)); n != len(s) || err != nil {
			t.Error(n, err)
		}
		if out := b.String(); acting.MatchString(out) || !utf8.ValidString(out) || strings.Count(out, "\n") != strings.Count(s, "\n") {
			t.Errorf("%q was written as %q", s, out)
		}
	})
}

// Encoders leave DEL, C1 and bidirectional controls in strings as they are. The escapes are JSON's own.
func TestJSONThatPassesKeepsItsMeaning(t *testing.T) {
	want := map[string]string{"k\u202e": "\x7f\u009b\u2066\u2028\U000e0041\x1b\n\"\\ é"}
	var b bytes.Buffer
	if err := json.NewEncoder(NewWriter(&b)).Encode(want); err != nil {
		t.Fatal(err)
	}
	if acting.MatchString(strings.TrimSuffix(b.String(), "\n")) {
		t.Errorf("%q", b.String())
	}
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOnlyMarkedSequencesPass(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := Draw(w, Control("\r"), "text\x1b[31m\n", Control("\x1b[K")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, Control("\x1b[K"))
	if want := "\r" + `text\u001b[31m\n` + "\x1b[K" + `\u001b[K`; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

type named string

func TestOperandsStayOnTheirLine(t *testing.T) {
	err := fmt.Errorf("read: %w", errors.New("x\nbatholith: error: y"))
	got := Sprintf("%s|%v|%q|%5s|%-4s|%d|%.1f|%v|%s\n", "a\nb", err, "c\x1bd", "\t", "é", 7, 1.5, []string{"e\nf"}, named("g\rh"))
	want := `a\nb|read: x\nbatholith: error: y|"c\x1bd"|   \t|é   |7|1.5|[e\nf]|g\rh` + "\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
