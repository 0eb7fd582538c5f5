package crash

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

// heldStories are the ways to the points of jobs that are paused, or have a sample or a cap. After each of them a paused job is paused, a
// job that was not paused goes on by itself, nothing is sent again but what was in flight, every record's tokens count once, and nothing
// stays reserved.
//
//	steps of a pause                the process dies after it
//	the pause is stored             the job rests after the restart; what was in flight is sent when it is resumed
//	its outcomes are committed      the restart gives up the reservation and the chunks of this worker
//	the reservation is given up     the restart releases the chunks
//	the chunks are released         nothing is to be done
//	the end of the pause is stored  the job goes on
//
//	steps of a sample
//	its chunks are claimed          the restart releases them; they are claimed again, and the same records are sent first
//	its records have ended          outcomes of the journal are committed; the other records of the sample are sent again
//	it has passed                   all others are sent, without a sample
//	the job is paused               as any paused job; resumed, it has no sample
//
//	steps of a cap
//	tokens are reserved             the restart gives them up, since nothing of the journal needs them
//	outcomes are committed          the same: the outcomes count as stored
//	the job is paused               as any paused job; it goes on when the cap was raised
func heldStories() map[string]func(*death) {
	return map[string]func(*death){
		"control.paused:1":          (*death).whenPaused,
		"dispatch.rested:1":         (*death).whenPaused,
		"dispatch.unreserved:1":     (*death).whenPaused,
		"dispatch.let-go:1":         (*death).whenPaused,
		"control.resumed:1":         (*death).whenResumed,
		"dispatch.sample-claimed:1": (*death).withSample,
		"dispatch.sample-judged:1":  (*death).withSample,
		"dispatch.sample-passed:1":  (*death).withSample,
		"dispatch.sample-failed:1":  (*death).withBadSample,
		"dispatch.reserved:1":       (*death).withCap,
		"dispatch.reserved:3":       (*death).withCap,
		"dispatch.settled:1":        (*death).withCap,
		"dispatch.settled:4":        (*death).withCap,
		"dispatch.capped:1":         (*death).whenCapped,
	}
}

func TestAJobThatIsHeldIsHeldAfterADeath(t *testing.T) {
	t.Parallel()
	harness.EmbeddedS3Only(t)
	for at, story := range heldStories() {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			story(&death{t: t, point: at, files: files, each: 120})
		})
	}
	t.Run("dispatch.sample-judged:1/bad", func(t *testing.T) {
		t.Parallel()
		(*death).withBadSample(&death{t: t, point: "dispatch.sample-judged:1", files: files, each: 120})
	})
}

// tokensEach is how many tokens the witness counts for a record.
const tokensEach = 5

// aRecord is about the most that the tests' records may take, in tokens: some 70 bytes, the chat template and five of the answer.
const aRecord = 150

// pauses runs batholith job VERB for the job.
func (d *death) pauses(verb string) error {
	cmd := exec.Command(harness.Binary(d.t), "job", verb, harness.ID(d.job))
	cmd.Env, cmd.Dir = append(d.s.Environ(), "AWS_MAX_ATTEMPTS=1"), d.s.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// isPaused waits until the job's note says that it is paused for this reason. Then another job of the same principal runs to its end, and
// meanwhile no record of the paused one is sent.
func (d *death) isPaused(why string) {
	d.t.Helper()
	j := d.s.Until(d.job, func(j *harness.Job) bool { return strings.Contains(harness.Told(j), why) })
	if !strings.Contains(harness.Told(j), "Paused since") {
		d.t.Fatalf("the job is not paused: %s", harness.Told(j))
	}
	d.w.Idle(d.t)
	before, _, _ := d.w.Requests()
	const beside = 20
	d.s.Put("beside.jsonl", harness.PromptsFrom(100_000, beside))
	if other := d.s.End(d.s.Create("beside.jsonl", func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = aws.String("beside") })); other.Status != types.ModelInvocationJobStatusCompleted {
		d.t.Fatalf("the job beside ended %s: %s", other.Status, harness.Told(other))
	}
	if all, _, _ := d.w.Requests(); all != before+beside {
		d.t.Errorf("%d records of a paused job were sent", all-before-beside)
	}
	d.beside += beside
}

// goesOn waits for the job's end. Then every record is in the output once, bad of them with an error, no more was sent again than was in
// flight, and the tokens count as often as answers were stored.
func (d *death) goesOn(bad int) {
	d.t.Helper()
	if out := d.s.End(d.job); out.Status != types.ModelInvocationJobStatusCompleted {
		d.t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	n := d.files * d.each
	if m := d.s.Manifest(d.job); m.TotalRecordCount != int64(n) || m.ProcessedRecordCount != int64(n) || m.ErrorRecordCount != int64(bad) {
		d.t.Errorf("manifest %+v; want %d records, %d errors", m, n, bad)
	}
	all, prompts, most := d.w.Requests()
	if prompts != n+d.beside || all-prompts > slots || most > slots {
		d.t.Errorf("%d records asked; want %d; %d repeats, %d in flight", prompts, n+d.beside, all-prompts, most)
	}
	if used, want := d.used(), int64(tokensEach*(n-bad+d.beside)); used != want {
		d.t.Errorf("%d tokens are counted; want %d", used, want)
	}
	d.s.Forgotten() // with the reservations
}

// used is what batholith usage says the jobs took, in tokens.
func (d *death) used() (tokens int64) {
	d.t.Helper()
	cmd := exec.Command(harness.Binary(d.t), "usage", "--json")
	cmd.Env, cmd.Dir = d.s.Environ(), d.s.Dir
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("batholith usage: %v", err)
	}
	var said []struct{ InputTokens, OutputTokens int64 }
	if err := json.Unmarshal(out, &said); err != nil {
		d.t.Fatalf("batholith usage: %v: %s", err, out)
	}
	for _, g := range said {
		tokens += g.InputTokens + g.OutputTokens
	}
	return tokens
}

// tagged uploads the input and creates the job with a tag.
func (d *death) tagged(key, value string) {
	d.t.Helper()
	d.upload()
	in := d.s.Request("in/")
	in.ClientRequestToken = aws.String(again)
	in.Tags = []types.Tag{{Key: &key, Value: &value}}
	ask := func() error {
		out, err := d.s.BedrockClient().CreateModelInvocationJob(d.t.Context(), in, func(o *bedrock.Options) { o.RetryMaxAttempts = 1 })
		if err == nil {
			d.job = *out.JobArn
		}
		return err
	}
	if err := ask(); err != nil {
		d.t.Logf("the server died before the answer came, and is asked again after the restart: %v", err)
		d.s.Died()
		d.s.Start()
		if err := ask(); err != nil { // the same job, by its token
			d.t.Fatal(err)
		}
	}
}

// diesAndStarts waits for the death, and for what was in flight, and starts the server again.
func (d *death) diesAndStarts() {
	d.t.Helper()
	d.s.Died()
	d.w.Idle(d.t)
	d.s.Start()
}

// budget is a setting under which the job's reservation leaves no room for a record of another job, while what all records take fits.
var budget = fmt.Sprintf("budgets: [{principal: \"*\", tokens: %d}]\n", 5000)

// holdsAfter lets the witness give n answers, and the others when open is called.
func (d *death) holdsAfter(n int64) (open func()) {
	gate := make(chan struct{})
	var asked atomic.Int64
	d.w.Answer = func(http.ResponseWriter, string, int) bool {
		if asked.Add(1) > n {
			<-gate
		}
		return false
	}
	open = sync.OnceFunc(func() { close(gate) })
	d.t.Cleanup(open)
	return open
}

// whenPaused dies while a job that a user pauses comes to rest. It has reserved what its principal's budget leaves; another job of the
// principal gets all that after the restart.
func (d *death) whenPaused() {
	d.begin(20*time.Millisecond, budget)
	open := d.holdsAfter(60)
	d.runTo(d.point)
	d.w.Await(d.t, 60)
	if err := d.pauses("pause"); err == nil && strings.HasPrefix(d.point, "control.") {
		d.t.Error("the answer came all the same")
	}
	open()
	d.diesAndStarts()
	d.isPaused("has paused the job")
	if err := d.pauses("resume"); err != nil {
		d.t.Fatal(err)
	}
	d.goesOn(0)
}

// whenResumed dies as soon as the end of a pause is stored.
func (d *death) whenResumed() {
	d.begin(20*time.Millisecond, budget)
	open := d.holdsAfter(60)
	d.runTo(d.point)
	d.w.Await(d.t, 60)
	if err := d.pauses("pause"); err != nil {
		d.t.Fatal(err)
	}
	open()
	d.isPaused("has paused the job")
	if err := d.pauses("resume"); err == nil {
		d.t.Error("the answer came all the same")
	}
	d.diesAndStarts()
	d.goesOn(0)
}

// sampleSize is the size of the sample, in records.
const sampleSize = 20

// withSample dies while the sample is sent, which passes.
func (d *death) withSample() {
	d.begin(5*time.Millisecond, "")
	d.s.StartTo(d.point)
	d.tagged("batholith:canary", fmt.Sprint(sampleSize))
	if d.s.Died(); !strings.HasPrefix(d.point, "dispatch.sample-claimed") {
		if _, prompts, _ := d.w.Requests(); prompts == 0 || prompts > sampleSize {
			d.t.Errorf("%d records were sent before the sample had passed", prompts)
		}
	}
	d.diesAndStarts()
	d.goesOn(0)
}

// withBadSample dies when all records of a sample have failed alike, or when that has paused the job. It is paused after the restart, and
// only the sample was asked.
func (d *death) withBadSample() {
	d.begin(5*time.Millisecond, "")
	var mended atomic.Bool
	d.w.Answer = func(w http.ResponseWriter, prompt string, _ int) bool {
		if mended.Load() || !strings.HasPrefix(prompt, "p") || strings.HasPrefix(prompt, "p100") {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"message":"no such tool"}}`)
		return true
	}
	d.s.StartTo(d.point)
	d.tagged("batholith:canary", fmt.Sprint(sampleSize))
	d.diesAndStarts()
	d.s.Until(d.job, func(j *harness.Job) bool { return strings.Contains(harness.Told(j), "all failed in the same way") })
	if _, prompts, _ := d.w.Requests(); prompts != sampleSize {
		d.t.Errorf("%d records were sent; the sample has %d", prompts, sampleSize)
	}
	d.isPaused("all failed in the same way")
	mended.Store(true)
	if err := d.pauses("resume"); err != nil {
		d.t.Fatal(err)
	}
	d.goesOn(int(aws.ToInt64(d.s.End(d.job).ErrorRecordCount)))
	if bad := aws.ToInt64(d.s.Job(d.job).ErrorRecordCount); bad < sampleSize-slots || bad > sampleSize {
		d.t.Errorf("%d records failed; the sample has %d", bad, sampleSize)
	}
}

// withCap dies while a job runs whose cap permits fewer records at once than there are slots.
func (d *death) withCap() {
	d.begin(5*time.Millisecond, "")
	d.s.StartTo(d.point)
	d.tagged("batholith:max-tokens", fmt.Sprint(tokensEach*d.files*d.each+8*aRecord))
	d.diesAndStarts()
	d.goesOn(0)
}

// whenCapped dies when a cap has paused the job. It is paused after the restart, and goes on when the cap was raised.
func (d *death) whenCapped() {
	d.begin(5*time.Millisecond, "")
	d.s.StartTo(d.point)
	d.tagged("batholith:max-tokens", fmt.Sprint(6*aRecord))
	d.diesAndStarts()
	d.isPaused("the cap of the tag batholith:max-tokens is reached")
	if used := d.used() - tokensEach*int64(d.beside); used > 6*aRecord {
		d.t.Errorf("%d tokens are used of %d", used, 6*aRecord)
	}
	_, err := d.s.BedrockClient().TagResource(d.t.Context(), &bedrock.TagResourceInput{ResourceARN: &d.job,
		Tags: []types.Tag{{Key: aws.String("batholith:max-tokens"), Value: aws.String("100000")}}})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.pauses("resume"); err != nil {
		d.t.Fatal(err)
	}
	d.goesOn(0)
}
