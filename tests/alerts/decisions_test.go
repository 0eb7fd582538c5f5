package alerts

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/prometheus/common/model"

	"github.com/batholith/batholith/tests/harness"
)

// counter waits until a counter with these labels has the value.
func counter(t *testing.T, s *harness.Server, name string, want float64, labels ...string) {
	t.Helper()
	late := time.After(patience)
	for {
		samples, err := scrape(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		got := -1.0
		for _, one := range samples {
			fits := string(one.Metric[model.MetricNameLabel]) == name
			for i := 0; fits && i < len(labels); i += 2 {
				fits = string(one.Metric[model.LabelName(labels[i])]) == labels[i+1]
			}
			if fits {
				got = float64(one.Value)
			}
		}
		if got == want {
			return
		}
		select {
		case <-late:
			t.Errorf("%s %v is %v; want %v", name, labels, got, want)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// What the program decides about whole jobs, and what it tells receivers, is counted where it happens: a cap, samples that pass and fail, and
// events that are taken and refused.
func TestDecisionsAndEventsAreCounted(t *testing.T) {
	w := harness.NewWitness(t, 0)
	w.Answer = func(rw http.ResponseWriter, prompt string, _ int) bool {
		if !strings.HasPrefix(prompt, "p9") { // the prompts of the job that fails
			return false
		}
		rw.WriteHeader(http.StatusBadRequest)
		io.WriteString(rw, `{"error":{"message":"no such tool"}}`)
		return true
	}
	refuse := make(chan struct{}, 1) // a value: the next event is refused
	refuse <- struct{}{}
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		select {
		case <-refuse:
			rw.WriteHeader(http.StatusInternalServerError)
		default:
		}
	}))
	defer hook.Close()
	s := harness.Start(t, fmt.Sprintf("events: [{url: %q}]\n", hook.URL)+harness.Model(w.URL, ""))
	create := func(name string, first int, tag, value string) string {
		s.Put(name+"/a.jsonl", harness.PromptsFrom(first, 60))
		return s.Create(name+"/a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) {
			in.JobName, in.Tags = aws.String(name), []types.Tag{{Key: &tag, Value: &value}}
		})
	}
	paused := func(job, why string) {
		t.Helper()
		s.Until(job, func(j *harness.Job) bool { return strings.Contains(harness.Told(j), why) })
	}
	s.End(create("passes", 0, "batholith:canary", "5"))
	paused(create("fails", 9000, "batholith:canary", "5"), "all failed in the same way")
	paused(create("capped", 2000, "batholith:max-tokens", "200"), "the cap of the tag batholith:max-tokens is reached")
	counter(t, s, "batholith_samples_total", 1, "gen_ai_request_model", "m", "outcome", "passed")
	counter(t, s, "batholith_samples_total", 1, "gen_ai_request_model", "m", "outcome", "failed")
	counter(t, s, "batholith_caps_reached_total", 1, "gen_ai_request_model", "m", "cap", "job")
	counter(t, s, "batholith_event_posts_total", 1, "outcome", "failed")
	counter(t, s, "batholith_event_posts_total", 13, "outcome", "delivered") // Submitted to InProgress of three jobs, and one Completed
}

// A model server that is down on purpose, because it is drained, is no alarm; one that is down and resumed is.
func TestADrainedModelServerThatIsDownIsNoAlarm(t *testing.T) {
	server := harness.NewWitness(t, 0)
	s := harness.Start(t, harness.Model(server.URL, ""))
	s.Put("a.jsonl", harness.Prompts(3))
	s.End(s.Create("a.jsonl"))
	w := watch(t, s)
	backend := func(verb string) {
		t.Helper()
		cmd := exec.Command(harness.Binary(t), "backend", verb, server.Address())
		cmd.Env, cmd.Dir = s.Environ(), s.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("batholith backend %s: %v: %s", verb, err, out)
		}
	}
	server.Close()
	s.Create("a.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String("waits") }) // it is found out that nobody answers
	w.fires("BatholithBackendDown")
	backend("drain")
	w.ends("BatholithBackendDown")
	backend("resume")
	w.fires("BatholithBackendDown")
}
