package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// prefixCache is a server that keeps the beginnings of so many groups of prompts, and counts those it had.
type prefixCache struct {
	server
	room int

	mu         sync.Mutex
	used       []string // the latest last
	hits, asks int
}

func cached(room, limit int) *prefixCache {
	c := &prefixCache{room: room, server: server{limit: limit}}
	c.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
		_, group, _ := strings.Cut(body, `"system":"`)
		group, _, _ = strings.Cut(group, " ")
		c.ask(group)
		return wait(ctx, time.Second)
	}
	return c
}

func (c *prefixCache) ask(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asks++
	for i, g := range c.used {
		if g == group {
			c.hits++
			c.used = append(append(c.used[:i:i], c.used[i+1:]...), group)
			return
		}
	}
	if c.used = append(c.used, group); len(c.used) > c.room {
		c.used = c.used[1:]
	}
}

func (c *prefixCache) rate() float64 { return float64(c.hits) / float64(c.asks) }

// grouped is an input of one of so many groups, by chance, whose system prompts are long.
func grouped(groups int, seed uint64) func(int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	order := r.Perm(1 << 16)
	return func(n int) string {
		g := order[n%len(order)] % groups
		return fmt.Sprintf(`{"tokens":200,"messages":[{"role":"user","content":"question %d %s"}],"max_tokens":9,"system":"group%d %s"}`,
			n, strings.Repeat("u", 200), g, strings.Repeat(string(rune('a'+g%26)), 600))
	}
}

func TestSharedBeginningsAreSentTogether(t *testing.T) {
	const groups, room = 200, 50
	for _, c := range []struct{ jobs, records int }{
		{1, 20_000},
		{4, 20_000},
		{4, 4_000}, // of which each has five records of a beginning: by themselves they would read it four times
	} {
		t.Run(fmt.Sprintf("%d jobs, %d records", c.jobs, c.records), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, server := newWorld(t), cached(room, 64)
				d := w.dispatcher(Options{}, server)
				defer w.start(d)()
				var ids []string
				for i := range c.jobs {
					ids = append(ids, fmt.Sprint(i))
					d.Enqueue(w.jobOf(ids[i], c.records/c.jobs, 500, grouped(groups, uint64(i))))
					time.Sleep(30 * time.Millisecond)
				}
				w.await(c.records/c.jobs, ids...)
				// As they come a quarter of the groups is in the cache; in perfect order each is read once.
				asTheyCome, perfect := float64(room)/groups, 1-float64(groups)/float64(c.records)
				gain := (server.rate() - asTheyCome) / (perfect - asTheyCome)
				t.Logf("hit rate %.3f, in perfect order %.3f, as they come %.3f: %.1f %% of the gain", server.rate(), perfect, asTheyCome, 100*gain)
				if gain < 0.9 {
					t.Errorf("%.1f %% of the gain of perfect order, want 90", 100*gain)
				}
			})
		})
	}
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
	w, seen := newWalk(), map[int64]int{}
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
			at = w.next(&last.prompt)
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
