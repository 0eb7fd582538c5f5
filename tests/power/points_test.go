//go:build linux

package power

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/tests/harness"
)

// outage is a server that loses power when it comes to a point, on its way there.
type outage struct {
	*site
	t       *testing.T // of its own: the site comes later
	point   string
	keeps   uint64 // seed of what the disk keeps that was not synced; 0: nothing
	files   int    // input files of the job
	records int    // in all of them
	latency time.Duration
	padding int         // bytes of white space in each record
	earlier int         // output objects of an earlier job
	form    []types.Tag // tags of the job
	arn     string      // empty when its client has not heard of it
}

// ways are how a point is met that a short job does not come to by itself, or that another job comes to as well.
func ways(point string) []func(*outage) {
	switch point {
	case "results.merged", "results.exchanged":
		return []func(*outage){(*outage).afterManySegments}
	case "lifecycle.reusable", "dispatch.reused":
		return []func(*outage){(*outage).withEarlierAnswers}
	case "dispatch.drained", "dispatch.released", "results.closed":
		return []func(*outage){(*outage).atTheSignal}
	case "lifecycle.stopping":
		return []func(*outage){(*outage).atTheStop}
	case "lifecycle.kept", "lifecycle.kept-published":
		return []func(*outage){(*outage).whenItsOutputIsDenied}
	case "results.untried", "results.errors-published":
		return []func(*outage){(*outage).batchAtTheStop}
	case "lifecycle.swept":
		return []func(*outage){(*outage).atTheSweep}
	case "results.stored", "results.committed":
		return []func(*outage){(*outage).onItsWay, (*outage).atTheSignal}
	case "store.plan-begun", "store.plan-half":
		return []func(*outage){(*outage).withManyFiles}
	case "results.manifested":
		return []func(*outage){(*outage).withManyFiles, (*outage).withManyFilesAtTheStop}
	case "results.begun", "results.registered":
		return []func(*outage){(*outage).withManyParts}
	case "lifecycle.sealed", "results.published", "lifecycle.decided", "results.announced", "lifecycle.cleaned":
		return []func(*outage){(*outage).onItsWay, (*outage).withManyParts, (*outage).atTheStop}
	}
	return []func(*outage){(*outage).onItsWay}
}

func TestAPowerFailureAtAnyPointLosesOnlyUnsyncedBytes(t *testing.T) {
	t.Parallel()
	points := failpoint.Points()
	for _, p := range failpoint.BatchPoints() { // those of files of OpenAI's API are met by tests/crash alone
		if strings.HasPrefix(p.Name, "results.") {
			points = append(points, p)
		}
	}
	for _, point := range points {
		for i, way := range ways(point.Name) {
			for _, keeps := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", point.Name, i, keeps), func(t *testing.T) {
					t.Parallel()
					o := &outage{t: t, point: point.Name, files: 1, records: 200, latency: 5 * time.Millisecond}
					if keeps {
						o.keeps = rand.Uint64()
						t.Logf("seed %d", o.keeps)
					}
					way(o)
				})
			}
		}
	}
}

// begin starts a server that is to die, and the job. Some points come before there can be one.
func (o *outage) begin() (begun bool) {
	o.t.Helper()
	o.site = newSite(o.t, o.latency)
	o.seed, o.tags = o.keeps, o.form
	if !o.s.StartTo(o.point) {
		return false
	}
	o.upload()
	o.arn, _ = o.create(0) // the answer may not come; then it is asked for again
	return true
}

// each is how many records a file has.
func (o *outage) each() int { return o.records / o.files }

// input is what an input file holds.
func (o *outage) input(i int) (key string, body []byte) {
	body = harness.PromptsFrom(i*o.each(), o.each())
	return fmt.Sprintf("in/%d.jsonl", i), bytes.ReplaceAll(body, []byte(`"modelInput":{`), []byte(`"modelInput":{`+strings.Repeat(" ", o.padding)))
}

// upload puts the input files in place.
func (o *outage) upload() {
	o.t.Helper()
	for i := range o.files {
		key, body := o.input(i)
		must(o.t, o.put(o.t.Context(), key, body))
	}
}

// create makes the job of the files, once or again.
func (o *outage) create(i int) (arn string, err error) {
	if o.files == 1 {
		return o.site.create(i)
	}
	return o.createOf(i, "in/")
}

// again takes the power away, and asks the server that comes after for the job.
func (o *outage) again(begun bool) {
	o.t.Helper()
	o.s.Died()
	o.w.Idle(o.t)
	o.lose()
	o.s.Start()
	if !begun {
		o.upload()
	}
	for i := range o.files {
		if key, body := o.input(i); !bytes.Equal(o.read(key), body) {
			o.t.Errorf("%s is not what was acknowledged", key)
		}
	}
	again, err := o.create(0)
	must(o.t, err)
	if o.arn != "" && again != o.arn {
		o.t.Errorf("a token that made %s now makes %s", o.arn, again)
	}
	o.arn = again
}

// ends waits for the end of the job. No more is asked again than was in flight or not synced.
func (o *outage) ends(flying, unsynced int) {
	o.t.Helper()
	o.completed(0, o.arn, o.records)
	for i := range o.files {
		o.lines(o.arn, i, o.each())
	}
	all, prompts, _ := o.w.Requests()
	o.t.Logf("%d repeats", all-prompts)
	if prompts != o.records || all-prompts > flying+unsynced {
		o.t.Errorf("%d records asked of %d, %d repeats; %d could be in flight and %d not synced", prompts, o.records, all-prompts, flying, unsynced)
	}
	o.nothingLeft()
}

func (o *outage) nothingLeft() {
	o.t.Helper()
	if o.keeps != 0 {
		o.forgiveJournal()
	}
	o.s.NothingLeft(o.files + 1 + o.earlier)
}

// withEarlierAnswers loses power while a job takes the answers of an earlier one, which had fewer records. None of these is asked again.
func (o *outage) withEarlierAnswers() {
	o.site = newSite(o.t, o.latency)
	o.seed = o.keeps
	o.s.Start()
	must(o.t, o.put(o.t.Context(), "old/1.jsonl", harness.PromptsFrom(0, o.records-30)))
	old, err := o.createOf(1, "old/1.jsonl")
	must(o.t, err)
	o.s.End(old)
	o.s.Stop()
	o.s.Settings("reuse: finished\n" + harness.Model(o.w.URL, fmt.Sprint(", max_in_flight: ", slots)))
	o.s.StartTo(o.point)
	o.upload()
	o.arn, _ = o.create(0)
	o.again(true)
	o.earlier = 2
	o.ends(slots, unsynced)
}

// atTheSweep loses power when a job that is over was cleaned up once more, at the start after its end.
func (o *outage) atTheSweep() {
	o.site = newSite(o.t, o.latency)
	o.seed = o.keeps
	o.s.Start()
	o.upload()
	arn, err := o.create(0)
	must(o.t, err)
	o.arn = arn
	o.s.End(o.arn)
	o.s.Forgotten() // only then is it to be cleaned up once more
	o.s.Kill()
	o.s.StartTo(o.point)
	o.again(true)
	o.ends(0, 0)
}

// whenItsOutputIsDenied loses power when the results of a job are kept, or when they have been published.
func (o *outage) whenItsOutputIsDenied() {
	o.records, o.latency = 4000, 20*time.Millisecond
	o.site = newSite(o.t, o.latency)
	o.seed = o.keeps
	model := harness.Model(o.w.URL, fmt.Sprint(", max_in_flight: ", slots))
	const hours = "limits: {hour: 400ms}\n" // a job has 24 of them
	may := harness.Allowed(harness.Inbox, harness.Bucket) + model
	o.s.Settings(hours + may)
	o.s.Start()
	o.s.PutInbox("in/0.jsonl", harness.Prompts(o.records))
	o.arn = o.s.Create("in/", harness.AsNarrowRole)
	o.s.Until(o.arn, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	o.s.Stop()
	o.s.Settings(hours + harness.Allowed(harness.Inbox) + model)
	if o.point == "lifecycle.kept" {
		o.s.StartTo(o.point)
		o.s.Died()
		o.lose()
	}
	o.s.Start()
	processed := int(*o.s.KeptResults(o.arn).ProcessedRecordCount)
	o.s.Stop()
	o.s.Settings(may)
	if o.point == "lifecycle.kept" {
		o.s.Start()
		if said, err := o.s.PublishKept(o.arn); err != nil {
			o.t.Fatalf("publish: %v\n%s", err, said)
		}
	} else {
		o.s.StartTo(o.point)
		_, _ = o.s.PublishKept(o.arn) // the server dies meanwhile
		o.s.Died()
		o.lose()
		o.s.Start()
		o.s.PublishedKept(o.arn)
	}
	if lines := o.s.Lines(o.arn, "0.jsonl.out"); len(lines) != processed || o.s.Manifest(o.arn).ProcessedRecordCount != int64(processed) {
		o.t.Errorf("%d lines, %d records processed, manifest %+v", len(lines), processed, o.s.Manifest(o.arn))
	}
	if all, _, _ := o.w.Requests(); processed < all-slots-unsynced {
		o.t.Errorf("%d records processed of %d that were asked", processed, all)
	}
	o.nothingLeft()
}

// onItsWay loses power while a short job goes from Submitted to its end.
func (o *outage) onItsWay() {
	o.again(o.begin())
	o.ends(slots, unsynced)
}

// withManyParts loses power while an output is published that is uploaded in several parts.
func (o *outage) withManyParts() {
	o.padding = 100 << 10
	o.again(o.begin())
	o.ends(slots, 0) // everything was committed when the job was sealed
}

// manyFiles is how many input files a job has whose plan and manifest are large.
const manyFiles = 200

// withManyFiles loses power on the way of such a job.
func (o *outage) withManyFiles() {
	o.files, o.records = manyFiles, 2*manyFiles
	o.onItsWay()
}

// withManyFilesAtTheStop loses power while such a job is being stopped.
func (o *outage) withManyFilesAtTheStop() {
	o.files = manyFiles
	o.atTheStop()
}

// afterManySegments loses power in a merge, for which a job must run so many seconds.
func (o *outage) afterManySegments() {
	o.records, o.latency = 480, time.Second
	o.again(o.begin())
	o.ends(slots, slots) // what is answered in one moment
}

// atTheSignal loses power while the server ends as it was told to. When nothing is in flight any more, nothing is.
func (o *outage) atTheSignal() {
	o.records, o.latency = 1200, 20*time.Millisecond
	inFlight := 0
	if strings.HasPrefix(o.point, "results.stored") || strings.HasPrefix(o.point, "results.committed") {
		o.point += ":2" // the first is that of the first second
		inFlight = slots
	}
	o.begin()
	o.s.Until(o.arn, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	_ = o.s.Terminate()
	o.again(true)
	o.ends(inFlight, 2*slots) // 20 ms and an fsync
}

// atTheStop loses power while a job is being stopped, of which nothing is sent any more.
func (o *outage) atTheStop() {
	o.records, o.latency = 4000, 20*time.Millisecond
	o.stopped()
	o.nothingLeft()
}

// batchAtTheStop is atTheStop for a job with its output in OpenAI's lines: each record has one, in the file of answers or in that of errors.
func (o *outage) batchAtTheStop() {
	o.records, o.latency = 4000, 20*time.Millisecond
	o.form = []types.Tag{{Key: aws.String("batholith:output"), Value: aws.String("openai")}}
	o.stopped()
	seen := 0
	for _, suffix := range []string{"out", "err"} {
		for line := range strings.Lines(string(o.s.Output(o.arn, "0.jsonl."+suffix))) {
			if untried := strings.Contains(line, `"code":"batch_cancelled"`); untried != (suffix == "err") {
				o.t.Fatalf("0.jsonl.%s has the line %s", suffix, line)
			}
			seen++
		}
	}
	if seen != o.records {
		o.t.Errorf("%d lines of %d records", seen, o.records)
	}
	o.earlier++ // the object with the errors
	o.nothingLeft()
}

// stopped stops a job, which ends Stopped after the power has come back.
func (o *outage) stopped() {
	o.t.Helper()
	o.begin()
	o.w.Await(o.t, 100)
	_, err := o.s.BedrockClient().StopModelInvocationJob(o.t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &o.arn},
		func(op *bedrock.Options) { op.RetryMaxAttempts = 1 })
	if err == nil && o.point == "lifecycle.stopping" {
		o.t.Error("the answer came all the same")
	}
	o.s.Died()
	o.w.Idle(o.t)
	all, _, _ := o.w.Requests()
	o.again(true)
	out := o.s.End(o.arn)
	if out.Status != types.ModelInvocationJobStatusStopped {
		o.t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	processed, lines := int(*out.ProcessedRecordCount), 0
	for i := range o.files {
		lines += bytes.Count(o.s.Output(o.arn, fmt.Sprintf("%d.jsonl.out", i)), []byte("\n"))
	}
	if lines != processed || o.s.Manifest(o.arn).ProcessedRecordCount != int64(processed) {
		o.t.Errorf("%d lines, %d records processed, manifest %+v", lines, processed, o.s.Manifest(o.arn))
	}
	if now, _, _ := o.w.Requests(); now != all || processed < all-slots-unsynced {
		o.t.Errorf("%d records processed of %d that were asked, and %d sent after the stop", processed, all, now-all)
	}
}
