package dispatch

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/raced"
)

// prefixCache is a server with slots that keeps the beginnings of so many groups of prompts in its memory, and counts those it had. It has
// a beginning once it has begun to read it, as vLLM has, or only when it has read it, as SGLang has.
type prefixCache struct {
	server
	room  int
	begun bool
	slots chan struct{}

	mu         sync.Mutex
	used       []string // the latest last
	hits, asks int
}

// What a request takes: to read a beginning that is not cached, and to answer.
const (
	readsPrefix = 200 * time.Millisecond
	answersIn   = 300 * time.Millisecond
)

func newPrefixCache(room, slots int, begun bool) *prefixCache {
	c := &prefixCache{room: room, begun: begun, slots: make(chan struct{}, slots)}
	c.do = c.answer
	return c
}

func (c *prefixCache) answer(ctx context.Context, body string, _ int) ([]byte, error) {
	_, group, _ := strings.Cut(body, `"system":"`)
	group, _, _ = strings.Cut(group, " ")
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-c.slots }()
	if !c.had(group) {
		if answer, err := wait(ctx, readsPrefix); err != nil {
			return answer, err
		}
	}
	c.mu.Lock()
	c.use(group)
	c.mu.Unlock()
	return wait(ctx, answersIn)
}

func (c *prefixCache) had(group string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks++
	had := slices.Contains(c.used, group)
	if had {
		c.hits++
	}
	if had || c.begun {
		c.use(group)
	}
	return had
}

// use makes a group the latest. The caller holds mu.
func (c *prefixCache) use(group string) {
	c.used = append(slices.DeleteFunc(c.used, func(g string) bool { return g == group }), group)
	if len(c.used) > c.room {
		c.used = c.used[1:]
	}
}

func (c *prefixCache) rate() float64 { return float64(c.hits) / float64(c.asks) }

// grouped is an input of one of so many groups, by chance, whose system prompts have so many bytes.
func grouped(groups, bytes int, seed uint64) func(int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	order := r.Perm(1 << 16)
	return func(n int) string {
		g := order[n%len(order)] % groups
		return fmt.Sprintf(`{"tokens":%d,"messages":[{"role":"user","content":"question %d %s"}],"max_tokens":9,"system":"group%d %s"}`,
			bytes/4, n, strings.Repeat("u", 200), g, strings.Repeat(string(rune('a'+g%26)), bytes))
	}
}

// farBucket takes a while for each read.
type farBucket struct{ blob.Bucket }

func (b farBucket) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	time.Sleep(5 * time.Millisecond)
	return b.Bucket.Read(ctx, key, etag, offset, n)
}

func TestSharedBeginningsAreSentTogether(t *testing.T) {
	const groups, room = 200, 50
	for i, c := range []struct{ jobs, records, bytes, slots int }{
		{1, 10_000, 600, 64},
		{4, 10_000, 600, 64},
		{4, 4_000, 600, 64}, // of which each has five records of a beginning: by themselves they would read it four times
		{1, 5_000, 6_000, 4},
		{4, 5_000, 6_000, 4},
		{1, 5_000, 6_000, 16},
		{4, 5_000, 6_000, 16},
		{1, 5_000, 6_000, 64}, // 32 MB: more than a window whose order does not pay
		{4, 5_000, 6_000, 64},
	} {
		if raced.On && i > 0 {
			continue
		}
		for _, begun := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d jobs, %d records of %d bytes, %d slots, cached when begun %v", c.jobs, c.records, c.bytes, c.slots, begun), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, server := newWorld(t), newPrefixCache(room, c.slots, begun)
					server.limit = c.slots + c.slots/4
					d := w.dispatcher(Options{}, server)
					far := farBucket{w.bucket}
					d.o.Place = func(context.Context, batholith.Job) (blob.Place, error) {
						return blob.Place{Input: far, Output: far}, nil
					}
					defer w.start(d)()
					var ids []string
					for i := range c.jobs {
						ids = append(ids, fmt.Sprint(i))
						perChunk := min(512, 1<<20/c.bytes)
						d.Enqueue(w.jobOf(ids[i], c.records/c.jobs, perChunk, grouped(groups, c.bytes, uint64(i))))
					}
					w.await(c.records/c.jobs, ids...)
					// As they come a quarter of the groups is in the cache; in perfect order each is read once.
					asTheyCome, perfect := float64(room)/groups, 1-float64(groups)/float64(c.records)
					gain := (server.rate() - asTheyCome) / (perfect - asTheyCome)
					t.Logf("hit rate %.3f, in perfect order %.3f, as they come %.3f: %.1f %% of the gain", server.rate(), perfect, asTheyCome, 100*gain)
					// Where only what was read is cached, the requests of the first rounds read everything.
					want := 0.95
					if !begun {
						want -= 2 * float64(server.limit) / float64(c.records)
					}
					if gain < want {
						t.Errorf("%.1f %% of the gain of perfect order, want %.1f", 100*gain, 100*want)
					}
				})
			})
		}
	}
}

// TestLeadersAreStillCachedWhenTheirGroupsCome has groups of two records, of which no more are between a leader and the walk than a small cache holds.
func TestLeadersAreStillCachedWhenTheirGroupsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, records = 2_000, 4_000
		w, server := newWorld(t), newPrefixCache(80, 64, true)
		server.limit = 80
		d := w.dispatcher(Options{}, server)
		defer w.start(d)()
		d.Enqueue(w.jobOf("a", records, 512, grouped(groups, 1_000, 1)))
		w.await(records, "a")
		if server.rate() < 0.48 {
			t.Errorf("hit rate %.3f, and 0.5 is perfect", server.rate())
		}
	})
}

func TestTheInputsOrderStaysWhereAnotherDoesNotPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 1}
		var sent []string
		s.do = func(_ context.Context, body string, _ int) ([]byte, error) {
			sent = append(sent, body)
			return []byte(`{}`), nil
		}
		d := w.dispatcher(Options{}, s)
		order := rand.New(rand.NewPCG(1, 1)).Perm(20_000)
		d.Enqueue(w.jobOf("a", 20_000, 500, func(n int) string {
			return fmt.Sprintf(`{"prompt":"%d is not like any other: %s"}`, order[n], strings.Repeat(fmt.Sprint(order[n]), 40))
		}))
		defer w.start(d)()
		w.await(20_000, "a")
		inOrder := 0
		for i, body := range sent[13_000:] {
			if strings.HasPrefix(body, fmt.Sprintf(`{"prompt":"%d is`, order[13_000+i])) {
				inOrder++
			}
		}
		if inOrder < 6_900 {
			t.Errorf("%d of the last 7,000 records were sent in their place", inOrder)
		}
	})
}

func TestTheWalkVisitsEveryRecordOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w, seen := newWalk(memory.NewBudget(1<<30)), map[int64]int{}
	var last *item
	for n := 0; n < 5000 || len(w.items) > 0; {
		if n < 5000 && (len(w.items) == 0 || r.IntN(60) == 0) {
			var chunk []*item
			for range 1 + r.IntN(100) {
				it := &item{key: batholith.RecordKey{Record: int64(n)}}
				it.prompt.Turns = []byte(fmt.Sprint(r.IntN(300)))
				chunk = append(chunk, it)
				n++
			}
			w.add(chunk)
		}
		var at int
		if last != nil {
			at = w.next(&last.prompt, reading)
		}
		last = w.take(at)
		if r.IntN(10) == 0 {
			w.back(last)
			continue
		}
		seen[last.key.Record]++
	}
	for record, times := range seen {
		if times != 1 {
			t.Errorf("record %d came %d times", record, times)
		}
	}
}

func TestTheLongestRecordIsNotStartedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.jobOf("a", 400, 100, func(n int) string {
			if n == 399 {
				return `{"max_tokens":3000,"tokens":3000}` // 30 s
			}
			return fmt.Sprintf(`{"n":%d,"max_tokens":100,"tokens":100}`, n)
		}))
		before := time.Now()
		defer w.start(d)()
		w.await(400, "a")
		if took := time.Since(before); took > 32*time.Second {
			t.Errorf("took %s; the longest record takes 30 s, and all together 27 of every slot's", took)
		}
	})
}
