package console

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// Bounds of samples: 256 jobs with 240 points of 40 bytes, 2.5 MB.
const (
	sampledJobs = 256
	mostPoints  = 240
)

// point is what a job had at a moment.
type point struct {
	at       time.Time
	records  int64 // with an outcome
	tokens   int64 // in and out
	inFlight int64 // requests to the servers of the job's model, of all jobs
}

// series are the points of a job. When there are too many, every second one is dropped, and from then on half as many are taken.
type series struct {
	points []point
	every  int // looks per point
	looks  int
	last   time.Time
}

// add takes a look at the job.
func (s *series) add(p point) {
	s.last = p.at
	if s.every = max(s.every, 1); s.looks%s.every == 0 {
		s.points = append(s.points, p)
	}
	s.looks++
	if len(s.points) < mostPoints {
		return
	}
	half := s.points[:0]
	for i := 0; i < len(s.points); i += 2 {
		half = append(half, s.points[i])
	}
	s.points, s.every, s.looks = half, s.every*2, 1
}

// samples are the series of jobs that this process has seen running. They are lost at a restart.
type samples struct {
	mu  sync.Mutex
	all map[string]*series
}

func newSamples() *samples { return &samples{all: map[string]*series{}} }

// add adds a point to a job's series; the series that was not added to for the longest time is dropped for a new one.
func (s *samples) add(job string, p point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[job]
	if one == nil {
		if len(s.all) >= sampledJobs {
			oldest := ""
			for id, x := range s.all {
				if oldest == "" || x.last.Before(s.all[oldest].last) {
					oldest = id
				}
			}
			delete(s.all, oldest)
		}
		one = &series{}
		s.all[job] = one
	}
	one.add(p)
}

// of returns the points of a job.
func (s *samples) of(job string) []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.all[job]; one != nil {
		return append([]point(nil), one.points...)
	}
	return nil
}

// sample looks at the jobs in progress.
func (c *Console) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	jobs, err := c.o.Jobs.Running(ctx, sampledJobs)
	if err != nil {
		if ctx.Err() == nil {
			c.o.Log.Debug("console: the running jobs cannot be read", "error", err)
		}
		return
	}
	flying, now := c.o.Jobs.InFlight(), c.o.Now()
	for _, j := range jobs {
		c.samples.add(j.ID, point{now, j.Counts.Processed, batholith.Sum(j.Tokens.Input, j.Tokens.Output), flying[j.Model]})
	}
}

// plotted are the points of a job as its plots need them: the rates of the time before each moment.
type plotted struct {
	At       []int64   `json:"at"` // seconds since 1970
	Records  []float64 `json:"records"`
	Tokens   []float64 `json:"tokens"`
	InFlight []int64   `json:"inFlight"`
}

// smooth is the number of points over which a rate is taken: outcomes are counted about once a second, in steps.
const smooth = 3

// plot returns rates: (records now − records before) / (now − before), where before is up to smooth points earlier.
func plot(points []point) (p plotted) {
	for i, x := range points {
		if i == 0 {
			continue
		}
		before := points[max(0, i-smooth)]
		seconds := x.at.Sub(before.at).Seconds()
		if seconds <= 0 {
			continue
		}
		p.At, p.InFlight = append(p.At, x.at.Unix()), append(p.InFlight, x.inFlight)
		p.Records = append(p.Records, max(0, float64(x.records-before.records)/seconds))
		p.Tokens = append(p.Tokens, max(0, float64(x.tokens-before.tokens)/seconds))
	}
	return p
}

// rate returns the records and tokens per second of the last half minute; ok is false if that is not known.
func rate(points []point, now time.Time) (records, tokens float64, ok bool) {
	if len(points) < 2 || now.Sub(points[len(points)-1].at) > time.Minute {
		return 0, 0, false
	}
	last := points[len(points)-1]
	first := points[len(points)-2]
	for i := len(points) - 2; i >= 0 && last.at.Sub(points[i].at) <= 30*time.Second; i-- {
		first = points[i]
	}
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return 0, 0, false
	}
	return float64(last.records-first.records) / seconds, float64(last.tokens-first.tokens) / seconds, true
}

// jobPoints answers the points of a job that the visitor may get.
func (c *Console) jobPoints(v *visit) error {
	j, err := v.job(v.r.PathValue("job"))
	if err != nil {
		http.Error(v.w, "the job cannot be read", http.StatusForbidden)
		return nil
	}
	text, err := json.Marshal(plot(c.samples.of(idOf(j.JobARN))))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, _ = v.w.Write(text)
	return nil
}

// tags returns the tags of a job; nil if the visitor may not read them.
func (v *visit) tags(arn string) []bedrock.Tag {
	var out bedrock.ListTagsForResourceOutput
	if v.call(http.MethodPost, "/listTagsForResource", bedrock.ListTagsForResourceInput{ResourceARN: arn}, &out) != nil {
		return nil
	}
	return out.Tags
}

// priorityOf returns the priority among tags, or "".
func priorityOf(tags []bedrock.Tag) string {
	for _, t := range tags {
		if strings.EqualFold(t.Key, "batholith:priority") {
			return t.Value
		}
	}
	return ""
}
