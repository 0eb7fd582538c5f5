package cli

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/release"
	"github.com/batholith/batholith/internal/telemetry"
)

// scrapesAtOnce is how many scrapes are answered at the same time. Further ones get 503.
const scrapesAtOnce = 4

// openMetrics makes the metrics of the process, and the listener of its own that the settings may name for them. Without metrics, s.metrics
// stays nil.
func (s *service) openMetrics(ctx context.Context) (ln net.Listener, err error) {
	at := s.o.Config.Metrics.Listen
	if at == config.Off {
		return nil, nil
	}
	b := release.This()
	s.metrics = telemetry.New(telemetry.Build{Version: b.Version, Revision: b.Revision, Go: b.Go})
	if at == "" {
		return nil, nil
	}
	ln, err = listen(ctx, at, "--metrics-listen")
	if err != nil {
		return nil, err
	}
	ln = secured(ln, s.cert)
	s.o.Log.Info("metrics are served", "url", address(ln, s.cert)+metricsPath)
	return ln, nil
}

// observe connects the metrics with what they observe before the engine is made.
func (s *service) observe() {
	if s.metrics == nil {
		return
	}
	s.store.Observe(s.metrics.Stored)
}

// listener is the listener of the engine's events.
func (s *service) listener() batholith.Listener {
	var l batholith.Listener
	if s.metrics != nil {
		l = s.metrics.Listener()
	}
	if s.traces != nil {
		l = telemetry.Both(l, s.traces.Listener())
	}
	return l
}

// watch sets where the gauges come from, once the engine is there.
func (s *service) watch() {
	if s.metrics == nil {
		return
	}
	from := telemetry.Sources{Census: s.store.Census, Dispatch: s.engine.Dispatch, Outcomes: s.engine.Outcomes, Waiting: s.engine.Waiting, Memory: s.engine.Memory}
	if notice := s.o.Notice; notice != nil {
		from.DiskFull = func() bool { return notice() == diskIsFull }
	}
	from.Receivers = s.receivers
	from.Models = func() (ids []string) {
		for _, m := range s.engine.Models().Models() {
			ids = append(ids, m.ID)
		}
		return ids
	}
	s.metrics.Watch(from)
}

// serveMetrics adds a goroutine to g that answers /metrics on ln, and nothing else. ln may be nil.
func (s *service) serveMetrics(ctx context.Context, g *errgroup.Group, ln net.Listener) {
	if ln == nil {
		return
	}
	scrape := s.scraped()
	g.Go(func() error {
		return serveHTTP(ctx, ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != metricsPath {
				http.Error(w, "this address answers only "+metricsPath, http.StatusNotFound)
				return
			}
			scrape.ServeHTTP(w, r)
		}), s.o.Doors, stopTime, s.o.Log)
	})
}

// metricsPath is where the metrics are.
const metricsPath = "/metrics"

// scraped returns the handler of /metrics. With a token in the settings, each caller must send it. Without one, the listener of its own answers
// everybody who reaches it, and the API's listener answers programs of this machine. A request that a proxy has passed on is not from this
// machine, whatever its address.
func (s *service) scraped() http.Handler {
	m := s.o.Config.Metrics
	if s.metrics == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "there are no metrics: the setting metrics.listen is off", http.StatusNotFound)
		})
	}
	answer := promhttp.HandlerFor(s.metrics.Gatherer(), promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce, ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case m.Guarded() && !bears(r, m):
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "the metrics need the token of metrics.token_env or metrics.token_file: Authorization: Bearer TOKEN", http.StatusUnauthorized)
		case !m.Guarded() && m.Listen == "" && !near(r):
			http.Error(w, "the metrics are for this machine only; set metrics.token_env or metrics.token_file and send the token, or give them an address of their own with metrics.listen", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, fmt.Sprintf("%s is answered to GET", metricsPath), http.StatusMethodNotAllowed)
		default:
			answer.ServeHTTP(w, r)
		}
	})
}

// bears reports whether a request has the token of the settings. The comparison takes the same time for every wrong token.
func bears(r *http.Request, m config.Metrics) bool {
	token := m.Token
	if m.TokenFile != "" {
		text, err := files.ReadFile(m.TokenFile)
		if err != nil {
			return false
		}
		token = strings.TrimSpace(string(text))
	}
	sent, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	have, want := sha256.Sum256([]byte(sent)), sha256.Sum256([]byte(token))
	return ok && token != "" && subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

// near reports whether a request comes from a program of this machine and not through a proxy here.
func near(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
