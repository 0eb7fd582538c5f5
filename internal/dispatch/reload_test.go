package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// entry is a backend as a settings file has it: another version of the same name is a changed backend of the same server.
type entry struct {
	*server
	name    string
	version int
	most    int
}

func (e entry) Server() string   { return fmt.Sprintf("%s v%d", e.name, e.version) }
func (e entry) Key() string      { return e.Server() }
func (e entry) Origin() string   { return e.name }
func (e entry) String() string   { return e.name }
func (e entry) MaxInFlight() int { return e.most }

// changing is a dispatcher whose settings change: the entries of each model.
type changing struct {
	*Dispatcher
	mu     sync.Mutex
	models map[string][]entry
	access string
}

// changingDispatcher returns a dispatcher that asks c for the present settings.
func changingDispatcher(w *world, models map[string][]entry) *changing {
	c := &changing{Dispatcher: w.dispatcher(Options{}), models: models}
	c.o.Serving = func(j batholith.Job) (Serving, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		s := Serving{Model: j.ModelID, Access: c.access, Dialect: always(plain{})}
		for _, e := range c.models[j.ModelID] {
			s.Backends = append(s.Backends, e)
		}
		if len(s.Backends) == 0 {
			return s, errors.New("the model " + j.ModelID + " is not in the settings any more")
		}
		return s, nil
	}
	return c
}

// reload makes the settings change.
func (c *changing) reload(change func()) <-chan struct{} {
	c.mu.Lock()
	change()
	present := map[entry]bool{}
	for _, all := range c.models {
		for _, e := range all {
			present[e] = true
		}
	}
	c.mu.Unlock()
	return c.Reload(func(b Backend) bool { return present[b.(entry)] })
}

// Whatever is changed, drained and resumed while jobs run: each record is sent once and has one outcome, no configured limit is exceeded by requests that began after the change, and all jobs end.
func TestReloadsAndDrainsRepeatNothing(t *testing.T) {
	seeds := uint64(12)
	if everything {
		seeds = 400
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { reloadsRepeatNothing(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func reloadsRepeatNothing(t *testing.T, random *rand.Rand) {
	w, s := newWorld(t), answering(3*time.Second)
	names := []string{"a", "b", "c"}
	version := map[string]entry{}
	for _, name := range names {
		version[name] = entry{s, name, 0, 1 + random.IntN(4)}
	}
	c := changingDispatcher(w, map[string][]entry{"model": {version["a"]}, "other": {version["b"]}})
	jobs := []string{"one", "two", "three"}
	for i, id := range jobs {
		j := w.jobOf(id, 60, 7, func(n int) string { return fmt.Sprintf(`{"job":%d,"n":%d}`, i, n) })
		if i == 2 {
			j.ModelID = "other"
		}
		c.Enqueue(j)
	}
	defer w.start(c.Dispatcher)()
	drained := map[string]bool{}
	drain := func() { c.Drain(func(b Backend) bool { return drained[b.(entry).name] }) }
	for range 25 {
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		switch random.IntN(6) {
		case 0: // drain or resume a server
			name := names[random.IntN(len(names))]
			drained[name] = !drained[name]
			now := make(map[string]bool, len(drained))
			for n, on := range drained {
				now[n] = on
			}
			c.Drain(func(b Backend) bool { return now[b.(entry).name] })
		case 1: // change the rights of the roles
			c.reload(func() { c.access = fmt.Sprint(random.IntN(3)) })
		default: // change the models
			c.reload(func() {
				name := names[random.IntN(len(names))]
				e := version[name]
				e.version++
				e.most = 1 + random.IntN(4)
				version[name] = e
				for _, model := range []string{"model", "other"} {
					c.models[model] = nil
					for _, name := range names {
						if random.IntN(2) == 0 {
							c.models[model] = append(c.models[model], version[name])
						}
					}
				}
			})
		}
	}
	clear(drained)
	drain()
	c.reload(func() {
		c.models["model"], c.models["other"] = []entry{version["a"], version["b"]}, []entry{version["c"]}
	})
	w.await(60, jobs...)
	if all, repeated := s.requests(); all != 180 || repeated != 0 || len(w.twice) > 0 {
		t.Errorf("%d requests for 180 records, %d records were sent more than once; outcomes twice: %v", all, repeated, w.twice)
	}
	for _, id := range jobs {
		if n := w.errors(id); n > 0 {
			t.Errorf("job %s has %d errors", id, n)
		}
		if err := c.Halt(t.Context(), id, batholith.ErrMoved); err != nil {
			t.Error(err)
		}
		if n := w.leased(id); n > 0 {
			t.Errorf("job %s holds %d chunks", id, n)
		}
	}
}

// A job whose model is removed finishes what is in flight, holds nothing, says why it waits, and goes on when the model is back.
func TestAJobOfARemovedModelWaitsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(10*time.Second)
		e := entry{s, "a", 0, 4}
		c := changingDispatcher(w, map[string][]entry{"model": {e}})
		c.Enqueue(w.job("j", 20, 10))
		defer w.start(c.Dispatcher)()
		w.await(4, "j")
		time.Sleep(time.Second)
		idle := c.reload(func() { c.models["model"] = nil })
		select {
		case <-idle:
			t.Error("requests are in flight, and the removed backend counts as idle")
		default:
		}
		<-idle
		synctest.Wait()
		if n := w.count("j"); n != 8 || s.busy() != 0 || w.leased("j") != 0 {
			t.Errorf("%d outcomes, %d in flight, %d chunks leased", n, s.busy(), w.leased("j"))
		}
		if note := w.note("j"); !strings.HasPrefix(note, "Records wait: the model model is not in the settings any more.") {
			t.Errorf("the note is %q", note)
		}
		time.Sleep(time.Hour)
		if n := w.count("j"); n != 8 {
			t.Errorf("%d records were sent to nobody", n-8)
		}
		c.reload(func() { c.models["model"] = []entry{e} })
		w.await(20, "j")
		if _, repeated := s.requests(); repeated != 0 || w.note("j") != "" {
			t.Errorf("%d records were sent again; the note is %q", repeated, w.note("j"))
		}
	})
}

// A changed backend of the same server goes on with the limit that was found, and with the slots that are still taken.
func TestAChangedBackendKeepsItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(10*time.Second)
		c := changingDispatcher(w, map[string][]entry{"model": {{s, "a", 0, 6}}})
		c.Enqueue(w.job("j", 100, 10))
		defer w.start(c.Dispatcher)()
		w.await(6, "j")
		time.Sleep(time.Second)
		before := c.hosts["a v0"]
		c.reload(func() { c.models["model"] = []entry{{s, "a", 1, 6}} })
		w.await(30, "j")
		if c.hosts["a v1"] != before || c.hosts["a v0"] != nil {
			t.Error("the changed backend has another host")
		}
		if n := s.mostAtOnce(); n != 6 {
			t.Errorf("%d requests were in flight with a limit of 6", n)
		}
		c.reload(func() { c.models["model"] = []entry{{s, "a", 2, 2}} })
		w.await(50, "j")
		if n := s.busy(); n > 2 {
			t.Errorf("%d requests are in flight with a new limit of 2", n)
		}
		w.await(100, "j")
		if _, repeated := s.requests(); repeated != 0 {
			t.Errorf("%d records were sent again", repeated)
		}
	})
}

// A drained server gets nothing new; what is in flight there finishes, and other servers take the rest. If all servers are drained, the job says so,
// and a call is refused.
func TestADrainedServerGetsNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, one, two := newWorld(t), answering(10*time.Second), answering(10*time.Second)
		c := changingDispatcher(w, map[string][]entry{"model": {{one, "one", 0, 2}, {two, "two", 0, 2}}})
		c.Enqueue(w.job("j", 40, 10))
		defer w.start(c.Dispatcher)()
		w.await(4, "j")
		time.Sleep(time.Second)
		c.Drain(func(b Backend) bool { return b.String() == "one" })
		before, _ := one.requests()
		w.await(12, "j")
		if now, _ := one.requests(); now != before || one.busy() != 0 {
			t.Errorf("a drained server got %d requests", now-before)
		}
		if note := w.note("j"); note != "" {
			t.Errorf("one of two servers is drained, and the note is %q", note)
		}
		c.Drain(func(Backend) bool { return true })
		time.Sleep(time.Minute)
		all, _ := two.requests()
		if note := w.note("j"); !strings.HasPrefix(note, "Records wait: all model servers of the model are drained") {
			t.Errorf("the note is %q", note)
		}
		s, _ := c.o.Serving(batholith.Job{Request: batholith.Request{ModelID: "model"}})
		err := c.Interact(t.Context(), s, Request{Body: []byte(`{}`)}, func(context.Context, *Turn) error { return nil })
		if unready, ok := errors.AsType[*batholith.NotReadyError](err); !ok || !strings.Contains(unready.Why, "drained") {
			t.Errorf("a call to drained servers: %v", err)
		}
		time.Sleep(time.Hour)
		if now, _ := two.requests(); now != all {
			t.Errorf("drained servers got %d requests", now-all)
		}
		c.Drain(func(Backend) bool { return false })
		w.await(40, "j")
		if w.note("j") != "" || len(w.twice) > 0 {
			t.Errorf("the note is %q; twice: %v", w.note("j"), w.twice)
		}
	})
}
