package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/words"
)

// serveSimulated serves the simulated model until a signal ends it, and then prints the statistics of each
// replica. Requests in progress are cut off, as when a real model server is stopped. Nothing is stored.
func (a *app) serveSimulated(ctx context.Context, s *simulatedServer) error {
	ln, err := listen(ctx, s.listen, "--listen")
	if err != nil {
		return err
	}
	defer ln.Close()
	replicas := simlm.NewReplicas(s.options, s.replicas, simlm.FaultKind(s.sick))
	a.announceSimulated(ln, &s.options)
	// The first part that fails ends the others; a signal ends all of them without an error.
	g, serving := errgroup.WithContext(ctx)
	for _, server := range replicas.Servers() {
		g.Go(func() error { return server.Run(serving) })
	}
	g.Go(func() error { return serveModel(serving, ln, replicas) })
	if err := g.Wait(); err != nil && !shutDown(ctx, err) {
		return err
	}
	for _, server := range replicas.Servers() {
		st := server.Stats()
		if s.asJSON {
			err = a.printJSON(st)
		} else {
			err = writeLines(a.stderr, simulatedSummary(st))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serveModel answers requests on ln until ctx ends. Only the head of a request has a time limit: a generation may
// take long.
func serveModel(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: headTime}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(ln); ctx.Err() == nil {
		return fmt.Errorf("serve the simulated model: %w", err)
	}
	return nil
}

// announceSimulated prints the server's address, its properties, and the settings that send jobs to it. All of it
// goes to stderr, since stdout is for the summary of --json.
func (a *app) announceSimulated(ln net.Listener, o *simlm.Options) {
	at := strings.TrimPrefix(reachable(ln), "http://")
	plain.Fprintf(a.stderr, `The simulated model listens on http://%s/v1: %s, %s a step, as %s.
To send it jobs, put this into the settings; id is what jobs ask for, and may be any name:
`, at, slotsInWords(o), o.Step, o.Engine)
	_ = writeLines(a.stderr, doctor.Offer(at, o.Model))
	plain.Fprintf(a.stderr, "Its account: curl http://%s/simulated/stats\n", at)
}

// slotsInWords returns the number of slots in words.
func slotsInWords(o *simlm.Options) string {
	if len(o.Schedule) > 0 {
		return "slots by the schedule"
	}
	if o.Slots == 0 {
		return "no bound on slots"
	}
	return words.Plural(int64(o.Slots), "slot")
}

// simulatedSummary returns the statistics of a server on one or two lines. Shares and rates refer to the time
// under load (Stats.Loaded), so that the idle time before the first request does not lower them:
//
//	tokens per second = generated tokens / seconds under load
func simulatedSummary(st simlm.Stats) string {
	d := time.Duration(st.Loaded.Seconds * float64(time.Second))
	text := fmt.Sprintf("%s answered", words.Plural(st.Answered, "request"))
	if st.Answered > 0 {
		text += fmt.Sprintf(" in %s: %s tokens generated (%s/s)", words.Span(d), words.Number(st.GeneratedTokens), words.Rate(st.GeneratedTokens, d))
	}
	if st.CachedTokens > 0 {
		text += fmt.Sprintf(", %.0f%% of the prompts' from the cache", 100*float64(st.CachedTokens)/float64(st.PromptTokens))
	}
	if st.Slots >= 0 && st.Answered > 0 {
		text += fmt.Sprintf("; slots busy %.1f%% of that time, %.1f requests waiting on average, %d at most", 100*st.Loaded.Busy, st.Loaded.WaitingMean, st.WaitingMax)
	}
	for _, n := range []struct {
		count int64
		what  string
	}{{st.Refused, "refused"}, {st.Failed, "failed as set"}, {st.Cancelled, "given up by their clients"}} {
		if n.count > 0 {
			text += fmt.Sprintf("; %s %s", words.Number(n.count), n.what)
		}
	}
	if o := st.Others; o.Requests > 0 {
		text += fmt.Sprintf("\n%s of others, %s refused, in the queue for %.0f ms (p50), %.0f ms (p95)", words.Plural(o.Requests, "request"), words.Number(o.Refused),
			1000*o.Wait.P50, 1000*o.Wait.P95)
	}
	return text
}
