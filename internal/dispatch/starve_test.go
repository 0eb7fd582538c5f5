package dispatch

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// TestNoServerIsIdleBehindRecordsThatItCannotAnswer: thousands of records that one of two servers cannot answer come before as many plain ones, in one
// job or in the job before. Both servers are busy from the start.
func TestNoServerIsIdleBehindRecordsThatItCannotAnswer(t *testing.T) {
	const records, perChunk, slots, after = 1600, 64, 4, time.Minute
	record := func(n int, more string) string { // prompt order does not pay for them: the window is small after trialChunks
		return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":"%x %s"}]}],"n":%d}`, sha256.Sum256([]byte{byte(n), byte(n >> 8)}), more, n)
	}
	words := strings.Repeat("a word ", 150)
	text := func(n int) string { return record(n, "") }
	long := func(n int) string { return record(n, words) }
	image := func(n int) string {
		return strings.Replace(record(n, ""), `}]}]`, `},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}]`, 1)
	}
	small := batholith.Abilities{Images: batholith.Unable, Context: 200}
	for name, heavy := range map[string]func(n int) string{"images": image, "long prompts": long} {
		for _, jobs := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d jobs", name, jobs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					few, all := answering(time.Second), answering(time.Second)
					few.limit, all.limit = slots, slots
					d := w.dispatcher(Options{}, &saying{few, small}, &saying{all, batholith.Abilities{Images: batholith.Able, Context: 9000}})
					made := []batholith.Job{w.jobOf("j", records, perChunk, heavy), w.jobOf("k", records, perChunk, text)}
					if jobs == 1 {
						made = []batholith.Job{w.jobOf("j", 2*records, perChunk, func(n int) string {
							if n < records {
								return heavy(n)
							}
							return text(n)
						})}
					}
					for _, job := range made {
						d.Enqueue(job)
					}
					stop := w.start(d)
					time.Sleep(after)
					n, _ := few.requests()
					m, _ := all.requests()
					stop()
					if want := slots * int(after/time.Second) * 95 / 100; n < want || m < want {
						t.Errorf("after %s the servers had got %d and %d requests; want at least %d", after, n, m, want)
					}
				})
			})
		}
	}
}
