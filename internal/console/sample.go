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
	stored int64 // minute of the latest look that was stored
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

// samples are the series of jobs that this process has seen running. They are lost at a restart; one point a minute of each is stored.
type samples struct {
	mu  sync.Mutex
	all map[string]*series
}

func newSamples() *samples { return &samples{all: map[string]*series{}} }

// add adds a point to a job's series; the series that was not added to for the longest time is dropped for a new one. due: it is the first one of
// its minute, which is stored.
func (s *samples) add(job string, p point) (due bool) {
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
	minute := p.at.Unix() / 60
	due, one.stored = minute != one.stored, minute
	return due
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
	var all []batholith.Point
	for _, j := range jobs {
		p := batholith.Point{Job: j.ID, At: now, Records: j.Counts.Processed, Tokens: batholith.Sum(j.Tokens.Input, j.Tokens.Output), InFlight: flying[j.Model]}
		if c.samples.add(j.ID, pointOf(p)) {
			all = append(all, p)
		}
	}
	if len(all) > 0 {
		if err := c.o.Jobs.PutPoints(ctx, all); err != nil && ctx.Err() == nil { // the plots of a later process lack a minute
			c.o.Log.Debug("console: points cannot be stored", "error", err)
		}
	}
}

func pointOf(p batholith.Point) point { return point{p.At, p.Records, p.Tokens, p.InFlight} }

// points returns the points of a job: its begin, the stored ones, then those of this process, which are closer, and its end.
func (v *visit) points(j bedrock.JobSummary) ([]point, error) {
	id := idOf(j.JobARN)
	history, err := v.c.o.Jobs.History(v.r.Context(), id)
	if err != nil {
		return nil, err
	}
	stored, err := v.c.o.Jobs.Points(v.r.Context(), id)
	if err != nil {
		return nil, err
	}
	var all []point
	add := func(p point) {
		if len(all) == 0 || p.at.After(all[len(all)-1].at) {
			all = append(all, p)
		}
	}
	for _, h := range history {
		if h.Status == batholith.StatusInProgress {
			add(point{at: h.At})
			break
		}
	}
	own := v.c.samples.of(id)
	for _, p := range stored {
		if len(own) > 0 && !p.At.Before(own[0].at) {
			break
		}
		add(pointOf(p))
	}
	for _, p := range own {
		add(p)
	}
	if len(all) > 0 && j.Status.Terminal() && !j.EndTime.IsZero() {
		end := point{at: j.EndTime.Time, records: j.ProcessedRecordCount, tokens: all[len(all)-1].tokens}
		if u := notesOf(j).Usage; u != nil {
			end.tokens = batholith.Sum(u.InputTokens, u.OutputTokens)
		}
		add(end)
	}
	return all, nil
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
	j, err := v.liveView()
	if err != nil {
		http.Error(v.w, "the job cannot be read", http.StatusForbidden)
		return nil
	}
	all, err := v.points(j.JobSummary)
	if err != nil {
		return err
	}
	text, err := json.Marshal(plot(all))
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
