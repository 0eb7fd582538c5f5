package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// pageJobs is the number of jobs on a page of the list.
const pageJobs = 25

// jobList is the page with the jobs.
type jobList struct {
	Jobs     []jobRow
	Status   batholith.Status
	Name     string
	Statuses []batholith.Status
	Query    string // of this page, for its stream
	Next     string // query of the next page; "": there is none
	Later    bool   // it is not the first page
	Filtered bool
}

// jobRow is a job with its present speed.
type jobRow struct {
	bedrock.JobSummary
	Rate, Tokens float64 // per second
	Measured     bool
}

// TokenRate is the number of tokens per second, in and out.
func (j jobRow) TokenRate() int64 { return int64(j.Tokens) }

// Notes returns the member batholith, never nil.
func (j jobRow) Notes() bedrock.JobNotes { return notesOf(j.JobSummary) }

func notesOf(j bedrock.JobSummary) bedrock.JobNotes {
	if j.Batholith == nil {
		return bedrock.JobNotes{}
	}
	return *j.Batholith
}

// row adds what this process has measured to a job.
func (c *Console) row(j bedrock.JobSummary) jobRow {
	row := jobRow{JobSummary: j}
	if j.Status == batholith.StatusInProgress {
		row.Rate, row.Tokens, row.Measured = rate(c.samples.of(idOf(j.JobARN)), c.o.Now())
	}
	return row
}

// statuses are those of the filter, in the order of a job's life.
var statuses = []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress,
	batholith.StatusCompleted, batholith.StatusPartiallyCompleted, batholith.StatusFailed, batholith.StatusStopping, batholith.StatusStopped, batholith.StatusExpired}

// jobs reads a page of the list, as the query of the address says.
func (v *visit) jobs() (jobList, error) {
	q := v.r.URL.Query()
	l := jobList{Status: batholith.Status(q.Get("status")), Name: q.Get("name"), Statuses: statuses, Query: v.r.URL.RawQuery, Later: q.Get("page") != ""}
	if !slices.Contains(statuses, l.Status) {
		l.Status = ""
	}
	l.Filtered = l.Status != "" || l.Name != ""
	ask := url.Values{"maxResults": {strconv.Itoa(pageJobs)}}
	set := func(name, value string) {
		if value != "" {
			ask.Set(name, value)
		}
	}
	set("statusEquals", string(l.Status))
	set("nameContains", l.Name)
	set("nextToken", q.Get("page"))
	var out bedrock.ListModelInvocationJobsOutput
	if err := v.call(http.MethodGet, "/model-invocation-jobs?"+ask.Encode(), nil, &out); err != nil {
		return l, err
	}
	for _, j := range out.InvocationJobSummaries {
		l.Jobs = append(l.Jobs, v.c.row(j))
	}
	if out.NextToken != "" {
		next := url.Values{"page": {out.NextToken}}
		if l.Status != "" {
			next.Set("status", string(l.Status))
		}
		if l.Name != "" {
			next.Set("name", l.Name)
		}
		l.Next = next.Encode()
	}
	return l, nil
}

// jobsPage shows the jobs of the visitor's account that it may see, newest first.
func (c *Console) jobsPage(v *visit) error {
	l, err := v.jobs()
	if err != nil {
		return err
	}
	return v.show("jobs", "Jobs", "jobs", l)
}

// jobsLive follows a page of the list.
func (c *Console) jobsLive(v *visit) error {
	return v.stream(func() (map[string]string, bool, error) {
		l, err := shared(v, "jobs "+v.r.URL.RawQuery, (*visit).jobs)
		if err != nil {
			return nil, false, err
		}
		text, err := v.part("jobs", "job-table", l)
		return map[string]string{"jobs": text}, false, err
	})
}
