package cli

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/release"
	"github.com/batholith/batholith/internal/telemetry"
)

// closeTime is how long a process that ends waits for the collector of traces.
const closeTime = 3 * time.Second

// openTraces starts to send spans, if the settings or the standard variables of OpenTelemetry name a receiver. The caller must call stop at
// the end, which sends what waits.
func (s *service) openTraces(ctx context.Context) (stop func(), err error) {
	t := s.o.Config.Traces
	if t.Endpoint == "" && !namedByOTEL() {
		return func() {}, nil
	}
	headers, err := t.Pairs()
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	s.traces, err = telemetry.OpenTraces(ctx, telemetry.TraceOptions{Endpoint: t.Endpoint, Headers: headers, Sample: t.Sample, Version: release.This().Version,
		Instance: host + "-" + strconv.Itoa(os.Getpid()), Log: s.o.Log})
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if err := s.traces.Close(ctx); err != nil {
			s.o.Log.Warn("the last spans are lost: the collector did not accept them in time", "err", err)
		}
	}, nil
}

// namedByOTEL reports whether the standard variables name a receiver and do not switch traces off.
func namedByOTEL() bool {
	if off, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); off || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// openProfiles opens the listener of debug.listen; nil: there is none.
func openProfiles(ctx context.Context, at string) (net.Listener, error) {
	if at == "" {
		return nil, nil
	}
	return listen(ctx, at, "--debug-listen")
}

// serveProfiles adds a goroutine to g that answers profiles on ln. ln may be nil. The handlers are not those of http.DefaultServeMux, to which
// any package may add its own.
func (s *service) serveProfiles(ctx context.Context, g *errgroup.Group, ln net.Listener) {
	if ln == nil {
		return
	}
	s.o.Log.Info("profiles are served", "url", reachable(ln)+profilesPath)
	g.Go(func() error { return serveHTTP(ctx, ln, profiled(), s.o.Doors, stopTime, s.o.Log) })
}

const profilesPath = "/debug/pprof/"

// profiled is the handler of profiles.
func profiled() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, profilesPath)
		if !ok {
			http.Error(w, "this address answers only "+profilesPath, http.StatusNotFound)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a profile takes as long as it is asked to
		switch name {
		case "cmdline":
			pprof.Cmdline(w, r)
		case "profile":
			pprof.Profile(w, r)
		case "symbol":
			pprof.Symbol(w, r)
		case "trace":
			pprof.Trace(w, r)
		default:
			pprof.Index(w, r)
		}
	})
}
