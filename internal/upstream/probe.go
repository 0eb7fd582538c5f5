package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Probe checks that the server is reachable and reads its list of models. It returns the cause
// of ctx, or a [*batholith.Failure] of kind
//
//   - [batholith.FailureUnreachable]: nothing answered in HTTP. Any HTTP answer, whatever its status, counts as
//     reachable.
//   - [batholith.FailureMisconfigured]: the model is missing in the list. This is a warning only, because many
//     servers accept names that they do not list. Public names the listed models.
//
// If the list is not available (no such path, no permission, another format), Probe returns
// nil.
func (b *Backend) Probe(ctx context.Context) error {
	models, known, err := b.list(ctx)
	switch {
	case err != nil:
		return err
	case !known || b.o.Model == "" || slices.ContainsFunc(models, func(m listed) bool { return m.answersTo(b.o.Model) }):
		return nil
	case b.o.Sole && len(models) == 1:
		b.sole.Store(&models[0].ID)
		return nil
	}
	f := failure(batholith.FailureMisconfigured, "put one of these names into the backend's model", "%s does not list the model %q; it lists: %s", b.host, b.o.Model, namesOf(models))
	f.Status, f.Sent = http.StatusOK, true
	return f
}

// Listed reports whether the server's list of models contains this backend's model. known is
// false if the list is not available.
func (b *Backend) Listed(ctx context.Context) (found, known bool) {
	models, known, err := b.list(ctx)
	if err != nil || !known {
		return false, false
	}
	return slices.ContainsFunc(models, func(m listed) bool { return m.answersTo(b.o.Model) }), true
}

// list requests the list of models. An error means that nothing answered in HTTP.
func (b *Backend) list(ctx context.Context) (models []listed, known bool, err error) {
	body, answered, err := b.ask(ctx, b.address(cmp.Or(b.o.Paths.Models, b.protocol.models)))
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if f, ok := errors.AsType[*batholith.Failure](err); ok && !answered {
		f.Kind = batholith.FailureUnreachable
		return nil, false, f
	}
	if err != nil {
		return nil, false, nil
	}
	var list struct {
		Data   []listed `json:"data"`
		Models []struct {
			Name string `json:"name"`
		} `json:"models"` // Ollama's own list
	}
	if json.Unmarshal(body, &list, lenient) != nil {
		return nil, false, nil
	}
	if b.o.Protocol == dialect.ProtocolOllama && list.Models != nil {
		list.Data = []listed{}
		for _, m := range list.Models {
			list.Data = append(list.Data, listed{ID: m.Name, Owner: "library"})
		}
	}
	return list.Data, list.Data != nil, nil
}

// listed is one entry of a server's list of models. llama.cpp lists aliases too.
type listed struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases"`
	Owner   string   `json:"owned_by"`      // vLLM and SGLang write their own names
	Context int      `json:"max_model_len"` // of vLLM and SGLang; 0: the server does not say it
}

// answersTo reports whether a server that lists m accepts name: the id or an alias, with or
// without Ollama's default tag ":latest" and Gemini's prefix "models/"; or any name that
// matches a pattern such as LiteLLM's "openai/*".
func (m listed) answersTo(name string) bool {
	name = bareName(name)
	for _, own := range append([]string{m.ID}, m.Aliases...) {
		if own = bareName(own); own == name {
			return true
		}
		if prefix, ok := strings.CutSuffix(own, "*"); ok && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func bareName(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "models/"), ":latest")
}

var lenient = jsontext.AllowDuplicateNames(true)

// namesOf lists the first ten names for a message that everyone may see. The names come from
// the server, so any that does not look like a model name is counted but not shown.
func namesOf(models []listed) string {
	const shown = 10
	if len(models) == 0 {
		return "nothing"
	}
	var plain []string
	for _, m := range models {
		if plainName(m.ID) && len(plain) < shown {
			plain = append(plain, m.ID)
		}
	}
	text := strings.Join(plain, ", ")
	switch n := len(models) - len(plain); {
	case len(plain) == 0:
		return fmt.Sprintf("%d whose names are not those of models", n)
	case n > 0:
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// plainName reports whether s looks like a model name: one ASCII word such as
// "Qwen/Qwen2.5-7B-Instruct" or "llama3.1:8b".
func plainName(s string) bool {
	const longest = 96
	return s != "" && len(s) <= longest && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:/@+", r)
	}) < 0
}

// ask sends a GET with a short timeout. answered reports whether an HTTP answer came, whatever
// its status.
func (b *Backend) ask(ctx context.Context, url string) (body []byte, answered bool, err error) {
	s := &sending{patience: min(probeTimeout, b.o.Timeout), late: "it hangs or is overloaded: look at the model server's log"}
	attempt, cancel := context.WithTimeoutCause(ctx, s.patience, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(s.trace(attempt), http.MethodGet, url, nil)
	if err != nil {
		return nil, false, b.classify(attempt, err, s)
	}
	if body, err = b.exchange(b.client, req, nil, s, readList); err == nil {
		return body, true, nil
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	return nil, s.answered.Load(), b.classify(attempt, err, s)
}

// readList reads the answer to a small request.
func readList(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxList+1))
	if len(body) > maxList {
		return nil, &mangled{how: fmt.Sprintf("is longer than %d MiB", maxList>>20)}
	}
	return body, err
}
