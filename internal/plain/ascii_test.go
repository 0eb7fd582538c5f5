package plain

import (
	"bytes"
	"fmt"
	"testing"
)

func TestATerminalWithoutUTF8GetsASCIIOnly(t *testing.T) {
	const text = "3 × é… → \u06db 日 😀\x9b\n"
	var all, own bytes.Buffer
	fmt.Fprint(NewWriter(&all).ASCII(), text)
	if want := `3 x \u00e9... -> \u06db \u65e5 \ud83d\ude00\x9b` + "\n"; all.String() != want {
		t.Errorf("%q, want %q", all.String(), want)
	}
	fmt.Fprint(NewWriter(&own).Signs(), text)
	if want := "3 x é... -> \u06db 日 😀" + `\x9b` + "\n"; own.String() != want {
		t.Errorf("%q, want %q", own.String(), want)
	}
	all.Reset()
	if err := Draw(NewWriter(&all).ASCII(), Control("\r"), "█░ é"); err != nil || all.String() != "\r#. "+`\u00e9` {
		t.Errorf("%q, %v", all.String(), err)
	}
}
