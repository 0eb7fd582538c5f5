package simlm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// defaultRestart is how long a server that crashed is away.
const defaultRestart = 10 * time.Second

// Outage is a time in which every request fails alike, whatever its path.
type Outage struct {
	Kind     FaultKind // a status, FaultReset or FaultHang
	From, To time.Duration
}

// ParseOutages reads "500@10s-1h,reset@2h-2h5m": kinds and times, counted from the start.
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

// health is whether the server can answer at all. The server's mutex guards it.
type health struct {
	life  context.Context // of the requests in flight; ends with a crash
	end   context.CancelFunc
	until time.Time // when it has restarted
}

func newHealth() health {
	life, end := context.WithCancel(context.Background())
	return health{life: life, end: end}
}

// crash breaks every request in flight, and every new one until the server has restarted.
func (s *Server) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.end()
	s.health = newHealth()
	s.health.until = time.Now().Add(s.o.Restart)
}

// away answers a request that comes while there is an outage, or does not return when the connection breaks. It tells whether it did.
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

// living is a context that ends with r's and with the server's life. When it was the server's, check does not return.
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
