package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/upstream"
)

// models probes every model server of the settings.
func (d *doctor) models(ctx context.Context, c *config.Config) {
	if len(c.Models) == 0 {
		d.find(finding{Severity: note, Check: "model", What: "no model is configured: the embedded ones are served",
			Remedy: "add your own under models: batholith config --sample shows how"})
		return
	}
	type probe struct {
		model   config.Model
		backend config.Backend
		found   finding
	}
	var probes []*probe
	for _, m := range c.Models {
		for _, b := range m.Backends {
			probes = append(probes, &probe{model: m, backend: b})
		}
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, p := range probes {
		g.Go(func() error { p.found = probeBackend(ctx, p.model.ID, p.backend); return nil })
	}
	_ = g.Wait()
	for _, p := range probes {
		d.find(p.found)
	}
}

// probeBackend asks one model server for one model.
func probeBackend(ctx context.Context, model string, b config.Backend) finding {
	name, url := cmp.Or(b.Model, model), config.Redact(b.URL)
	backend, err := upstream.New(upstream.Options{URL: b.URL, Protocol: b.Protocol, Model: name, APIKey: b.APIKey, Timeout: askTime})
	if err == nil {
		err = backend.Probe(ctx)
	}
	var f *batholith.Failure
	switch {
	case err == nil:
		what := fmt.Sprintf("%s serves %s", url, name)
		if n, ok := backend.Slots(ctx); ok {
			what += ", " + plural(int64(n), "slot")
		}
		return finding{Severity: sound, Check: "model", What: what + " for " + model}
	case errors.As(err, &f):
		return finding{problem, "model", fmt.Sprintf("%s is not served by %s", model, url), f.Reason(), backendRemedy(f)}
	}
	return finding{problem, "model", fmt.Sprintf("%s is not served by %s", model, url), err.Error(), ""}
}

// backendRemedy is what to do about a probe that failed.
func backendRemedy(f *batholith.Failure) string {
	switch f.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "name the variable with the server's key in the backend's api_key_env"
	case http.StatusNotFound:
		return "does the backend's url end where the protocol begins, as …/v1 does?"
	case http.StatusOK:
		return "put one of the names that it serves into the backend's model"
	case 0:
		return "start the model server, or correct the backend's url; jobs wait for it meanwhile"
	}
	return "look at the model server's log; jobs wait for it meanwhile"
}

// usualPort is where a kind of model server listens unless it is told otherwise.
type usualPort struct{ address, server string }

var usualPorts = []usualPort{{"127.0.0.1:11434", "Ollama"}, {"127.0.0.1:8000", "vLLM"}, {"127.0.0.1:8080", "llama.cpp"},
	{"127.0.0.1:1234", "LM Studio"}, {"127.0.0.1:30000", "SGLang"}}

// portTime bounds the question to a port that perhaps nobody listens on.
const portTime = time.Second

// neighbours looks for model servers on the usual ports of this machine that the settings do not name, and offers them.
func (d *doctor) neighbours(ctx context.Context, c *config.Config) {
	for _, p := range d.ports {
		if configured(c, p.address) {
			continue
		}
		names := d.served(ctx, "http://"+p.address+"/v1")
		if len(names) == 0 {
			continue
		}
		d.find(finding{note, "model", fmt.Sprintf("a model server is on %s, where %s listens as a rule; it serves %s", p.address, p.server, listSome("", names)),
			"", "to use it, put this into the settings; id is what jobs ask for, and may be any name:\n" + offer(p.address, names[0])})
	}
}

// offer is the part of a settings file that names a model server.
func offer(address, model string) string {
	quoted, _ := json.Marshal(model) // a JSON string is a YAML string
	return fmt.Sprintf("models:\n  - id: %s\n    family: openai\n    backends:\n      - url: http://%s/v1\n        model: %s", quoted, address, quoted)
}

// configured tells whether a backend of the settings is at an address.
func configured(c *config.Config, address string) bool {
	_, port, _ := net.SplitHostPort(address)
	for _, m := range c.Models {
		for _, b := range m.Backends {
			u, err := url.Parse(b.URL)
			if err == nil && u.Port() == port && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()) {
				return true
			}
		}
	}
	return false
}

// served lists the models of an OpenAI-compatible server; none when there is no such server.
func (d *doctor) served(ctx context.Context, base string) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, portTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/models", nil)
	if err != nil {
		return nil
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list) != nil {
		return nil
	}
	for _, m := range list.Data {
		if m.ID != "" {
			names = append(names, m.ID)
		}
	}
	return names
}

// listSome names a few of many, in order.
func listSome(noun string, names []string) string {
	const most = 5
	slices.Sort(names)
	text := strings.TrimSpace(noun + " " + strings.Join(names[:min(most, len(names))], ", "))
	if n := len(names) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}
