package jsonl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzAFileInRangesIsTheFileInOne reads any bytes as an input file.
func FuzzAFileInRangesIsTheFileInOne(f *testing.F) {
	f.Add([]byte(record+"\n\ufeff"+record+"\r\n\n{bad\n"), uint16(9))
	f.Add([]byte("\n\n \t\r\n"+record), uint16(1))
	f.Add([]byte(`{"recordId":"\ud800","modelInput":{"a":1e999,"a":{}}}`+"\n"+`{"modelInput":[]}`), uint16(30))
	p := small(2)
	f.Fuzz(func(t *testing.T, file []byte, size uint16) {
		if len(file) > 1<<12 {
			return
		}
		got := ranges(t, p, file, int64(size)%int64(len(file)+1)+1, plainly, odd)
		if diff := cmp.Diff(front(file, odd), got); diff != "" {
			t.Fatalf("%q in ranges of %d (-front +ranges):\n%s", file, size, diff)
		}
		idle(t, p, 2)
	})
}
