package upstream

import (
	"context"
	"fmt"
	"io"
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
		return b.unusable("%s does not list its models as an OpenAI-compatible server does; check the backend's url and protocol", b.host)
	}
	var served []string
	for _, m := range list.Data {
		served = append(served, m.ID)
	}
	if b.o.Model == "" || slices.Contains(served, b.o.Model) {
		return nil
	}
	return b.unusable("%s does not serve the model %q; it serves: %s", b.host, b.o.Model, listed(served))
}

// unusable is the failure of a server that answers and is not the one that was configured.
func (b *Backend) unusable(format string, args ...any) *batholith.Failure {
	text := fmt.Sprintf(format, args...)
	return &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: http.StatusOK, Message: text, Public: text}
}

var lenient = jsontext.AllowDuplicateNames(true)

// listed shows the first names of a list of models that may be long. The list comes from the server and is shown to everybody, so what
// does not look like the name of a model is counted and not shown.
func listed(names []string) string {
	const shown = 10
	if len(names) == 0 {
		return "nothing"
	}
	plain := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return !plainName(s) })
	plain = plain[:min(len(plain), shown)]
	text := strings.Join(plain, ", ")
	switch n := len(names) - len(plain); {
	case len(plain) == 0:
		return fmt.Sprintf("%d whose names are not those of models", n)
	case n > 0:
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// plainName tells whether s could be the name of a model: one word of ASCII, as "Qwen/Qwen2.5-7B-Instruct" and "llama3.1:8b" are.
func plainName(s string) bool {
	const longest = 96
	return s != "" && len(s) <= longest && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:/@+", r)
	}) < 0
}

// ask sends a GET with a short timeout of its own.
func (b *Backend) ask(ctx context.Context, url string) ([]byte, error) {
	attempt, cancel := context.WithTimeoutCause(ctx, min(probeTimeout, b.o.Timeout), errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, url, nil)
	if err != nil {
		return nil, b.classify(attempt, err)
	}
	body, err := b.exchange(req, readList)
	if err == nil {
		return body, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, b.classify(attempt, err)
}

// readList reads the answer to a small question.
func readList(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxList+1))
	if len(body) > maxList {
		return nil, &mangled{how: fmt.Sprintf("is longer than %d MiB", maxList>>20)}
	}
	return body, err
}
