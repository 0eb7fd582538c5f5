package jsonl

import (
	"testing"

	"github.com/batholith/batholith"
)

// A line without modelInput is told from one with it, whatever its id and answer look like.
func TestALineSaysWhetherItEchoesItsInput(t *testing.T) {
	for _, id := range []string{"", "1", `a"b`, `\\`, `","modelInput":{`, "ü\u2028"} {
		answer := []byte(`{"modelInput":1,"x":"\",\"modelInput\":"}`)
		e := &batholith.RecordError{Code: 400, Message: `,"modelInput":`}
		for line, want := range map[string]bool{
			string(AppendOutput(nil, []byte(id), []byte(`{}`), answer)):                          true,
			string(AppendOutput(nil, []byte(id), nil, answer)):                                   false,
			string(AppendError(nil, []byte(id), []byte(`{}`), e)):                                true,
			string(AppendError(nil, []byte(id), nil, e)):                                         false,
			string(AppendSourced(nil, []byte(id), nil, answer, &batholith.Source{Backend: "b"})): false,
		} {
			if got := EchoesInput([]byte(line)); got != want {
				t.Errorf("%s: %v", line, got)
			}
		}
	}
}
