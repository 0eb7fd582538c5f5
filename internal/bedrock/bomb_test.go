package bedrock

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// Every body within MaxBody is answered with memory in proportion to its length.
func TestJSONBombsAreRefusedInBoundedMemory(t *testing.T) {
	half := MaxBody / 2
	var keys strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keys, `"k%d":[],`, i)
	}
	for name, body := range map[string]string{
		"open arrays":             strings.Repeat("[", half),
		"nested arrays":           `{"tags":` + strings.Repeat("[", half/2) + strings.Repeat("]", half/2) + "}",
		"nested objects":          strings.Repeat(`{"a":`, half/8) + "1" + strings.Repeat("}", half/8),
		"nested unknown member":   `{"x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}",
		"a number of many digits": `{"timeoutDurationInHours":` + strings.Repeat("9", half) + "}",
		"a large exponent":        `{"timeoutDurationInHours":1e` + strings.Repeat("9", half) + "}",
		"one key many times":      "{" + strings.Repeat(`"a":1,`, half/8) + `"a":1}`,
		"many keys":               "{" + keys.String() + `"a":1}`,
		"many tags":               `{"tags":[` + strings.Repeat(`{},`, half/4) + `{}]}`,
		"a long string":           `{"jobName":"` + strings.Repeat(`\u0000`, half/8) + `"}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := newTester(ProfileAWS).send(t, "POST", "/model-invocation-job", body)
		runtime.ReadMemStats(&after)
		if w.Code != http.StatusBadRequest || w.Body.Len() > 64<<10 {
			t.Errorf("%s: %d, %d bytes: %.200s", name, w.Code, w.Body.Len(), w.Body)
		}
		if used, most := after.TotalAlloc-before.TotalAlloc, uint64(128*MaxBody); used > most {
			t.Errorf("%s of %d bytes: %d bytes of memory, more than %d", name, len(body), used, most)
		}
	}
}
