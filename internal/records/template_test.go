package records

import (
	"errors"
	"strings"
	"testing"
)

func TestTemplatesSeeTheColumns(t *testing.T) {
	row := Row{Number: 3, Columns: []string{"text", "a b", "n", "user", "tags", "none", "flag"},
		Values: []any{" Hi <b> \"you\" ", "spaced", Number("1e400"), Nested(`{"name":"Ana","age":30,"x":null}`), Nested(`["p",{"q":1}]`), nil, true}}
	for _, tt := range []struct{ template, want string }{
		{`{{.text}}`, ` Hi <b> "you" `},
		{`{{index . "a b"}} {{.n}} {{.flag}}`, `spaced 1e400 true`},
		{`{{.user.name}} {{.user.age}} {{.user}} {{.tags}} {{index .tags 1}}`, `Ana 30 {"age":30,"name":"Ana","x":null} ["p",{"q":1}] {"q":1}`},
		{`{{range .tags}}[{{.}}]{{end}}`, `[p][{"q":1}]`},
		{`[{{.none}}{{.user.x}}]{{if .none}}yes{{else}}no{{end}} {{json .none}}`, `[]no null`},
		{`{{json .text}} {{json .user}} {{json .n}}`, `" Hi <b> \"you\" " {"age":30,"name":"Ana","x":null} 1e400`},
		{`{{trim .text | upper}} {{lower "ÄB"}} {{default "?" .none}} {{cut 2 "äöü"}} {{cut 9 "ä"}} {{replace "b" "c" "abb"}}`, `HI <B> "YOU" äb ? äö ä acc`},
		{`{{if gt (number "3.5") 3.0}}more{{end}}`, "more"},
	} {
		parsed, err := ParseTemplate(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := parsed.Text(row); err != nil || got != tt.want {
				t.Errorf("%s: %q, %v, want %q", tt.template, got, err, tt.want)
			}
		}
	}
	for _, tt := range []struct{ template, reason, remedy string }{
		{`{{.txet}}`, `the template names the column "txet"`, "the columns are: text, "},
		{`{{index . "a c"}}`, `the template names the column "a c"`, `{{index . "a b"}}`},
		{`{{with .user}}{{.nme}}{{end}}`, `the template names the column "nme"`, ""},
		{`{{number .text}}`, `the template fails at line 1, column 2: <number .text>`, ""},
		{`{{range .tags}}{{end}}{{index .tags 5}}`, "the list has 2 elements", ""},
		{`{{range $i, $e := .tags}}{{range $e := $.tags}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{printf "%1000000s" "x"}}{{end}}{{end}}`, "more than 25000000 bytes", ""},
	} {
		parsed, err := ParseTemplate(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed.Text(row)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Reason, tt.reason) || !strings.Contains(e.Remedy, tt.remedy) {
			t.Errorf("%s: %v, %+v", tt.template, err, e)
		}
	}
	for _, bad := range []string{"{{.text", "{{nothing .text}}", "{{if}}", "Translate: {.text}"} {
		if _, err := ParseTemplate(bad); err == nil {
			t.Errorf("%s is a template", bad)
		}
	}
}

func TestRecordsNeedRowsAndIDs(t *testing.T) {
	template, err := ParseTemplate("{{.a}}")
	if err != nil {
		t.Fatal(err)
	}
	body := func(text string) ([]byte, error) {
		if text == "big" {
			return make([]byte, MaxRow+1), nil
		}
		return []byte(`{}`), nil
	}
	for _, tt := range []struct{ name, content, id, err string }{
		{"a.csv", "a\n", "", "a.csv: the table has no rows"},
		{"a.json", "[]", "", "a.json: the table has no rows"},
		{"a.csv", "a,b\n1,2\n1, \n", "b", "a.csv:3: row 2, column b: the cell is empty"},
		{"a.csv", "a,b\n1,2\n", "c", `a.csv:2: row 1: there is no column "c" for the recordId`},
		{"a.csv", "a\nbig\n", "", "a.csv:2: row 1: the record has 25000001 bytes"},
		{"a.jsonl", "{\"a\":1}\n{\"b\":1}", "", `a.jsonl:2: row 2: the template names the column "a"`},
	} {
		s, err := Open(tt.name, strings.NewReader(tt.content), Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = nil
		for _, e := range (Recipe{Template: template, Body: body, ID: tt.id}).Lines(s) {
			err = e
		}
		if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%q: %v, want %s", tt.content, err, tt.err)
		}
	}
}
