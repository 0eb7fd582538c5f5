package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/bedrock"
)

// modelList is the page of models and their servers.
type modelList struct {
	Models   []bedrock.FoundationModel
	Denied   string // why the models are not shown
	Backends []bedrock.BackendSummary
	Hidden   string // why the servers are not shown
	InFlight map[string]int64
	Said     string
}

// Of returns the servers of a model.
func (l modelList) Of(model string) (of []bedrock.BackendSummary) {
	for _, b := range l.Backends {
		if slices.Contains(b.ModelIDs, model) {
			of = append(of, b)
		}
	}
	return of
}

// Unserving returns the servers that serve no model any more: they are in no settings, and are drained.
func (l modelList) Unserving() (of []bedrock.BackendSummary) {
	for _, b := range l.Backends {
		if len(b.ModelIDs) == 0 {
			of = append(of, b)
		}
	}
	return of
}

// Drained reports whether a server gets no new requests because an operator wants so.
func (l modelList) Drained(b bedrock.BackendSummary) bool { return strings.HasPrefix(b.State, "drain") }

// models reads the page. Who may see only one of the two lists sees that one.
func (v *visit) models() (l modelList, err error) {
	var models bedrock.ListFoundationModelsOutput
	err = v.call(http.MethodGet, "/foundation-models", nil, &models)
	if err != nil && !denied(err) {
		return l, err
	} else if err != nil {
		l.Denied = message(err)
	}
	var backends bedrock.ListBackendsOutput
	err = v.call(http.MethodGet, "/backends", nil, &backends)
	if err != nil && !denied(err) {
		return l, err
	} else if err != nil {
		l.Hidden = message(err)
	}
	if l.Denied != "" && l.Hidden != "" {
		return l, err
	}
	l.Models, l.Backends = models.ModelSummaries, backends.Backends
	if l.Hidden == "" {
		l.InFlight = v.c.o.Jobs.InFlight()
	}
	return l, nil
}

// modelsPage shows the models and their servers.
func (c *Console) modelsPage(v *visit) error {
	l, err := v.models()
	if err != nil {
		return err
	}
	l.Said = map[string]string{"drain": "The server gets nothing new. Requests in flight finish.", "resume": "The server gets requests again."}[v.r.URL.Query().Get("done")]
	return v.show("models", "Models", "models", l)
}

// modelsLive follows the page.
func (c *Console) modelsLive(v *visit) error {
	return v.stream(func() (map[string]string, bool, error) {
		l, err := shared(v, "models", (*visit).models)
		if err != nil {
			return nil, false, err
		}
		text, err := v.part("models", "model-list", l)
		return map[string]string{"models": text}, false, err
	})
}

// backendAct drains a server, or ends that.
func (c *Console) backendAct(v *visit) error {
	verb := v.r.PathValue("verb")
	if verb != "drain" && verb != "resume" {
		return notFound("A model server has no such button.")
	}
	if err := v.call(http.MethodPost, "/backends/"+url.PathEscape(v.r.PostForm.Get("backend"))+"/"+verb, nil, nil); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, Path+"models?done="+verb, http.StatusSeeOther)
	return nil
}
