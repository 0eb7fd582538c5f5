package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/raced"
)

// perToken answers after a time for each token that the record will take.
func perToken(limit int, token time.Duration) *server {
	return &server{limit: limit, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
		n := 1
		if _, text, ok := strings.Cut(body, `"tokens":`); ok {
			fmt.Sscan(text, &n)
		}
		return wait(ctx, time.Duration(n)*token)
	}}
}

// taking is an input that takes so many tokens.
func taking(tokens int) func(int) string {
	return func(n int) string { return fmt.Sprintf(`{"n":%d,"tokens":%d}`, n, tokens) }
}

// tokens is what the committed outcomes of a job took.
func (w *world) tokens(job string) (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.outcomes[job] {
		n += o.Tokens.Input + o.Tokens.Output
	}
	return n
}

func owned(j batholith.Job, owner string) batholith.Job {
	j.Account, j.Owner = "000000000000", owner
	return j
}

func TestPrincipalsGetEqualSharesOfTokensNotOfRecords(t *testing.T) {
	raced.Skip(t)
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		d := w.dispatcher(Options{}, s)
		d.Enqueue(owned(w.jobOf("large records", 4000, 100, taking(800)), "ann"))
		d.Enqueue(owned(w.jobOf("small records", 20_000, 500, taking(40)), "bob"))
		for i := range 20 { // many jobs are no more than one
			d.Enqueue(owned(w.jobOf(fmt.Sprint("cid", i), 400, 200, taking(200)), "cid"))
		}
		defer w.start(d)()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		cid := int64(0)
		for i := range 20 {
			cid += w.tokens(fmt.Sprint("cid", i))
		}
		got := []int64{w.tokens("large records"), w.tokens("small records"), cid}
		sum := got[0] + got[1] + got[2]
		for _, n := range got {
			if share := float64(n) / float64(sum); share < 0.31 || share > 0.36 {
				t.Errorf("tokens %v: a share of %.2f, want a third", got, share)
			}
		}
	})
}

func TestATenantThatComesLaterHasNoClaimToWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		d := w.dispatcher(Options{}, s)
		d.Enqueue(owned(w.jobOf("a", 20_000, 500, taking(200)), "ann"))
		defer w.start(d)()
		time.Sleep(10 * time.Minute)
		d.Enqueue(owned(w.jobOf("b", 20_000, 500, taking(200)), "bob"))
		before := w.tokens("a")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		a, b := w.tokens("a")-before, w.tokens("b")
		if ratio := float64(a) / float64(b); ratio < 0.9 || ratio > 1.1 {
			t.Errorf("after another came, %d and %d tokens", a, b)
		}
	})
}

func TestSmallJobsDoNotWaitForALargeOneWhichGoesOn(t *testing.T) {
	raced.Skip(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 64, do: func(ctx context.Context, body string, _ int) ([]byte, error) { // one after another, not all at the same moment
			return wait(ctx, uneven(time.Second, body))
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("large", 12_000, 500))
		defer w.start(d)()
		time.Sleep(time.Minute)
		before, began := w.count("large"), time.Now()
		small := make([]string, 200)
		for i := range small {
			small[i] = fmt.Sprint("small", i)
			d.Enqueue(w.job(small[i], 30, 30))
		}
		w.await(30, small[0])
		first := time.Since(began)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the first of them took %s", took)
		}
		w.await(30, small...)
		alone := time.Duration(200*30/64) * time.Second
		if took := time.Since(began); took > alone*3/2 {
			t.Errorf("all of them took %s; alone they take %s", took, alone)
		}
		t.Logf("the first small job took %s, all of them %s; alone %s", first, time.Since(began), alone)
		if share := float64(w.count("large")-before) / (200 * 30); share < 0.25 {
			t.Errorf("meanwhile the large one got %.2f of what they got, want a third", share)
		}
	})
}

func TestPriorityIsAShareAndNobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 32
		w.tags = map[string][]batholith.Tag{"high": {{Key: PriorityTag, Value: "high"}}, "low": {{Key: PriorityTag, Value: "low"}}, "normal": {{Key: "x", Value: "high"}}}
		d := w.dispatcher(Options{}, s)
		for _, id := range []string{"low", "normal", "high"} {
			d.Enqueue(w.job(id, 9_000, 500))
		}
		defer w.start(d)()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		h, n, l := float64(w.count("high")), float64(w.count("normal")), float64(w.count("low"))
		if h/n < 3 || n/l < 3 || l == 0 {
			t.Errorf("high %v, normal %v, low %v: want about 16 to 4 to 1", h, n, l)
		}
	})
}

// A priority counts a few seconds after its tag has come, whether the job has claimed its last chunk or still waits for its turn.
func TestATagCountsWheneverItComes(t *testing.T) {
	for _, c := range []struct{ job, priority string }{
		{"first", "low"}, {"first", "high"}, {"second", "low"}, {"second", "high"}, {"waiting", "high"},
	} {
		t.Run(c.priority+" for the "+c.job, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), answering(time.Second)
				s.limit = 8
				d := w.dispatcher(Options{}, s)
				jobs := map[string]int{"first": 5000, "second": 3000, "waiting": 9000}
				d.Enqueue(w.job("first", jobs["first"], 500))
				d.Enqueue(w.job("second", jobs["second"], 500))
				defer w.start(d)()
				time.Sleep(time.Minute)
				d.Enqueue(w.job("waiting", jobs["waiting"], 500))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if w.count("second") == 0 || w.count("waiting") > 0 {
					t.Fatalf("the second job got %d records and the one that waits %d", w.count("second"), w.count("waiting"))
				}
				w.mu.Lock()
				w.tags = map[string][]batholith.Tag{c.job: {{Key: PriorityTag, Value: c.priority}}}
				w.mu.Unlock()
				time.Sleep(rankEvery + 10*time.Second)
				count := func() (tagged, others int) {
					for id := range jobs {
						if id == c.job {
							tagged += w.count(id)
						} else {
							others += w.count(id)
						}
					}
					return tagged, others
				}
				tagged, others := count()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				now, rest := count()
				more, less := float64(now-tagged), float64(rest-others)
				if c.priority == "low" {
					more, less = less, more
				}
				if ratio := more / less; ratio < 3.9 || ratio > 4.1 {
					t.Errorf("the higher priority got %v records, the lower one %v: want 4 to 1", more, less)
				}
			})
		})
	}
}

// A job that changes its priority while it is alone takes its account along: the accounts of its principal add up to what is in flight.
func TestAChangeOfPriorityKeepsTheAccounts(t *testing.T) {
	q := &queue{}
	f := &feed{queue: q, priority: normal}
	f.job.Owner = "ann"
	q.shares.add(f)
	it := &item{feed: f, input: make([]byte, 400)}
	q.shares.charge(it)
	q.shares.move(f, low)
	q.shares.pay(it, 300)
	if len(q.shares.tenants) != 1 || q.shares.tenants[0] != f.tenant {
		t.Fatalf("the principal has %d accounts", len(q.shares.tenants))
	}
	if a := f.tenant.account; a.spent != 300 || a.flying != 0 {
		t.Errorf("the principal spent %v and has %v in flight, want 300 and 0", a.spent, a.flying)
	}
	for p := range f.tenant.lines {
		if l := &f.tenant.lines[p]; l.flying != 0 {
			t.Errorf("priority %d has %v in flight", p, l.flying)
		}
	}
}
