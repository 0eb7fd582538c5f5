package console

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/words"
)

// jobView is the page of a job.
type jobView struct {
	jobRow
	ID       string
	Tab      string // overview, records, errors, files
	Tags     []bedrock.Tag
	Timeline []change
	Percent  float64
	Left     int64 // records without an outcome
	Kept     *bedrock.GetKeptResultsOutput
	Said     string // what was just done
}

// change is one status in the timeline.
type change struct {
	batholith.Change
	Lasted string // until the next one, or so far
	Now    bool
}

// CanStop, CanPause, CanResume and CanRetry say which buttons the page has.
func (j jobView) CanStop() bool {
	return !j.Status.Terminal() && j.Status != batholith.StatusStopping
}

// CanPause reports whether the job can be paused.
func (j jobView) CanPause() bool { return j.CanStop() && j.Notes().PausedSince.IsZero() }

// CanResume reports whether the job is paused.
func (j jobView) CanResume() bool { return j.CanStop() && !j.Notes().PausedSince.IsZero() }

// CanRetry reports whether a new job could ask records again.
func (j jobView) CanRetry() bool {
	return j.Status.Terminal() && !(j.TotalRecordCount > 0 && j.SuccessRecordCount == j.TotalRecordCount)
}

// Told is the job's note, unless the page says the same at another place: as the expected end, or in the timeline.
func (j jobView) Told() string {
	note := j.Notes().Note
	if strings.HasPrefix(note, "Expected to ") || len(j.Timeline) > 0 && j.Timeline[len(j.Timeline)-1].Message == note {
		return ""
	}
	return note
}

// Input and Output are the URIs of the job's data.
func (j jobView) Input() string {
	if j.InputDataConfig == nil || j.InputDataConfig.S3InputDataConfig == nil {
		return ""
	}
	return j.InputDataConfig.S3InputDataConfig.S3URI
}

// Output returns the prefix of the job's output.
func (j jobView) Output() string { return outputOf(j.JobSummary) }

// outputOf returns the prefix of a job's output: s3://bucket/prefix/<job id>/.
func outputOf(j bedrock.JobSummary) string {
	if j.OutputDataConfig == nil || j.OutputDataConfig.S3OutputDataConfig == nil {
		return ""
	}
	uri := j.OutputDataConfig.S3OutputDataConfig.S3URI
	if !strings.HasSuffix(uri, "/") {
		uri += "/"
	}
	return uri + idOf(j.JobARN) + "/"
}

// view reads what the page of a job shows. The API decides whether the visitor may see it.
func (v *visit) view(tab string) (jobView, error) {
	j, err := v.job(v.r.PathValue("job"))
	if err != nil {
		return jobView{}, err
	}
	return v.viewOf(j, tab)
}

func (v *visit) viewOf(j bedrock.JobSummary, tab string) (jobView, error) {
	view := jobView{jobRow: v.c.row(j), ID: idOf(j.JobARN), Tab: tab}
	if j.TotalRecordCount > 0 {
		view.Percent = float64(j.ProcessedRecordCount) * 100 / float64(j.TotalRecordCount)
		view.Left = j.TotalRecordCount - j.ProcessedRecordCount
	}
	history, err := v.c.o.Jobs.History(v.r.Context(), view.ID)
	if err != nil {
		return view, err
	}
	for i, h := range history {
		one := change{Change: h}
		switch {
		case i+1 < len(history):
			one.Lasted = took(h.At, history[i+1].At)
		case !h.Status.Terminal():
			one.Lasted, one.Now = took(h.At, v.c.o.Now()), true
		}
		view.Timeline = append(view.Timeline, one)
	}
	if j.Status == batholith.StatusFailed {
		var kept bedrock.GetKeptResultsOutput
		if v.call(http.MethodGet, "/kept-results/"+url.PathEscape(view.ID), nil, &kept) == nil && kept.State != batholith.KeptNone {
			view.Kept = &kept
		}
	}
	return view, nil
}

// liveView is the view of the overview, shared by the live pages of the job.
func (v *visit) liveView() (jobView, error) {
	return shared(v, "job "+v.r.PathValue("job"), func(v *visit) (jobView, error) { return v.view("overview") })
}

// jobPage shows a job.
func (c *Console) jobPage(v *visit) error {
	view, err := v.view("overview")
	if err != nil {
		return err
	}
	view.Tags = v.tags(view.JobARN)
	view.Said = said[v.r.URL.Query().Get("done")]
	return v.show("job", view.JobName, "jobs", view)
}

// jobLive follows a job until its end.
func (c *Console) jobLive(v *visit) error {
	return v.stream(func() (map[string]string, bool, error) {
		view, err := v.liveView()
		if err != nil {
			return nil, false, err
		}
		text, err := v.part("job", "job-state", view)
		return map[string]string{"job": text}, view.Status.Terminal(), err
	})
}

// said are the confirmations of acts, by the word in the address that the browser is led to.
var said = map[string]string{
	"stop":    "The job is stopping. Finished records are kept in its output.",
	"pause":   "The job is paused. Records in flight finish; nothing more is sent.",
	"resume":  "The job goes on.",
	"retry":   "This is the new job. It takes the answers of the earlier one and asks only what failed or was never tried.",
	"created": "The job was created.",
	"publish": "The kept results are being written to the output.",
}

// jobAct carries out what a button of the page asks for.
func (c *Console) jobAct(v *visit) error {
	id, verb := v.r.PathValue("job"), v.r.PathValue("verb")
	var err error
	switch verb {
	case "stop", "pause", "resume":
		err = v.call(http.MethodPost, jobPath(id)+"/"+verb, nil, nil)
	case "publish":
		err = v.call(http.MethodPost, "/kept-results/"+url.PathEscape(id)+"/publish", nil, nil)
	case "retry":
		id, err = v.retry(id)
	default:
		return notFound("A job has no such button.")
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, Path+"jobs/"+url.PathEscape(id)+"?done="+verb, http.StatusSeeOther)
	return nil
}

// retried is the end of the name of a job that was made by a retry.
var retried = regexp.MustCompile(`-retry-\d{8}-\d{6}-[a-z2-7]{3}$`)

// longestName is the longest name of a job (Bedrock: 63 characters).
const longestName = 63

// retry creates a job with the same input, model and output, which takes the answers of an earlier job, and returns its id.
func (v *visit) retry(id string) (made string, err error) {
	j, err := v.job(id)
	if err != nil {
		return "", err
	}
	view := jobView{jobRow: jobRow{JobSummary: j}}
	if !view.CanRetry() {
		return "", badRequest("Each of the %s of this job has an answer, or the job has not ended.", words.Plural(j.TotalRecordCount, "record"))
	}
	if v.silent(j) {
		return "", badRequest("The output of this job does not repeat modelInput, so its answers cannot be taken. Use the command: batholith retry %s", idOf(j.JobARN))
	}
	var tags bedrock.ListTagsForResourceOutput
	if err := v.call(http.MethodPost, "/listTagsForResource", bedrock.ListTagsForResourceInput{ResourceARN: j.JobARN}, &tags); err != nil {
		return "", err
	}
	stamp := "-retry-" + v.c.o.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:3])
	name := retried.ReplaceAllString(j.JobName, "")
	in := bedrock.CreateModelInvocationJobInput{JobName: name[:min(len(name), longestName-len(stamp))] + stamp, ModelID: j.ModelID, RoleARN: j.RoleARN, InputDataConfig: j.InputDataConfig,
		OutputDataConfig: j.OutputDataConfig, VPCConfig: j.VPCConfig, TimeoutDurationInHours: j.TimeoutDurationInHours, ModelInvocationType: j.ModelInvocationType, ClientRequestToken: rand.Text()}
	for _, t := range tags.Tags {
		if t.Key != batholith.ReuseTag {
			in.Tags = append(in.Tags, t)
		}
	}
	in.Tags = append(in.Tags, bedrock.Tag{Key: batholith.ReuseTag, Value: batholith.Reuse{Jobs: []string{idOf(j.JobARN)}}.String()})
	var out bedrock.CreateModelInvocationJobOutput
	if err := v.call(http.MethodPost, "/model-invocation-job", in, &out); err != nil {
		return "", err
	}
	return idOf(out.JobARN), nil
}

// newName returns a name for a job over a file.
func newName(file string, now time.Time) string {
	stamp := "-" + now.UTC().Format("20060102-150405")
	clean := strings.Trim(notInNames.ReplaceAllString(strings.TrimSuffix(file, ".jsonl"), "-"), "-.+")
	if clean == "" {
		clean = "job"
	}
	return clean[:min(len(clean), longestName-len(stamp))] + stamp
}

// notInNames are the characters that names of jobs do not have.
var notInNames = regexp.MustCompile(`[^a-zA-Z0-9.+]+`)
