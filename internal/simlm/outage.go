package simlm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// defaultRestart is the time from a crash until the server answers again.
const defaultRestart = 10 * time.Second

// Outage is a time in which every request fails in the same way, for every path.
type Outage struct {
	Kind     FaultKind // a status, FaultReset or FaultHang
	From, To time.Duration
}

// ParseOutages reads a list such as "500@10s-1h,reset@2h-2h5m". The times count from the start.
func ParseOutages(text string) ([]Outage, error) {
	if text == "" {
		return nil, nil
	}
	var outages []Outage
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		name, times, _ := strings.Cut(item, "@")
		from, to, _ := strings.Cut(times, "-")
		kind, ok := ParseFaultKind(name)
		begin, errFrom := time.ParseDuration(from)
		end, errTo := time.ParseDuration(to)
		if !ok || errFrom != nil || errTo != nil || begin < 0 || end <= begin || kind == FaultTorn || kind == FaultNonsense || kind == FaultCrash {
			return nil, fmt.Errorf("%q is not KIND@FROM-TO, such as 500@10s-1h", item)
		}
		outages = append(outages, Outage{Kind: kind, From: begin, To: end})
	}
	return outages, nil
}

// health is the state of crashes. The server's mutex guards it.
type health struct {
	life  context.Context // context of the requests in flight; ends with a crash
	end   context.CancelFunc
	until time.Time // end of the restart
}

// newHealth is the state after a start.
func newHealth() health {
	life, end := context.WithCancel(context.Background())
	return health{life: life, end: end}
}

// crash breaks the connections of all requests in flight, and of new ones for Options.Restart.
func (s *Server) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.end()
	s.health = newHealth()
	s.health.until = time.Now().Add(s.o.Restart)
}

// away handles a request during an outage, and reports whether there is one. For a broken connection it panics with http.ErrAbortHandler.
func (s *Server) away(w http.ResponseWriter, r *http.Request) bool {
	if !s.mortal {
		return false
	}
	now := time.Now()
	s.mu.Lock()
	down := now.Before(s.health.until)
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	for _, o := range s.o.Outages {
		if since := now.Sub(s.born); since < o.From || since >= o.To {
			continue
		}
		switch o.Kind {
		case FaultReset:
			panic(http.ErrAbortHandler)
		case FaultHang:
			<-r.Context().Done()
		default:
			s.refuseWith(w, Fault{Kind: o.Kind})
		}
		return true
	}
	return false
}

// living returns a context that ends with r's, and at a crash. The caller must call check at the end: after a crash it panics, which breaks the connection.
func (s *Server) living(r *http.Request) (ctx context.Context, check func()) {
	if !s.mortal {
		return r.Context(), func() {}
	}
	s.mu.Lock()
	life := s.health.life
	s.mu.Unlock()
	ctx, stop := context.WithCancel(r.Context())
	unhook := context.AfterFunc(life, stop)
	return ctx, func() {
		unhook()
		stop()
		if life.Err() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
