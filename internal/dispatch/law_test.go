package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// everything has the laws tried in all combinations, which takes minutes.
var everything = os.Getenv("BATHOLITH_SEEDS") != ""

// illness is a way in which a server fails on a record.
type illness struct {
	name  string
	fails batholith.Failure
	after time.Duration // how long it takes to fail
}

// illnesses are those of servers, routers, firewalls and engines: by status, by silence, by what is torn.
func illnesses() []illness {
	var all []illness
	for status, kind := range map[int]batholith.FailureKind{
		400: batholith.FailureBadRecord, 413: batholith.FailureBadRecord, 422: batholith.FailureBadRecord,
		401: batholith.FailureMisconfigured, 402: batholith.FailureMisconfigured, 403: batholith.FailureMisconfigured, 404: batholith.FailureMisconfigured, 405: batholith.FailureMisconfigured,
		429: batholith.FailureBackPressure, 503: batholith.FailureBackPressure,
		200: batholith.FailureRetry, 409: batholith.FailureRetry, 500: batholith.FailureRetry, 502: batholith.FailureRetry,
	} {
		all = append(all, illness{fmt.Sprint("answers ", status), batholith.Failure{Kind: kind, Status: status, Public: fmt.Sprint("answered ", status), Message: "its words", Sent: true}, 5 * time.Millisecond})
	}
	slices.SortFunc(all, func(a, b illness) int { return strings.Compare(a.name, b.name) })
	return append(all,
		illness{"answers 504 late", batholith.Failure{Kind: batholith.FailureRetry, Status: 504, Sent: true}, 10 * time.Second},
		illness{"answers 500 as late as an answer", batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}, time.Second},
		illness{"does not answer", batholith.Failure{Kind: batholith.FailureRetry, Sent: true}, time.Minute},
		illness{"breaks off the connection", batholith.Failure{Kind: batholith.FailureRetry, Sent: true, Crash: true}, 100 * time.Millisecond},
	)
}

// Law 1: a server whose behaviour depends on the record alone holds up nothing. Every record ends, those that it answers are answered, and
// they keep 0.95 of the rate that they would have if each bad record were asked once.
func TestBadRecordsHoldUpNothing(t *testing.T) {
	const (
		records = 1200
		slots   = 16
		answer  = time.Second
	)
	places := map[string]func(job string, n int) bool{
		"first":          func(_ string, n int) bool { return n < records/10 },
		"last":           func(_ string, n int) bool { return n >= records*9/10 },
		"in a cluster":   func(_ string, n int) bool { return n >= 300 && n < 300+records/10 },
		"here and there": func(_ string, n int) bool { return n%5 == 1 },
		"one only":       func(job string, n int) bool { return job == "a" && n == 700 },
		"one whole job":  func(job string, n int) bool { return job == "b" },
	}
	names := slices.Sorted(maps.Keys(places))
	for i, ill := range illnesses() {
		for j, place := range names {
			if !everything && (i+j)%len(names) > 0 { // each way to fail at one of the places
				continue
			}
			isBad := places[place]
			t.Run(ill.name+", "+place, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					bad := func(body string) bool {
						var in struct {
							Job string
							N   int
						}
						if err := json.Unmarshal([]byte(body), &in); err != nil {
							t.Error(err)
						}
						return in.Job != "" && isBad(in.Job, in.N)
					}
					s := &server{limit: slots}
					s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
						if isCanary(body) {
							return wait(ctx, answer/10)
						}
						if !bad(body) {
							return wait(ctx, uneven(answer, body))
						}
						if _, err := wait(ctx, ill.after); err != nil {
							return nil, err
						}
						f := ill.fails
						return nil, &f
					}
					d := w.dispatcher(Options{}, s)
					sick := 0
					sizes := map[string]int{"a": records, "b": records / 5}
					good := map[string]int{}
					for job, size := range sizes {
						j := w.jobOf(job, size, 100, func(n int) string { return fmt.Sprintf(`{"job":%q,"n":%d}`, job, n) })
						j.Owner = job
						d.Enqueue(j)
						for n := range size {
							if isBad(job, n) {
								sick++
							} else {
								good[job]++
							}
						}
					}
					began := time.Now()
					defer w.start(d)()
					well := good["a"] + good["b"]
					late := time.After(2 * time.Hour)
					for w.answered() < well {
						select {
						case <-w.sunk:
						case <-late:
							t.Fatalf("after two hours %d of %d good records are answered", w.answered(), well)
						}
					}
					took := time.Since(began)
					once := (time.Duration(well)*answer + time.Duration(sick)*ill.after) / slots
					if most := once*100/95 + 2*answer + time.Second + ill.after; took > most {
						t.Errorf("the good records took %v, want at most %v", took, most)
					}
					w.await(sizes["a"], "a")
					w.await(sizes["b"], "b")
					if n := w.errors("a") + w.errors("b"); n != sick {
						t.Errorf("%d records ended with an error, want %d", n, sick)
					}
					if took := time.Since(began); took > 4*once+6*ill.after+10*time.Minute {
						t.Errorf("the last record ended after %v", took)
					}
				})
			})
		}
	}
}

// uneven is a time of about so much that belongs to the record: a server does not end all that it runs at the same moment.
func uneven(d time.Duration, body string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(body))
	return d*9/10 + d*time.Duration(h.Sum32()%200)/1000
}

// answered counts the records that were answered, of all jobs.
func (w *world) answered() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, outcomes := range w.outcomes {
		for _, o := range outcomes {
			if !o.Errored {
				n++
			}
		}
	}
	return n
}

// Law 2: a server that is broken for everybody for an hour costs no record an error line, and gets at most one trial a probe.
func TestAnHourOfOutageCostsNoRecord(t *testing.T) {
	for i, ill := range illnesses() {
		for _, canary := range []bool{true, false} {
			if !everything && (i%3 > 0 || !canary && i%2 > 0) {
				continue
			}
			if ill.fails.Kind == batholith.FailureBadRecord && !canary {
				continue // nothing can tell it from bad records
			}
			t.Run(fmt.Sprintf("%s, canary %v", ill.name, canary), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					began := time.Now()
					s := &server{limit: 16}
					s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
						if up := time.Since(began); up < 10*time.Second || up > 70*time.Minute {
							return wait(ctx, time.Second)
						}
						if _, err := wait(ctx, ill.after); err != nil {
							return nil, err
						}
						f := ill.fails
						return nil, &f
					}
					o := Options{Lease: time.Minute}
					if !canary {
						o.Canary = noCanary
					}
					d := w.dispatcher(o, s)
					d.Enqueue(w.job("a", 1000, 100))
					defer w.start(d)()
					time.Sleep(65 * time.Minute)
					all, _ := s.requests()
					// 10 s, then what was in flight and what it takes to see that it is no accident, then a probe every ten seconds at the most often
					if most := 160 + 64 + 65*60/10 + 20; all > most || s.canariesSent() > 65*60/10+20 {
						t.Errorf("%d requests and %d canaries, want at most %d", all, s.canariesSent(), most)
					}
					if w.note("a") == "" {
						t.Error("the job's note says nothing")
					}
					w.await(1000, "a")
					errors := w.errors("a")
					if ill.fails.Kind == batholith.FailureBadRecord {
						errors -= refusedAlike // they were the records' own, as far as anybody could know
					}
					if errors > 0 {
						t.Errorf("%d records ended with an error", errors)
					}
					synctest.Wait()
					if note := w.note("a"); note != "" {
						t.Errorf("the note stays: %s", note)
					}
				})
			})
		}
	}
}

// Law 3: principals get their shares while one of them sends nothing but bad records.
func TestSharesAreKeptBesideAPrincipalWithBadRecordsOnly(t *testing.T) {
	for i, ill := range illnesses() {
		if !everything && i%3 > 0 {
			continue
		}
		t.Run(ill.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := &server{limit: 16}
				s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
					var in struct{ Job string }
					if err := json.Unmarshal([]byte(body), &in); err != nil {
						t.Error(err)
					}
					if in.Job != "bad" {
						return wait(ctx, time.Second)
					}
					if _, err := wait(ctx, ill.after); err != nil {
						return nil, err
					}
					f := ill.fails
					return nil, &f
				}
				d := w.dispatcher(Options{}, s)
				for _, owner := range []string{"one", "two", "bad"} {
					j := w.jobOf(owner, 4000, 200, func(n int) string { return fmt.Sprintf(`{"job":%q,"n":%d}`, owner, n) })
					j.Owner = owner
					d.Enqueue(j)
				}
				defer w.start(d)()
				time.Sleep(2 * time.Minute) // who comes first may have every slot until its first requests are back
				one, two := w.count("one"), w.count("two")
				time.Sleep(2 * time.Minute)
				// Each has a third of the slots as long as the bad one has work, and half of them afterwards.
				if one, two = w.count("one")-one, w.count("two")-two; min(one, two) < 120*16*30/100 {
					t.Errorf("the others have %d and %d records in two minutes, want a third of 1920", one, two)
				}
			})
		})
	}
}
