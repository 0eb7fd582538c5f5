package crash

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/tests/harness"
)

// files is how many input files the jobs of these tests have, and manyFiles how many those have whose plan and manifest are large.
const (
	files     = 3
	manyFiles = 200
)

// soon is how long after it is ready a server may take to send the first record that remains: less than any wait that could be in its
// way, of which a lease and a look at the database are the shortest with 5 s. On a machine that is not busy it takes milliseconds; the log tells.
// On a busy one it may take longer by five times as long as the start took, which is some hundred milliseconds otherwise.
const soon = 4 * time.Second

// death is a server that is to die at a point, in a story that comes by it.
type death struct {
	t     *testing.T
	point string // with its count
	s     *harness.Server
	w     *harness.Witness
	files int    // input files of the job
	each  int    // records in a file
	job   string // empty when its client has not heard of it

	beside int // records of other jobs
}

// stories are the ways to come to the points. The same point may be met on different ways.
func stories() map[string][]func(*death) {
	return map[string][]func(*death){
		"config.data-made:1":         {(*death).atTheFirstStart},
		"files.file-written:1":       {(*death).atTheFirstStart},
		"files.file-written:2":       {(*death).atTheFirstStart},
		"files.file-written:3":       {(*death).atTheFirstStart},
		"store.file-made:1":          {(*death).atTheFirstStart},
		"store.migrated:1":           {(*death).atTheFirstStart},
		"cli.s3-opened:1":            {(*death).atTheFirstStart},
		"cli.recovered:1":            {(*death).atTheFirstStart, (*death).atTheNextStart},
		"openai.file-stored:1":       {(*death).batchOnItsWay},
		"openai.expiry-stored:1":     {(*death).fileThatExpires},
		"openai.file-deleted:1":      {(*death).fileThatExpires},
		"results.errors-published:1": {(*death).batchOnItsWay, (*death).batchIsCancelled},
		"results.untried:200":        {(*death).batchIsCancelled},
		"control.created:1":          {(*death).beforeTheAnswer, (*death).batchOnItsWay},
		"lifecycle.moved:1":          {(*death).onItsWay},
		"lifecycle.moved:2":          {(*death).onItsWay},
		"lifecycle.moved:3":          {(*death).onItsWay},
		"lifecycle.probed:1":         {(*death).onItsWay},
		"lifecycle.indexed:2":        {(*death).onItsWay},
		"lifecycle.reusable:1":       {(*death).withEarlierAnswers},
		"dispatch.reused:1":          {(*death).withEarlierAnswers},
		"dispatch.reused:2":          {(*death).withEarlierAnswers},
		"store.plan-begun:1":         {(*death).withManyFiles},
		"store.plan-half:1":          {(*death).withManyFiles},
		"lifecycle.begun:1":          {(*death).onItsWay},
		"dispatch.claimed:1":         {(*death).onItsWay, (*death).atTheNextStart},
		"dispatch.claimed:3":         {(*death).onItsWay},
		"dispatch.answered:40":       {(*death).onItsWay},
		"results.journalled:100":     {(*death).onItsWay, (*death).batchOnItsWay},
		"results.stored:1":           {(*death).onItsWay, (*death).atTheNextStart, (*death).atTheSignal},
		"results.committed:1":        {(*death).onItsWay, (*death).atTheNextStart, (*death).atTheSignal},
		"results.merged:1":           {(*death).afterManySegments},
		"results.exchanged:1":        {(*death).afterManySegments},
		"lifecycle.stopping:1":       {(*death).atTheStop},
		"lifecycle.halted:1":         {(*death).onItsWay, (*death).atTheStop, (*death).whenTheTimeIsOver},
		"lifecycle.sealed:1":         {(*death).onItsWay, (*death).atTheStop, (*death).whenTheTimeIsOver},
		"results.begun:1":            {(*death).withManyFiles, (*death).withManyFilesAtTheStop},
		"results.registered:1":       {(*death).withManyFiles, (*death).withManyFilesAtTheStop},
		"results.published:1":        {(*death).batchOnItsWay},
		"results.published:2":        {(*death).onItsWay, (*death).atTheStop},
		"results.manifested:1":       {(*death).withManyFiles, (*death).withManyFilesAtTheStop},
		"lifecycle.decided:1":        {(*death).onItsWay, (*death).atTheStop},
		"results.announced:1":        {(*death).onItsWay, (*death).atTheStop, (*death).whenTheTimeIsOver},
		"lifecycle.kept:1":           {(*death).whenItsOutputIsDenied},
		"lifecycle.kept-published:1": {(*death).whenKeptResultsArePublished},
		"lifecycle.cleaned:1":        {(*death).onItsWay, (*death).whenTheTimeIsOver},
		"lifecycle.ended:1":          {(*death).onItsWay, (*death).atTheStop},
		"lifecycle.forgotten:1":      {(*death).onItsWay},
		"lifecycle.swept:1":          {(*death).atTheSweep},
		"dispatch.drained:1":         {(*death).atTheSignal},
		"dispatch.released:1":        {(*death).atTheSignal},
		"results.closed:1":           {(*death).atTheSignal},
	}
}

func TestWhereverItDiesTheJobEndsAsItWouldHave(t *testing.T) {
	for at, ways := range stories() {
		for i, story := range ways {
			t.Run(fmt.Sprintf("%s/%d", at, i), func(t *testing.T) {
				t.Parallel()
				if at == "cli.s3-opened:1" {
					harness.EmbeddedS3Only(t)
				}
				story(&death{t: t, point: at, files: files, each: 120})
			})
		}
	}
}

func TestEveryPointHasAStory(t *testing.T) {
	var met []string
	for at := range stories() {
		name, _, _ := strings.Cut(at, ":")
		met = append(met, name)
	}
	for at := range heldStories() {
		name, _, _ := strings.Cut(at, ":")
		met = append(met, name)
	}
	for _, p := range slices.Concat(failpoint.Points(), failpoint.BatchPoints(), failpoint.HeldPoints()) {
		if !slices.Contains(met, p.Name) {
			t.Errorf("no test dies at %s, which leaves %s", p.Name, p.Left)
		}
	}
}

// begin prepares a model server and a server before it.
func (d *death) begin(latency time.Duration, settings string) {
	d.w = harness.NewWitness(d.t, latency)
	d.s = harness.New(d.t, settings+harness.Model(d.w.URL, fmt.Sprint(", max_in_flight: ", slots)))
}

// upload puts the input files in place.
func (d *death) upload() {
	d.t.Helper()
	for i := range d.files {
		d.s.Put(fmt.Sprintf("in/%d.jsonl", i), harness.PromptsFrom(i*d.each, d.each))
	}
}

// submit makes the job of the files. The answer may not come: then the server died, and the job has no name.
func (d *death) submit(token string) error {
	in := d.s.Request("in/")
	if token != "" {
		in.ClientRequestToken = &token
	}
	out, err := d.s.BedrockClient().CreateModelInvocationJob(d.t.Context(), in, func(o *bedrock.Options) { o.RetryMaxAttempts = 1 })
	if err == nil {
		d.job = *out.JobArn
	}
	return err
}

// atTheFirstStart dies before there is anything to lose, and must not stand in the way of the second start.
func (d *death) atTheFirstStart() {
	d.begin(0, "")
	d.s.StartTo(d.point)
	d.s.Died()
	d.s.Start()
	d.upload()
	submitted := time.Now()
	if err := d.submit(""); err != nil {
		d.t.Fatal(err)
	}
	d.w.Await(d.t, 1)
	d.t.Logf("the first record was sent %s after the job was submitted", d.w.Time(1).Sub(submitted))
	d.completes(0)
}

// onItsWay dies while the job goes from Submitted to its end.
func (d *death) onItsWay() {
	d.begin(5*time.Millisecond, "")
	d.runTo(d.point)
	d.s.Died()
	d.restart()
	d.completes(slots)
}

// withEarlierAnswers dies with a job that takes the answers of an earlier one, whose input had fewer records and ended too early. None of
// these is asked again.
func (d *death) withEarlierAnswers() {
	d.begin(5*time.Millisecond, "")
	d.s.Start()
	const more = 30 // records that only the later job has
	old := d.files*d.each - more
	d.s.Put("old.jsonl", harness.PromptsFrom(0, old))
	d.s.End(d.s.Create("old.jsonl"))
	d.s.Stop()
	d.s.StartTo(d.point)
	d.upload()
	in := d.s.Request("in/")
	in.ClientRequestToken = aws.String(again)
	in.Tags = []types.Tag{{Key: aws.String("batholith:reuse"), Value: aws.String("finished")}}
	submit := func() error {
		out, err := d.s.BedrockClient().CreateModelInvocationJob(d.t.Context(), in, func(o *bedrock.Options) { o.RetryMaxAttempts = 1 })
		if err == nil {
			d.job = *out.JobArn
		}
		return err
	}
	if err := submit(); err != nil {
		d.t.Logf("the server died before the answer came, and is asked again after the restart: %v", err)
	}
	d.s.Died()
	d.s.Start()
	if err := submit(); err != nil { // the same job, by its token
		d.t.Fatal(err)
	}
	d.isWhole(slots)
	for n := range old {
		if asked := d.w.Asked(fmt.Sprint("p", n)); asked != 1 {
			d.t.Errorf("record %d, which an earlier job had answered, was asked %d times", n, asked)
		}
	}
	var m batholith.Manifest
	if err := json.Unmarshal(d.s.Output(d.job, batholith.ManifestName), &m); err != nil {
		d.t.Fatal(err)
	}
	if m.Batholith.Reused != int64(old) || len(m.Batholith.ReusedFrom) != 1 || m.Batholith.ReusedFrom[0].Records != int64(old) {
		d.t.Errorf("the manifest counts %d taken answers, from %+v; want %d", m.Batholith.Reused, m.Batholith.ReusedFrom, old)
	}
}

// withManyFiles does so with a job that has a large plan and a large manifest.
func (d *death) withManyFiles() {
	d.files, d.each = manyFiles, 2
	d.onItsWay()
}

// withManyFilesAtTheStop dies while such a job is being stopped.
func (d *death) withManyFilesAtTheStop() {
	d.files = manyFiles
	d.atTheStop()
}

// atTheNextStart dies at the point at a start that finds a job half done.
func (d *death) atTheNextStart() {
	d.begin(5*time.Millisecond, "")
	d.runTo("results.journalled:100")
	d.s.Died()
	d.s.StartTo(d.point)
	d.s.Died()
	d.restart()
	d.completes(2 * slots)
}

// runTo starts the server and a job that comes to a point.
func (d *death) runTo(point string) {
	d.t.Helper()
	if !d.s.StartTo(point) {
		d.t.Fatalf("the server ended at its start\n%s", d.s.Log())
	}
	d.upload()
	if err := d.submit(again); err != nil {
		d.t.Logf("the server died before the answer came, and is asked again after the restart: %v", err)
	}
}

// again is the token of a job whose client may have to ask for it twice: a server that dies as soon as a job moves may not have answered yet.
const again = "asked-again-if-need-be"

// beforeTheAnswer dies with a job that its client asks for once more, with the same token.
func (d *death) beforeTheAnswer() {
	d.begin(0, "")
	d.s.StartTo(d.point)
	d.upload()
	if err := d.submit("the-only-one"); err == nil {
		d.t.Error("the answer came all the same")
	}
	d.s.Died()
	d.s.Start()
	if err := d.submit("the-only-one"); err != nil {
		d.t.Fatal(err)
	}
	list, err := d.s.BedrockClient().ListModelInvocationJobs(d.t.Context(), &bedrock.ListModelInvocationJobsInput{})
	if err != nil || len(list.InvocationJobSummaries) != 1 || *list.InvocationJobSummaries[0].JobArn != d.job {
		d.t.Errorf("%d jobs of one token, %v", len(list.InvocationJobSummaries), err)
	}
	d.completes(0)
}

// atTheSignal dies while it ends as it was told to. Nothing is in flight any more then.
func (d *death) atTheSignal() {
	d.each = 400
	d.begin(20*time.Millisecond, "")
	if strings.HasPrefix(d.point, "results.stored") || strings.HasPrefix(d.point, "results.committed") {
		d.point = strings.Replace(d.point, ":1", ":2", 1) // the first is that of the first second
	}
	d.runTo(d.point)
	d.s.Until(d.job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 }) // however slow the machine is
	_ = d.s.Terminate()
	d.s.Died()
	d.restart()
	d.completes(slots)
}

// atTheStop dies while a job is being stopped. The server that comes after sends nothing of it.
func (d *death) atTheStop() {
	d.each = 6000 / d.files
	d.begin(20*time.Millisecond, "")
	d.runTo(d.point)
	d.w.Await(d.t, 100)
	_, err := d.s.BedrockClient().StopModelInvocationJob(d.t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &d.job},
		func(o *bedrock.Options) { o.RetryMaxAttempts = 1 })
	if err == nil && strings.HasPrefix(d.point, "lifecycle.stopping") {
		d.t.Error("the answer came all the same")
	}
	d.s.Died()
	d.endsShort(types.ModelInvocationJobStatusStopped)
}

// whenTheTimeIsOver dies while a job ends because its time is over.
func (d *death) whenTheTimeIsOver() {
	d.each = 2000
	d.begin(20*time.Millisecond, "limits: {hour: 50ms}\n") // a job has 24 of them
	d.runTo(d.point)
	d.s.Died()
	d.endsShort(types.ModelInvocationJobStatusPartiallyCompleted)
}

// outputDenied runs a job until its time is over, while its role may not write the output any more: outcomes that were committed before
// are in the bucket, the later ones are not.
func (d *death) outputDenied(point string) {
	d.t.Helper()
	d.each = 2000
	const hours = "limits: {hour: 250ms}\n" // a job has 24 of them
	d.begin(20*time.Millisecond, hours+harness.Allowed(harness.Inbox, harness.Bucket))
	d.s.Start()
	for i := range d.files {
		d.s.PutInbox(fmt.Sprintf("in/%d.jsonl", i), harness.PromptsFrom(i*d.each, d.each))
	}
	d.job = d.s.Create("in/", harness.AsNarrowRole)
	d.s.Until(d.job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 0 })
	d.s.Stop()
	d.settings(hours + harness.Allowed(harness.Inbox))
	if point == "" {
		d.s.Start()
		return
	}
	d.s.StartTo(point)
	d.s.Died()
	d.s.Start()
}

// settings are what the next start reads.
func (d *death) settings(text string) {
	d.s.Settings(text + harness.Model(d.w.URL, fmt.Sprint(", max_in_flight: ", slots)))
}

// whenItsOutputIsDenied dies when it was decided that the results of a job are kept.
func (d *death) whenItsOutputIsDenied() {
	harness.EmbeddedS3Only(d.t)
	d.outputDenied(d.point)
	d.s.KeptResults(d.job)
	d.s.Stop()
	d.settings(harness.Allowed(harness.Inbox, harness.Bucket))
	d.s.Start()
	if said, err := d.s.PublishKept(d.job); err != nil {
		d.t.Fatalf("publish: %v\n%s", err, said)
	}
	d.hasAllThatWasAsked()
}

// whenKeptResultsArePublished dies when they are in the output and are still kept.
func (d *death) whenKeptResultsArePublished() {
	harness.EmbeddedS3Only(d.t)
	d.outputDenied("")
	d.s.KeptResults(d.job)
	d.s.Stop()
	d.settings(harness.Allowed(harness.Inbox, harness.Bucket))
	d.s.StartTo(d.point)
	if said, err := d.s.PublishKept(d.job); err == nil {
		d.t.Errorf("it is published, although the server died: %s", said)
	}
	d.s.Died()
	d.s.Start()
	d.s.PublishedKept(d.job)
	d.hasAllThatWasAsked()
}

// hasAllThatWasAsked makes sure that the output of a job whose results were kept has every answer that came, and that nothing is left.
func (d *death) hasAllThatWasAsked() {
	d.t.Helper()
	d.w.Idle(d.t)
	_, prompts, _ := d.w.Requests()
	d.short(d.s.Job(d.job), prompts)
	d.s.NothingLeft(d.files + 1)
}

// afterManySegments dies twice: there are enough segments to merge when the job has run for so many seconds.
func (d *death) afterManySegments() {
	d.each = 160
	d.begin(time.Second, "")
	d.runTo(d.point)
	d.s.Died()
	d.restart()
	d.completes(slots)
}

// atTheSweep dies when it has cleaned up once more after a job that is over.
func (d *death) atTheSweep() {
	d.begin(0, "")
	d.s.Start()
	d.upload()
	if err := d.submit(""); err != nil {
		d.t.Fatal(err)
	}
	d.s.End(d.job)
	d.s.Forgotten() // only then is the job to be cleaned up once more
	d.s.Kill()
	d.s.StartTo(d.point)
	d.s.Died()
	d.s.Start()
	d.completes(0)
}

// restart starts the server again and makes sure that what remains of the job does not wait.
func (d *death) restart() {
	d.t.Helper()
	d.w.Idle(d.t)
	before, asked, _ := d.w.Requests()
	starting := time.Now()
	d.s.Start()
	ready := time.Now()
	started := ready.Sub(starting)
	if d.job == "" {
		if err := d.submit(again); err != nil { // the same job, by its token
			d.t.Fatal(err)
		}
	}
	if asked < d.files*d.each-slots {
		d.w.Await(d.t, before+1)
		took := time.Since(ready)
		d.t.Logf("the first record was sent %s after the server was ready", took)
		if took > soon+5*started && harness.EmbeddedS3() {
			d.t.Errorf("the first record was sent %s after the server was ready, which took %s", took, started)
		}
	}
}

// completes waits for the end of the job and makes sure that every record is there once, that no more were asked again than were in
// flight, and that nothing is left.
func (d *death) completes(repeats int) {
	d.t.Helper()
	d.isWhole(repeats)
	d.s.NothingLeft(d.files + 1)
}

// isWhole is completes without a look at what is left.
func (d *death) isWhole(repeats int) {
	d.t.Helper()
	if out := d.s.End(d.job); out.Status != types.ModelInvocationJobStatusCompleted {
		d.t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	for i := range d.files {
		lines := d.s.Lines(d.job, fmt.Sprintf("%d.jsonl.out", i))
		if len(lines) != d.each {
			d.t.Errorf("%d lines in file %d; want %d", len(lines), i, d.each)
		}
		for n, l := range lines {
			if want := i*d.each + n; l.RecordID != fmt.Sprintf("r%d", want) || !strings.Contains(string(l.ModelOutput), fmt.Sprintf("answer to p%d\"", want)) {
				d.t.Fatalf("line %d of file %d is of %s: %s", n+1, i, l.RecordID, l.ModelOutput)
			}
		}
	}
	m := d.s.Manifest(d.job)
	if n := int64(d.files * d.each); m.TotalRecordCount != n || m.SuccessRecordCount != n || m.ProcessedRecordCount != n {
		d.t.Errorf("manifest %+v; want %d", m, n)
	}
	all, prompts, most := d.w.Requests()
	if prompts != d.files*d.each || all-prompts > repeats || most > slots {
		d.t.Errorf("%d records asked, %d repeats (want no more than %d), %d in flight", prompts, all-prompts, repeats, most)
	}
}

// endsShort starts the server again and makes sure that the job ends with what had been finished and nothing more is sent.
func (d *death) endsShort(want types.ModelInvocationJobStatus) {
	d.t.Helper()
	d.w.Idle(d.t)
	all, prompts, _ := d.w.Requests()
	d.s.Start()
	out := d.s.End(d.job)
	if out.Status != want {
		d.t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	d.short(out, prompts)
	if now, _, _ := d.w.Requests(); now != all {
		d.t.Errorf("%d records were sent after the end", now-all)
	}
	d.s.NothingLeft(d.files + 1)
}

// short makes sure that the output of a job that ended early has its records in order, and nearly all that were asked.
func (d *death) short(out *harness.Job, prompts int) {
	d.t.Helper()
	processed := int(*out.ProcessedRecordCount)
	if processed < prompts-slots || processed > prompts {
		d.t.Errorf("%d records processed of %d that were asked", processed, prompts)
	}
	lines := 0
	for i := range d.files {
		last := -1
		for _, l := range d.s.Lines(d.job, fmt.Sprintf("%d.jsonl.out", i)) {
			var n int
			if _, err := fmt.Sscanf(l.RecordID, "r%d", &n); err != nil || n <= last {
				d.t.Fatalf("record %s comes after r%d", l.RecordID, last)
			}
			last = n
			lines++
		}
	}
	if lines != processed {
		d.t.Errorf("%d lines, %d records processed", lines, processed)
	}
}
