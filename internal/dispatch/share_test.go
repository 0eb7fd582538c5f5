package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
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
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 64
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("large", 40_000, 500))
		defer w.start(d)()
		time.Sleep(time.Minute)
		before, began := w.count("large"), time.Now()
		small := make([]string, 200)
		for i := range small {
			small[i] = fmt.Sprint("small", i)
			d.Enqueue(w.job(small[i], 100, 100))
		}
		w.await(100, small[0])
		first := time.Since(began)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the first of them took %s", took)
		}
		w.await(100, small...)
		alone := time.Duration(200*100/64) * time.Second
		if took := time.Since(began); took > alone*3/2 {
			t.Errorf("all of them took %s; alone they take %s", took, alone)
		}
		t.Logf("the first small job took %s, all of them %s; alone %s", first, time.Since(began), alone)
		if share := float64(w.count("large")-before) / (200 * 100); share < 0.25 {
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

func TestATagThatComesWhileTheJobRunsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 8
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 15_000, 500))
		d.Enqueue(w.job("b", 15_000, 500))
		defer w.start(d)()
		time.Sleep(5 * time.Minute)
		w.mu.Lock()
		w.tags = map[string][]batholith.Tag{"a": {{Key: PriorityTag, Value: "low"}}}
		w.mu.Unlock()
		time.Sleep(10 * time.Minute)
		a, b := w.count("a"), w.count("b")
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if a, b = w.count("a")-a, w.count("b")-b; b < 3*a {
			t.Errorf("a low job got %d records, a normal one %d", a, b)
		}
	})
}
