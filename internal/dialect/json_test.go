package dialect

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// rewrite reads a value member by member and writes it again, copying nothing but names, texts, numbers and literals.
func rewrite(b *buffer, v value) {
	switch v.kind() {
	case '{':
		b.open('{')
		for name, m := range v.fields() {
			b.raw(name)
			*b = append(*b, ':')
			rewrite(b, m)
		}
		b.close('}')
	case '[':
		b.open('[')
		for _, e := range v.elements() {
			rewrite(b, e)
		}
		b.close(']')
	default:
		b.raw(v)
	}
}

// FuzzValue holds that walking a document finds all of it, and nothing else: what is written again is the document without space.
func FuzzValue(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, ` [ 1 , -2.5e3 ,"a\"b\\" , {"x" : [ ] , "y":{ } } , null,true ] `, `"\\\\\""`, `[[1,2],[[3]],[],[4,[5]],[1,"]"],["[1"],2]`,
		"{\"a\":\n[1,\r\n2]}", `{"a":1,"a":2,"\u0061":3}`, `0`, `[-1]`, `[1,[2,{"a":[3,4]}]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if jsontext.Value(b).IsValid(looseNames) {
				t.Errorf("refused: %v", err)
			}
			walk(value(b)) // must come to an end all the same
			return
		}
		want := jsontext.Value(b).Clone()
		if err := want.Compact(looseNames); err != nil {
			t.Fatal(err)
		}
		var got buffer
		rewrite(&got, v)
		if string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// walk visits what it finds in a text that is no JSON.
func walk(v value) {
	for _, m := range v.members() {
		m.text()
	}
	for _, e := range v.elements() {
		e.integer()
	}
}

func TestALineBreakDoesNotOutliveReading(t *testing.T) {
	v, err := parse([]byte("\n{\"a\": [1,\r\n 2], \"b\" :\"x\\ny\"}\n"))
	if want := `{"a":[1,2],"b":"x\ny"}`; string(v) != want || err != nil {
		t.Errorf("got %s, %v, want %s", v, err, want)
	}
}

func TestAnErrorSaysWhereTheJSONEnds(t *testing.T) {
	for text, want := range map[string]string{`{"a":1} x`: "after byte 8", `{"a":tru}`: "after byte 8", "\"\xff\"": "UTF-8", `["\ud800"]`: "surrogate"} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}

func TestDeepNestingIsReadInTime(t *testing.T) {
	const depth = 9000
	deep := strings.Repeat("[1,", depth) + "2" + strings.Repeat("]", depth)
	v, err := parse([]byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	if n := v.len(); n != 2 {
		t.Errorf("got %d elements", n)
	}
}
