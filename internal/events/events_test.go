package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/batholith/batholith"
	_ "github.com/batholith/batholith/internal/raced"
)

// outbox is a store.
type outbox struct {
	mu      sync.Mutex
	changes []batholith.Change
	cursors map[string]int64
	subs    []chan struct{}
	broken  error
}

func (o *outbox) Events(_ context.Context, seq int64, limit int) ([]batholith.Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var some []batholith.Change
	for _, c := range o.changes {
		if c.Seq > seq && len(some) < limit {
			some = append(some, c)
		}
	}
	return some, o.broken
}

func (o *outbox) Receiver(_ context.Context, name string) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.cursors[name]; !ok {
		o.cursors[name] = int64(len(o.changes))
	}
	return o.cursors[name], o.broken
}

func (o *outbox) PutReceiver(_ context.Context, name string, seq int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken == nil {
		o.cursors[name] = max(o.cursors[name], seq)
	}
	return o.broken
}

func (o *outbox) Find(_ context.Context, id string) (batholith.Job, error) {
	if strings.HasPrefix(id, "erased") {
		return batholith.Job{}, batholith.ErrNotFound
	}
	return batholith.Job{ID: id, Account: "000000000000", Region: "us-east-1", Model: "m", Request: batholith.Request{Name: "name-" + id, Output: batholith.Location{URI: "s3://out/"}},
		Submitted: time.Date(2024, 8, 28, 22, 47, 53, 0, time.UTC), Counts: batholith.Counts{Total: 3, Processed: 3, Succeeded: 2, Errored: 1}}, nil
}

func (o *outbox) Subscribe() (<-chan struct{}, func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ch := make(chan struct{}, 1)
	o.subs = append(o.subs, ch)
	return ch, func() {}
}

func (o *outbox) add(job string, status batholith.Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes = append(o.changes, batholith.Change{Seq: int64(len(o.changes) + 1), Job: job, Status: status, At: time.Now()})
	for _, ch := range o.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (o *outbox) cursor(name string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursors[name]
}

// hook is a receiver. answer decides what it answers to the nth request.
type hook struct {
	mu       sync.Mutex
	answer   func(n int, job, status string) (int, error)
	delay    func() time.Duration
	requests int
	flying   map[string]bool // jobs with a request in flight
	worst    int             // requests in flight at once, at most
	faults   []string
	taken    []string // JOB STATUS, in the order of the answers
}

func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	job := e.Resources[0][strings.LastIndex(e.Resources[0], "/")+1:]
	h.mu.Lock()
	h.requests++
	n := h.requests
	if h.flying[job] {
		h.faults = append(h.faults, "two requests of job "+job+" at once")
	}
	h.flying[job] = true
	h.worst = max(h.worst, len(h.flying))
	delay := time.Duration(0)
	if h.delay != nil {
		delay = h.delay()
	}
	h.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.flying, job)
	code, err := http.StatusNoContent, r.Context().Err()
	if err == nil && h.answer != nil {
		code, err = h.answer(n, job, e.Detail.Status)
	}
	if err != nil {
		return nil, err
	}
	if code/100 == 2 {
		h.taken = append(h.taken, job+" "+e.Detail.Status)
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("said"))}, nil
}

// served runs a courier with one receiver in a bubble; it ends with the bubble.
func served(t *testing.T, o *outbox, h *hook, r Receiver) (stop func()) {
	t.Helper()
	h.flying = map[string]bool{}
	r.Name, r.URL, r.transport = "hook", "http://hook/", h
	if r.Timeout == 0 {
		r.Timeout = time.Minute
	}
	if r.MaxAge == 0 {
		r.MaxAge = 72 * time.Hour
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		c := New(Options{Store: o, Receivers: []Receiver{r}, Log: slog.New(slog.DiscardHandler)})
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	synctest.Wait()
	return func() { cancel(); running.Wait() }
}

// lives are the statuses of a job in order.
var lives = []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress, batholith.StatusCompleted}

// inOrder checks that every event of the outbox was taken, and those of a job in order. A repetition may only repeat.
func inOrder(t *testing.T, o *outbox, h *hook) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	at := map[string]int{}
	for _, taken := range h.taken {
		job, status, _ := strings.Cut(taken, " ")
		i := slices.Index(lives, batholith.Status(status))
		if i > at[job] {
			t.Errorf("%s came after %d events of its job", taken, at[job])
		}
		at[job] = max(at[job], i+1)
	}
	all := map[string]int{}
	for _, c := range o.changes {
		all[c.Job]++
	}
	for job, n := range all {
		if at[job] != n {
			t.Errorf("job %s: %d of %d events were taken", job, at[job], n)
		}
	}
	if len(h.faults) > 0 {
		t.Error(h.faults[0])
	}
}

// A receiver that is slow, refuses, breaks connections and dies, and a process that is restarted at any moment: each event arrives at least
// once, and those of a job in order.
func TestEveryEventArrivesInTheOrderOfItsJob(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex // guards r
			draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return r.IntN(n) }
			o := &outbox{cursors: map[string]int64{"hook": 0}}
			bad := 2 + draw(8)
			h := &hook{delay: func() time.Duration { return time.Duration(draw(2000)) * time.Millisecond }, answer: func(int, string, string) (int, error) {
				switch draw(bad) {
				case 0:
					return []int{500, 503, 429, 400, 404, 301, 410}[draw(7)], nil
				case 1:
					return 0, errors.New("connection reset")
				}
				return 200, nil
			}}
			// Events that are refused are never given up here, so that each must arrive.
			stop := served(t, o, h, Receiver{MaxAge: 1e6 * time.Hour})
			h.mu.Lock()
			old := h.answer
			h.answer = func(n int, job, status string) (int, error) {
				code, err := old(n, job, status)
				if code/100 == 4 && code != 429 {
					code = 500
				}
				return code, err
			}
			h.mu.Unlock()
			next := map[string]int{}
			for range 120 {
				job := fmt.Sprint("job", draw(12))
				if n := next[job]; n < len(lives) {
					o.add(job, lives[n])
					next[job]++
				}
				time.Sleep(time.Duration(draw(3000)) * time.Millisecond)
				if draw(15) == 0 {
					stop()
					stop = served(t, o, h, Receiver{MaxAge: 1e6 * time.Hour})
				}
			}
			h.mu.Lock()
			h.answer = nil
			h.mu.Unlock()
			time.Sleep(time.Hour)
			stop()
			inOrder(t, o, h)
			if got := o.cursor("hook"); got != int64(len(o.changes)) {
				t.Errorf("the cursor is %d of %d", got, len(o.changes))
			}
		})
	}
}

// A receiver that takes nothing gets one request at a time, ever more rarely; once it takes events again, all arrive.
func TestAReceiverThatIsDownIsAskedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{cursors: map[string]int64{"hook": 0}}
		h := &hook{answer: func(int, string, string) (int, error) { return 503, nil }, delay: func() time.Duration { return time.Second }}
		stop := served(t, o, h, Receiver{})
		for n := range 50 {
			o.add(fmt.Sprint("job", n), batholith.StatusSubmitted)
		}
		time.Sleep(24 * time.Hour)
		h.mu.Lock()
		if n := h.requests; n < 24*60/5 || n > 24*60/5*2+100 || h.worst > parallel {
			t.Errorf("%d requests in a day, %d at once", n, h.worst)
		}
		h.answer = nil
		h.mu.Unlock()
		time.Sleep(10 * time.Minute)
		stop()
		inOrder(t, o, h)
	})
}

// One event that a receiver refuses holds up its job until it is given up, and no other job.
func TestAnEventThatIsRefusedHoldsUpNoOtherJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{cursors: map[string]int64{"hook": 0}}
		h := &hook{answer: func(_ int, job, status string) (int, error) {
			if job == "bad" && status == "Submitted" {
				return 422, nil
			}
			return 200, nil
		}}
		stop := served(t, o, h, Receiver{})
		o.add("bad", batholith.StatusSubmitted)
		o.add("bad", batholith.StatusValidating)
		for n := range 20 {
			o.add(fmt.Sprint("good", n), batholith.StatusSubmitted)
		}
		time.Sleep(500 * time.Millisecond)
		h.mu.Lock()
		if len(h.taken) != 20 {
			t.Errorf("%d events of other jobs were taken at once", len(h.taken))
		}
		h.mu.Unlock()
		time.Sleep(time.Minute)
		o.add("last", batholith.StatusSubmitted)
		time.Sleep(time.Hour)
		stop()
		h.mu.Lock()
		defer h.mu.Unlock()
		if !slices.Contains(h.taken, "bad Validating") || slices.Contains(h.taken, "bad Submitted") {
			t.Error("the next event of the job did not follow the one that was given up")
		}
		if got := o.cursor("hook"); got != int64(len(o.changes)) {
			t.Errorf("the cursor is %d of %d", got, len(o.changes))
		}
	})
}

// A receiver that refuses everything may be at fault itself: nothing is given up before its age.
func TestNothingIsGivenUpWhileNothingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{cursors: map[string]int64{"hook": 0}}
		h := &hook{answer: func(int, string, string) (int, error) { return 404, nil }}
		stop := served(t, o, h, Receiver{MaxAge: 48 * time.Hour})
		o.add("a", batholith.StatusSubmitted)
		o.add("b", batholith.StatusSubmitted)
		time.Sleep(47 * time.Hour)
		if got := o.cursor("hook"); got != 0 {
			t.Errorf("the cursor is %d after 47 hours", got)
		}
		time.Sleep(2 * time.Hour)
		if got := o.cursor("hook"); got != 2 {
			t.Errorf("the cursor is %d after 49 hours", got)
		}
		stop()
	})
}

// An outage of the store, a job that was erased, statuses that are not wanted, and a new receiver.
func TestWhatIsNotSentIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{cursors: map[string]int64{}}
		h := &hook{}
		o.add("before", batholith.StatusSubmitted)
		stop := served(t, o, h, Receiver{Statuses: []batholith.Status{batholith.StatusSubmitted}})
		o.mu.Lock()
		o.broken = errors.New("the database is away")
		o.mu.Unlock()
		o.add("a", batholith.StatusSubmitted)
		o.add("a", batholith.StatusValidating)
		o.add("erased", batholith.StatusSubmitted)
		time.Sleep(time.Minute)
		o.mu.Lock()
		o.broken = nil
		o.mu.Unlock()
		time.Sleep(time.Minute)
		stop()
		if !slices.Equal(h.taken, []string{"a Submitted"}) || o.cursor("hook") != 4 {
			t.Errorf("%q were taken, and the cursor is %d", h.taken, o.cursor("hook"))
		}
	})
}

// The bodies are those of EventBridge and CloudEvents, with the same id at each repetition, and a signature that the reference library of
// Standard Webhooks verifies.
func TestAnEventIsWhatItsReadersKnow(t *testing.T) {
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var bodies []string
	var heads []http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies, heads = append(bodies, string(body)), append(heads, r.Header)
	}))
	defer s.Close()
	job, _ := (&outbox{}).Find(t.Context(), "abcdefghijkl")
	c := batholith.Change{Job: job.ID, Status: batholith.StatusFailed, Message: "Cannot read", At: time.Date(2024, 8, 28, 23, 0, 0, 5e6, time.UTC)}
	for _, format := range []Format{EventBridge, EventBridge, CloudEvents} {
		r := Receiver{URL: s.URL, Format: format, Secret: secret, Header: http.Header{"Authorization": {"Bearer x"}}, Timeout: time.Minute}
		if err := r.post(t.Context(), r.client(), c, job, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	arn := "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"
	id := heads[0].Get("Webhook-Id")
	detail := `{"version":"0.0","accountId":"000000000000","batchJobName":"name-abcdefghijkl","batchJobArn":"` + arn + `","batchModelId":"arn:aws:bedrock:us-east-1::foundation-model/m",` +
		`"status":"Failed","failureMessage":"Cannot read","creationTime":"Aug 28, 2024, 10:47:53 PM",` +
		`"batholith":{"modelId":"m","changeTime":"2024-08-28T23:00:00.005Z","outputS3Uri":"s3://out/","counts":{"totalRecordCount":3,"successRecordCount":2,"errorRecordCount":1}}}`
	bridge := `{"version":"0","id":"` + id + `","detail-type":"Batch Inference Job State Change","source":"aws.bedrock","account":"000000000000","time":"2024-08-28T23:00:00Z",` +
		`"region":"us-east-1","resources":["` + arn + `"],"detail":` + detail + `}`
	cloud := `{"data":` + detail + `,"datacontenttype":"application/json","id":"` + id + `","source":"/000000000000/us-east-1/bedrock","specversion":"1.0","subject":"` + arn +
		`","time":"2024-08-28T23:00:00.005Z","type":"aws.bedrock.batch-inference-job-state-change"}`
	for i, want := range []string{bridge, bridge, cloud} {
		if bodies[i] != want {
			t.Errorf("body %d is\n%s, want\n%s", i, bodies[i], want)
		}
		w, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = w.Verify([]byte(bodies[i]), heads[i])
		}
		if err != nil || heads[i].Get("Authorization") != "Bearer x" || heads[i].Get("Webhook-Id") != id {
			t.Error(err, heads[i])
		}
	}
	if heads[0].Get("Content-Type") != "application/json" || heads[2].Get("Content-Type") != "application/cloudevents+json" {
		t.Error(heads[0], heads[2])
	}
}
