package dialect

import (
	"runtime"
	"strings"
	"testing"
)

// An answer of a model server, however it is built, becomes an error in memory in proportion to its
// length. Such a record fails alone.
func TestAnswersThatAreBombsTakeBoundedMemory(t *testing.T) {
	const size = 12 << 10
	tried := 0
	bombs := map[string]string{
		"nested arrays":           strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"nested objects":          strings.Repeat(`{"a":`, size/6) + "1" + strings.Repeat("}", size/6),
		"open arrays":             strings.Repeat("[", size),
		"a number of many digits": strings.Repeat("9", size),
		"a large exponent":        "1e" + strings.Repeat("9", size),
		"one key many times":      "{" + strings.Repeat(`"a":1,`, size/6) + `"a":1}`,
		"many choices":            "[" + strings.Repeat("{},", size/3) + "{}]",
		"a long string":           `"` + strings.Repeat(`\u0000`, size/6) + `"`,
	}
	for _, name := range goldenFiles(t) {
		d, cases := readGolden(t, name)
		g := cases[0]
		call, err := d.Request(g.request, "served-model")
		if err != nil {
			continue // its first case is a refusal: nothing is sent
		}
		tried++
		for kind, bomb := range bombs {
			for _, body := range []string{bomb, `{"choices":` + bomb + `,"usage":` + bomb + "}"} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := d.Answer(g.request, call, []byte(body))
				runtime.ReadMemStats(&after)
				if err == nil {
					t.Errorf("%s: %s: an output", name, kind)
				}
				if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+64*uint64(len(body)) { // 1 MiB for the stack of the deepest nesting
					t.Errorf("%s: %s of %d bytes: %d bytes of memory", name, kind, len(body), used)
				}
			}
		}
	}
	if tried < 5 {
		t.Errorf("%d families were tried", tried)
	}
}
