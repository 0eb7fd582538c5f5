package upstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// Probe asks whether the server is there and serves the model. The error is as of [Backend.Do].
func (b *Backend) Probe(ctx context.Context) error {
	body, err := b.ask(ctx, b.base.String()+"/models")
	if err != nil {
		return err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list, lenient) != nil || list.Data == nil {
		return &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: http.StatusOK,
			Message: fmt.Sprintf("%s does not list its models as an OpenAI-compatible server does; check the backend's url and protocol", b.host)}
	}
	var served []string
	for _, m := range list.Data {
		served = append(served, m.ID)
	}
	if b.o.Model == "" || slices.Contains(served, b.o.Model) {
		return nil
	}
	return &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: http.StatusOK,
		Message: fmt.Sprintf("%s does not serve the model %q; it serves: %s", b.host, b.o.Model, listed(served))}
}

var lenient = jsontext.AllowDuplicateNames(true)

// listed shows the first names of what may be a long list.
func listed(names []string) string {
	const shown = 10
	if len(names) == 0 {
		return "nothing"
	}
	text := strings.Join(names[:min(len(names), shown)], ", ")
	if n := len(names) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return printable(text, maxSaid)
}

// ask sends a GET with a short timeout of its own.
func (b *Backend) ask(ctx context.Context, url string) ([]byte, error) {
	attempt, cancel := context.WithTimeoutCause(ctx, min(probeTimeout, b.o.Timeout), errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, url, nil)
	if err != nil {
		return nil, b.classify(attempt, err)
	}
	body, err := b.exchange(req)
	if err == nil {
		return body, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, b.classify(attempt, err)
}
