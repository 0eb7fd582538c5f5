package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// Whatever a job waits for, its note says so after some seconds, with the cause, and no longer than that.
func TestAWaitIsNotedWithItsCauseAndTakenBack(t *testing.T) {
	down := errors.New("nothing listens at 127.0.0.1:9 (connection refused); start the S3 server there")
	for _, c := range []struct {
		name   string
		status batholith.Status // in which it waits
		begin  func(w *world)
		end    func(w *world)
		want   string
		after  batholith.Status
	}{
		{"to be validated", batholith.StatusValidating,
			func(w *world) { w.bucket.SetFault(func(string, string) (bool, error) { return false, down }) },
			func(w *world) { w.bucket.SetFault(nil) }, "The job waits to be validated: put", batholith.StatusScheduled},
		{"to be validated, the input", batholith.StatusValidating,
			func(w *world) {
				w.bucket.SetFault(func(op, _ string) (bool, error) { return op != "Head", down })
			},
			func(w *world) { w.bucket.SetFault(nil) }, "The job waits to be validated: head", batholith.StatusScheduled},
		{"for its turn", batholith.StatusSubmitted,
			func(w *world) { w.hold(batholith.StatusSubmitted) },
			func(w *world) { w.life.fast.give("others") }, "The job waits for its turn to be validated", batholith.StatusScheduled},
		{"for its turn to be read", batholith.StatusValidating,
			func(w *world) {
				w.bucket.SetFault(func(op, _ string) (bool, error) {
					if op == "Put" { // it has its turn to begin, and another takes the places before it reads
						w.bucket.SetFault(nil)
						w.hold(batholith.StatusSubmitted)
					}
					return true, nil
				})
			},
			func(w *world) { w.life.fast.give("others") }, "The job waits for its turn to be validated", batholith.StatusScheduled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(20))
				defer w.start()()
				c.begin(w)
				w.create(id, "a.jsonl")
				time.Sleep(noteAfter - time.Second)
				synctest.Wait()
				if j := w.job(id); j.Status != c.status || j.Note != "" {
					t.Errorf("after %s the job is %s, noted %q", noteAfter-time.Second, j.Status, j.Note)
				}
				time.Sleep(2*noteAfter + time.Second)
				synctest.Wait()
				j := w.job(id)
				if j.Status != c.status || !strings.Contains(strings.ToLower(j.Note), strings.ToLower(c.want)) && !strings.Contains(j.Note, "nothing listens") || j.Message != "" {
					t.Errorf("the job is %s, noted %q, message %q", j.Status, j.Note, j.Message)
				}
				c.end(w)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if j := w.job(id); j.Status != c.after || j.Note != "" {
					t.Errorf("afterwards the job is %s, noted %q", j.Status, j.Note)
				}
			})
		})
	}
}

// running has a job InProgress, with options of its own.
func (w *world) running(options func(*Options)) (stop func()) {
	w.t.Helper()
	w.options = options
	w.put("a.jsonl", records(20))
	stop = w.start()
	w.create(id, "a.jsonl")
	w.reach(batholith.StatusInProgress)
	return stop
}

// fails reports the same failure for a while, as a part that repeats a call does.
func (w *world) fails(what Wait, err error, during time.Duration) {
	for began := time.Now(); time.Since(began) < during; time.Sleep(5 * time.Second) {
		w.life.Waits(id, what, began, err)
	}
}

func TestAWaitOfAnotherPackageIsNoted(t *testing.T) {
	for what, ended := range map[Wait]func(w *world){
		ToRead:  func(w *world) { w.life.Waits(id, ToRead, time.Time{}, nil) },
		ToStore: func(w *world) { w.commit(id, 1, 0) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.running(nil)()
			w.life.Waits(id, what, time.Now().Add(-noteAfter/2), errors.New("503 SlowDown"))
			if j := w.job(id); j.Note != "" {
				t.Errorf("at once: %q", j.Note)
			}
			w.fails(what, errors.New("503 \x1b[31mSlowDown"), noteAfter+5*time.Second)
			if j := w.job(id); !strings.HasPrefix(j.Note, string(what)+": 503 \\u001b[31mSlowDown. ") {
				t.Errorf("noted %q", j.Note)
			}
			ended(w)
			synctest.Wait()
			if j := w.job(id); j.Note != "" || j.Status != batholith.StatusInProgress {
				t.Errorf("afterwards the job is %s, noted %q", j.Status, j.Note)
			}
		})
	}
}

// A note is one column, and dispatch writes there too: each takes back its own words only, and a wait that goes on is noted again.
func TestANoteOfAnotherIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.running(nil)()
		const theirs = "Records wait: model server x cannot be used."
		note := func(n string) {
			t.Helper()
			if err := w.store.Note(t.Context(), id, n); err != nil {
				t.Fatal(err)
			}
		}
		w.fails(ToRead, errors.New("503"), 20*time.Second)
		note(theirs)
		w.life.Waits(id, ToRead, time.Time{}, nil)
		if j := w.job(id); j.Note != theirs {
			t.Errorf("noted %q", j.Note)
		}
		w.fails(ToRead, errors.New("503"), 20*time.Second)
		note("") // theirs is over
		w.fails(ToRead, errors.New("503"), 20*time.Second)
		if j := w.job(id); !strings.HasPrefix(j.Note, string(ToRead)) {
			t.Errorf("noted %q while records wait to be read", j.Note)
		}
	})
}

// A note of more than a message's length is cut, and still says what happens next.
func TestANoteKeepsItsEnd(t *testing.T) {
	o := wait{err: errors.New(strings.Repeat("é", batholith.MaxMessage))}
	if got := o.text(ToRead, time.Time{}); len(got) > batholith.MaxMessage || !strings.HasSuffix(got, " Batholith retries automatically.") || strings.Contains(got, "\ufffd") {
		t.Errorf("%d bytes: …%s", len(got), got[len(got)-60:])
	}
}

var errDenied = fmt.Errorf("put s3://out/x: %w", batholith.ErrAccessDenied)

// Access that is denied for a while fails no job, whichever part meets it; nothing that was finished is given up.
func TestAccessThatIsDeniedForAWhileFailsNoJob(t *testing.T) {
	for name, denied := range map[string]func(w *world){
		"to store": func(w *world) { w.fails(ToStore, errDenied, patience-time.Minute); w.commit(id, 15, 0) },
		"to read": func(w *world) {
			w.fails(ToRead, errDenied, patience-time.Minute)
			w.life.Waits(id, ToRead, time.Time{}, nil)
			time.Sleep(2 * patience)
			w.commit(id, 15, 0)
		},
		"to read, and an outage between": func(w *world) {
			w.fails(ToRead, errDenied, patience-time.Minute)
			w.fails(ToRead, errors.New("503"), time.Minute)
			w.fails(ToRead, errDenied, patience-time.Minute)
			w.life.Waits(id, ToRead, time.Time{}, nil)
			w.commit(id, 15, 0)
		},
		"to store, as a fault": func(w *world) { w.life.Fault(id, errDenied); time.Sleep(patience - time.Minute); w.commit(id, 15, 0) },
		"to publish": func(w *world) {
			until := time.Now().Add(patience - time.Minute)
			w.at(func(name string) error {
				if name == "publish" && time.Now().Before(until) {
					return errDenied
				}
				return nil
			})
			w.commit(id, 15, 0)
			time.Sleep(patience)
		},
		"to publish and by outages": func(w *world) {
			began := time.Now()
			w.at(func(name string) error {
				switch past := time.Since(began); {
				case name != "publish" || past > time.Hour:
					return nil
				case past%(patience/2) < time.Minute:
					return errors.New("503")
				}
				return errDenied
			})
			w.commit(id, 15, 0)
			time.Sleep(2 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				spy := &shelfSpy{now: map[string]bool{}}
				defer w.running(func(o *Options) { o.Shelf = spy })()
				denied(w)
				time.Sleep(time.Minute)
				synctest.Wait()
				if j := w.job(id); j.Status != batholith.StatusCompleted || spy.ever {
					t.Errorf("the job is %s (%s), shelved: %v", j.Status, j.Message, spy.ever)
				}
			})
		})
	}
}

// waiting is a dispatcher whose Halt waits for outcomes that the bucket does not take, and the shelf that takes them in the end.
type waiting struct {
	*world
	given chan struct{}
	at    time.Time
}

func (h *waiting) Shelve(string) {
	if h.at.IsZero() {
		h.at = time.Now()
		close(h.given)
	}
}

func (h *waiting) Unshelve(string) {}

func (h *waiting) Halt(ctx context.Context, job string, cause error) error {
	select {
	case <-h.given:
		return h.world.Halt(ctx, job, cause)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// What is left of it goes to the shelf then, and the output is tried once more. A job that is failing for another reason does not wait.
func TestAccessThatStaysDeniedFailsTheJob(t *testing.T) {
	for name, begin := range map[string]func(w *world){
		"while it runs":             func(w *world) {},
		"while it runs, as a fault": func(w *world) { w.life.Fault(id, errDenied) },
		"while its end is made":     func(w *world) { w.life.Fault(id, errors.New("the input is gone")) },
		"while it is stopped":       func(w *world) { w.life.Stop(w.t.Context(), account, id) },
		"while its time runs out":   func(w *world) { time.Sleep(24*time.Hour - time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.look = time.Hour
				h := &waiting{world: w, given: make(chan struct{})}
				defer w.running(func(o *Options) { o.Dispatch, o.Shelf = h, h })()
				begin(w)
				began := time.Now()
				w.at(func(name string) error {
					if name == "publish" {
						return errDenied
					}
					return nil
				})
				w.fails(ToStore, errDenied, patience+time.Minute)
				if name == "while its end is made" {
					time.Sleep(patience) // for the output
				}
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusFailed || j.Kept != batholith.KeptWaiting || !strings.Contains(j.Message, "access denied") {
					t.Errorf("the job is %s (%s), kept %q", j.Status, j.Message, j.Kept)
				}
				if after := h.at.Sub(began); name != "while its end is made" && (after < patience || after > patience+10*time.Second) {
					t.Errorf("the outcomes went to the shelf after %s", after)
				}
			})
		})
	}
}

// What cannot be read costs nothing that was finished: it is in the output.
func TestAnInputThatStaysDeniedFailsTheJobWithItsOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.running(nil)()
		w.fails(ToRead, errDenied, patience-time.Minute)
		if j := w.job(id); j.Status != batholith.StatusInProgress {
			t.Errorf("the job is %s (%s)", j.Status, j.Message)
		}
		w.fails(ToRead, errDenied, 2*time.Minute)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || len(w.finals(id)) != 1 || j.Kept != "" {
			t.Errorf("the job is %s (%s), published %v", j.Status, j.Message, w.finals(id))
		}
	})
}

// What a failed job had finished is published after an outage too, however long that takes within the job's time.
func TestAnOutageTakesNothingFromAJobThatFails(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.look = time.Hour
			defer w.running(nil)()
			time.Sleep(22 * time.Hour)
			synctest.Wait()
			shown := w.partials(id) // while it ran
			back := time.Now().Add(90 * time.Minute)
			w.at(func(name string) error {
				if (name == "publish" || name == "salvage") && time.Now().Before(back) {
					return errors.New("503 SlowDown")
				}
				if name == "publish" && lost {
					return batholith.ErrOutcomesLost
				}
				return nil
			})
			w.life.Fault(id, errors.New("the input is gone"))
			time.Sleep(80 * time.Minute)
			synctest.Wait()
			if j := w.job(id); j.Status != batholith.StatusInProgress || !strings.Contains(j.Note, "503") {
				t.Errorf("during the outage the job is %s, noted %q", j.Status, j.Note)
			}
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			published := len(w.finals(id)) + w.partials(id) - shown
			if j := w.job(id); j.Status != batholith.StatusFailed || published != 1 || !strings.HasPrefix(j.Message, jobFailed+"the input is gone") {
				t.Errorf("the job is %s (%s), published %d times", j.Status, j.Message, published)
			}
		})
	}
}

// A job that fails ends all the same, if what is wrong with it is in the way of its output for good.
func TestAJobThatFailsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.running(nil)()
		w.at(func(name string) error {
			if name == "publish" {
				return errors.New("the segments hold 4 outcomes and the job counts 5")
			}
			return nil
		})
		time.Sleep(23*time.Hour + 30*time.Minute)
		w.life.Fault(id, errors.New("the index is damaged"))
		time.Sleep(failedFor - time.Minute)
		if j := w.job(id); j.Status != batholith.StatusInProgress {
			t.Errorf("after %s the job is %s (%s)", failedFor-time.Minute, j.Status, j.Message)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "index is damaged") || !strings.Contains(j.Message, "hold 4 outcomes") {
			t.Errorf("the job is %s (%s)", j.Status, j.Message)
		}
	})
}

// A denial in validation may be a hiccup of some seconds; after that the owner learns of it.
func TestAHiccupOfRightsFailsNoValidation(t *testing.T) {
	for during, want := range map[time.Duration]batholith.Status{firstPatience - time.Second: batholith.StatusScheduled, time.Hour: batholith.StatusFailed} {
		for _, op := range []string{"Put", "Head", "Read"} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(20))
				until := time.Now().Add(during)
				w.bucket.Fault = func(o, key string) (bool, error) {
					if o == op && time.Now().Before(until) {
						return false, errDenied
					}
					return true, nil
				}
				defer w.start()()
				w.create(id, "a.jsonl")
				time.Sleep(3 * firstPatience)
				synctest.Wait()
				if j := w.job(id); j.Status != want || want == batholith.StatusFailed && (!strings.Contains(j.Message, "permissions to access Amazon S3 bucket") || j.Ended.Sub(j.Submitted) > 10*time.Second) {
					t.Errorf("%s denied for %s: %s (%s)", op, during, j.Status, j.Message)
				}
			})
		}
	}
}

// An index that may not be written ends the validation, like anything else that is refused there.
func TestAnIndexThatMayNotBeWrittenFailsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(20))
		w.bucket.Fault = func(op, key string) (bool, error) {
			return op != "Put" || !strings.Contains(key, "/index/"), map[bool]error{true: errDenied}[op == "Put" && strings.Contains(key, "/index/")]
		}
		defer w.start()()
		w.create(id, "a.jsonl")
		time.Sleep(3 * firstPatience)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "PutObject") {
			t.Errorf("%s (%s)", j.Status, j.Message)
		}
	})
}
