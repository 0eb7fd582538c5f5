package console

import (
	"net/http"
	"strconv"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// pageEvents is the number of changes on a page.
const pageEvents = 50

// eventList is the page of events.
type eventList struct {
	Events    []jobEvent
	Next      int64 // number to go on with; 0: there are no more
	Later     bool  // it is not the first page
	Receivers []Receiver
	Hidden    string // why the receivers are not shown
	Skipped   int    // events of jobs that the visitor may not see
}

// jobEvent is a change with the name of its job.
type jobEvent struct {
	batholith.Change
	Name string
}

// eventsPage shows the changes of the jobs that the visitor may get, newest first. The API is asked about each job. The receivers belong
// to the service: who may list its servers sees them.
func (c *Console) eventsPage(v *visit) error {
	if err := v.call(http.MethodGet, "/model-invocation-jobs?maxResults=1", nil, nil); err != nil {
		return err
	}
	before, _ := strconv.ParseInt(v.r.URL.Query().Get("before"), 10, 64) // anything else is the first page
	changes, err := c.o.Jobs.Changes(v.r.Context(), v.who.Account, max(before, 0), pageEvents)
	if err != nil {
		return err
	}
	l := eventList{Later: before > 0}
	if len(changes) == pageEvents {
		l.Next = changes[len(changes)-1].Seq
	}
	names := map[string]string{} // by job; "": it may not be seen, or was erased
	for _, e := range changes {
		name, known := names[e.Job]
		if !known {
			if j, err := v.job(e.Job); err == nil {
				name = j.JobName
			}
			names[e.Job] = name
		}
		if name == "" {
			l.Skipped++
			continue
		}
		l.Events = append(l.Events, jobEvent{e, name})
	}
	switch err := v.call(http.MethodGet, "/backends", nil, new(bedrock.ListBackendsOutput)); {
	case denied(err):
		l.Hidden = "You may not see to which receivers (webhooks) events are posted."
	case err != nil:
		return err
	default:
		if l.Receivers, err = c.o.Jobs.Receivers(v.r.Context()); err != nil {
			return err
		}
	}
	return v.show("events", "Events", "events", l)
}
