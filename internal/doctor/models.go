package doctor

import (
	"bytes"
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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/upstream"
	"github.com/batholith/batholith/internal/words"
)

// models adds a finding for every configured model server.
func (d *doctor) models(ctx context.Context) {
	if len(d.o.Models) == 0 {
		d.find(Finding{Severity: Note, Check: "model", What: "no model is configured: the embedded ones are served",
			Remedy: "add your own under models: batholith config --sample shows how"})
		return
	}
	for _, p := range d.probe(ctx) {
		d.find(p.found)
	}
}

// Health is the state of one model on one of its servers.
type Health struct {
	Model string `json:"model"` // its id
	Finding
}

// Models tests every configured model server as Examine does, in the order of the settings.
func Models(ctx context.Context, o Options) (all []Health) {
	d := prepared(o)
	defer d.http.CloseIdleConnections()
	d.alive = d.data(o.DataDir)
	for _, p := range d.probe(ctx) {
		all = append(all, Health{p.model.ID, p.found.Redacted()})
	}
	return all
}

// probe is one model on one of its servers.
type probe struct {
	model   Model
	backend upstream.Options
	found   Finding
}

// probe tests every configured model server, up to 8 in parallel, and returns the findings in the order of the settings.
func (d *doctor) probe(ctx context.Context) (probes []*probe) {
	for _, m := range d.o.Models {
		for _, b := range m.Backends {
			probes = append(probes, &probe{model: m, backend: b})
		}
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, p := range probes {
		if s, ok := p.backend.Process.(*managed.Server); ok {
			if p.found, p.backend = d.started(s, p.model, p.backend); p.found.What != "" {
				continue
			}
		}
		g.Go(func() error { p.found = probeBackend(ctx, p.model, p.backend); return nil })
	}
	_ = g.Wait()
	return probes
}

// firstAnswer is the timeout of the test request. The server may have to load the model first.
const firstAnswer = 30 * time.Second

// probeBackend tests one model on one server: is it reachable, does it list the model, does it
// answer a request for one token. The answer decides, because many servers have no list or
// accept names that they do not list.
func probeBackend(ctx context.Context, model Model, b upstream.Options) Finding {
	name, url := cmp.Or(b.Model, model.ID), placeOf(b)
	refused := Finding{Problem, "model", fmt.Sprintf("%s is not served by %s", model.ID, url), "", ""}
	b.Model, b.Timeout = name, firstAnswer
	backend, err := upstream.New(b)
	if err != nil {
		refused.Why = err.Error()
		return refused
	}
	doubt, ok := errors.AsType[*batholith.Failure](backend.Probe(ctx))
	if ok && doubt.Kind == batholith.FailureUnreachable {
		refused.Why, refused.Remedy = doubt.Cause(), backendRemedy(doubt, b.Protocol)
		return refused
	}
	err = askBackend(ctx, backend, cmp.Or(model.Family, dialect.FamilyOf(model.ID)), cmp.Or(b.Protocol, dialect.ProtocolOpenAI))
	f, failed := errors.AsType[*batholith.Failure](err)
	switch {
	case failed && (f.Kind == batholith.FailureBackPressure || f.Kind == batholith.FailureRetry && f.Status == 0 && f.Sent && !f.Crash):
		return Finding{Note, "model", fmt.Sprintf("%s has not answered for %s yet", url, model.ID), "a request for one token: " + f.Cause(),
			"it is busy, still loads the model, or hangs; if a second batholith doctor says the same, look at the model server's log and restart it; jobs wait for it meanwhile"}
	case failed && doubt != nil:
		refused.Why, refused.Remedy = f.Cause()+"; "+doubt.Cause(), backendRemedy(doubt, b.Protocol)
		return refused
	case failed:
		refused.Why, refused.Remedy = f.Cause(), backendRemedy(f, b.Protocol)
		return refused
	case err != nil:
		refused.Why, refused.Remedy = err.Error(), "does the backend's url end where the protocol begins, as …/v1 does? no login page or proxy may be in front of it"
		return refused
	}
	what := fmt.Sprintf("%s serves %s", url, backend.ModelName())
	if n, ok := backend.Slots(ctx); ok {
		what += ", " + words.Plural(int64(n), "slot")
	}
	return Finding{Severity: Sound, Check: "model", What: what + " for " + model.ID + "; it answered a request for one token"}
}

// askBackend sends a test request for one token, or for one embedding.
func askBackend(ctx context.Context, backend *upstream.Backend, family, protocol string) error {
	path := "/chat/completions"
	if d, err := dialect.For(family, protocol, batholith.InvokeModel, dialect.Options{}); err == nil {
		path = dialect.PathOf(d, nil)
	}
	call, ok := dialect.Canary(protocol, path, 0, backend.ModelName(), 0)
	if !ok {
		return fmt.Errorf("there is no small request for the protocol %s", protocol)
	}
	body, err := backend.Do(ctx, call)
	if err == nil && !dialect.CanaryAnswered(protocol, body) {
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			return fmt.Errorf("%s answered with a web page (HTML) where JSON is expected", backend)
		}
		return fmt.Errorf("%s answered with something that is not a completion", backend)
	}
	return err
}

// backendRemedy returns the remedy for a failed test.
func backendRemedy(f *batholith.Failure, protocol string) string {
	if protocol == dialect.ProtocolBedrock && f.Remedy != "" { // keys and addresses are others
		return f.Remedy + "; jobs wait for it meanwhile"
	}
	switch f.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "name the variable with the server's key in the backend's api_key_env"
	case http.StatusNotFound:
		return "does the backend's url end where the protocol begins, as …/v1 does?"
	case http.StatusOK:
		return "put one of the names that it serves into the backend's model"
	}
	switch {
	case f.Crash:
		return "if the server wants TLS, write https:// in the backend's url; otherwise its log may say why; jobs wait for it meanwhile"
	case f.Remedy == isItRunning:
		return "start the model server, or correct the backend's url; jobs wait for it meanwhile"
	case f.Remedy != "":
		return f.Remedy + "; jobs wait for it meanwhile"
	}
	return "look at the model server's log; jobs wait for it meanwhile"
}

// isItRunning is upstream's remedy where nothing listens.
const isItRunning = "is the model server running there?"

// usualPort is the default address of a kind of model server.
type usualPort struct{ address, server string }

var usualPorts = []usualPort{{"127.0.0.1:11434", "Ollama"}, {"127.0.0.1:8000", "vLLM"}, {"127.0.0.1:8080", "llama.cpp"},
	{"127.0.0.1:1234", "LM Studio"}, {"127.0.0.1:30000", "SGLang"}}

// portTime bounds the request to a port on which possibly nothing listens.
const portTime = time.Second

// neighbours looks for model servers on the usual ports of this machine that are not
// configured, and suggests settings for them.
func (d *doctor) neighbours(ctx context.Context) {
	for _, p := range d.ports {
		if d.configured(p.address) {
			continue
		}
		// A server that lists no models is not offered.
		names := d.served(ctx, "http://"+p.address+"/v1")
		if len(names) == 0 {
			continue
		}
		d.find(Finding{Note, "model", fmt.Sprintf("a model server is on %s, where %s listens as a rule; it serves %s", p.address, p.server, words.Some("", names)),
			"", "to use it, put this into the settings; id is what jobs ask for, and may be any name:\n" + Offer(p.address, names[0])})
	}
}

// Offer returns the part of a settings file that configures a model server.
func Offer(address, model string) string {
	// A JSON string is also a valid YAML string.
	quoted, _ := json.Marshal(model) // a JSON string is a YAML string
	return fmt.Sprintf("models:\n  - id: %s\n    family: openai\n    backends:\n      - url: http://%s/v1\n        model: %s", quoted, address, quoted)
}

// configured reports whether a configured backend has this address.
func (d *doctor) configured(address string) bool {
	_, port, _ := net.SplitHostPort(address)
	for _, m := range d.o.Models {
		for _, b := range m.Backends {
			u, err := url.Parse(b.URL)
			if err == nil && u.Port() == port && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()) {
				return true
			}
		}
	}
	return false
}

// served returns the models of an OpenAI-compatible server; nil if there is none.
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
