package upstream

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
)

// maxMetrics is how many bytes of a server's metrics are read. vLLM sends a few hundred
// thousand, mostly histograms.
const maxMetrics = 4 << 20

// page is one place where servers report their load.
type page struct {
	path string // beside /v1
	// ofModel adds the model to the query: llama.cpp's router passes the request on to the
	// process of that model. autoload=false keeps it from loading a model only to be asked.
	ofModel bool
	read    func(r io.Reader, model string) (batholith.Gauges, bool)
}

// pages lists the places in the order in which they are tried. Sources:
//
//   - /metrics: vLLM, SGLang and llama.cpp (both only if started with a flag), LMDeploy, TGI and others.
//   - /metrics?model=: llama.cpp's router (tools/server/server-models.cpp).
//   - /prometheus/metrics: trtllm-serve, whose /metrics are statistics in JSON that every reader takes from the others.
//   - /v1/metrics: NVIDIA NIM.
//   - /v1/loads: SGLang, also without --enable-metrics (srt/entrypoints/v1_loads.py).
var pages = []page{
	{"/metrics", false, readGauges},
	{"/metrics", true, readGauges},
	{"/prometheus/metrics", false, readGauges},
	{"/v1/metrics", false, readGauges},
	{"/v1/loads", false, readLoads},
}

// Gauges reads the numbers of running and waiting requests from the server. They include
// requests of other clients. The engines behind one address are summed, and other models are
// left out. ok is false if the server does not report them. The page that the server has is
// remembered, so that later readings take one request.
func (b *Backend) Gauges(ctx context.Context) (g batholith.Gauges, ok bool) {
	known := int(b.page.Load()) - 1 // -1: none is known
	if known >= 0 {
		g, ok, answered := b.readPage(ctx, pages[known])
		if ok || !answered {
			return g, ok
		}
	}
	for i, p := range pages {
		if i == known || p.ofModel && b.ModelName() == "" {
			continue
		}
		g, ok, answered := b.readPage(ctx, p)
		if ok {
			b.page.Store(int32(i + 1))
			return g, true
		}
		if !answered { // the server is away or hangs: the other pages would tell no more
			break
		}
	}
	return batholith.Gauges{}, false
}

// readPage reads one page. answered is false if no HTTP answer came.
func (b *Backend) readPage(ctx context.Context, p page) (g batholith.Gauges, ok, answered bool) {
	attempt, cancel := context.WithTimeout(ctx, min(probeTimeout, b.o.Timeout))
	defer cancel()
	address := b.beside(p.path)
	if p.ofModel {
		address += b.routed()
	}
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, address, nil)
	if err != nil {
		return g, false, false
	}
	if b.sign(req, nil) != nil {
		return g, false, false
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return g, false, false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return g, false, true
	}
	g, ok = p.read(io.LimitReader(resp.Body, maxMetrics), b.ModelName())
	return g, ok, true
}

// routed is the query by which llama.cpp's router finds the process of the backend's model.
func (b *Backend) routed() string {
	return "?" + url.Values{"model": {b.ModelName()}, "autoload": {"false"}}.Encode()
}

// readLoads sums the loads of SGLang's data-parallel ranks. They have no model: an SGLang server
// has one.
func readLoads(r io.Reader, _ string) (g batholith.Gauges, ok bool) {
	var doc struct {
		Loads []struct {
			Running *int `json:"num_running_reqs"`
			Waiting *int `json:"num_waiting_reqs"`
		} `json:"loads"`
	}
	body, err := io.ReadAll(r)
	if err != nil || json.Unmarshal(body, &doc, lenient) != nil {
		return g, false
	}
	for _, l := range doc.Loads {
		if l.Running == nil || l.Waiting == nil || min(*l.Running, *l.Waiting) < 0 || max(*l.Running, *l.Waiting) >= most {
			return batholith.Gauges{}, false
		}
		g.Running, g.Waiting = g.Running+*l.Running, g.Waiting+*l.Waiting
	}
	return g, len(doc.Loads) > 0
}
