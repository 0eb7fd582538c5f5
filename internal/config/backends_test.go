package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/upstream"
)

// settingsOf loads settings from a text, with environment variables.
func settingsOf(t *testing.T, text string, env ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "batholith.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{File: path, Env: env})
}

// A bad setting of a backend is refused with its line and a remedy.
func TestABadSettingOfABackendNamesItsLine(t *testing.T) {
	const head = "models:\n- id: m\n  backends:\n  - url: http://127.0.0.1:1/v1\n    "
	for setting, want := range map[string]string{
		"priority: highest":                               `:5: models[0].backends[0].priority: "highest" is not possible; write lowest, or a whole number`,
		"api_key_header: api-key":                         "there is no key to put into it; name the key: api_key_env or api_key_file",
		"api_key_file: absent.key":                        ":5: models[0].backends[0].api_key_file: read the secret in absent.key",
		"headers: {\"a b\": x}":                           `"a b" is not the name of a header`,
		"headers: {Content-Length: 3}":                    "is set by the connection itself",
		"headers: x":                                      ":5: models[0].backends[0].headers is not a mapping",
		"headers: {X-A: [1]}":                             ":5: models[0].backends[0].headers.X-A takes one value",
		"headers_env: {X-Token: NO_SUCH}":                 ":5: models[0].backends[0].headers_env.X-Token: the environment has no variable NO_SUCH",
		"headers_file: {X-Token: absent.key}":             "read the secret in absent.key",
		"extra_body: [a]":                                 ":5: models[0].backends[0].extra_body is not a mapping",
		"extra_body: {a: .inf}":                           `:5: models[0].backends[0].extra_body.a: ".inf" has no form in JSON`,
		"chat_path: chat/completions":                     `"chat/completions" is not a path; write a path such as /chat/completions`,
		"chat_path: https://x.example/chat":               "is a whole URL",
		"proxy: proxy.example:3128":                       "is not the URL of a proxy",
		"proxy: ftp://u:geheim@proxy.example":             `"ftp://(hidden)@proxy.example" is not the URL of a proxy`,
		"headers: {X-A: x}\n    headers_env: {x-a: HOME}": ":6: models[0].backends[0].headers_env.x-a: the header x-a is there twice",
		"priority: 1.5":                                   `:5: models[0].backends[0].priority: "1.5" is not possible`,
	} {
		_, err := settingsOf(t, head+setting+"\n", "HOME=x")
		var all []string
		if e, ok := errors.AsType[*Error](err); ok {
			for _, p := range e.Problems {
				all = append(all, p.String()+"; "+p.Remedy)
			}
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", setting, got, want)
		}
	}
	for _, setting := range []string{"priority: lowest", "priority: -5", "priority: 9223372036854775807", "proxy: off", "proxy: socks5://127.0.0.1:1", "extra_body: {}", "headers: {}", "chat_path: /deployments/{model}/chat?v=1"} {
		if _, err := settingsOf(t, head+setting+"\n", "HOME=x"); err != nil {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// A backend gets what its settings say, from texts, variables and files, and no secret of them is printed.
func TestABackendGetsWhatItsSettingsSay(t *testing.T) {
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		io.WriteString(w, `{"choices":[]}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("file-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := settingsOf(t, fmt.Sprintf(`
models:
- id: m
  backends:
  - url: %s/openai/deployments/gpt
    chat_path: /chat/completions?api-version=2024-10-21
    api_key_env: AZURE_KEY
    api_key_header: api-key
    headers: {X-Team: text-secret}
    headers_env: {X-Env: TOKEN}
    headers_file:
      X-File: %s
    extra_body:
      chat_template_kwargs: {enable_thinking: false}
      top_k: 20
      note: "1"
      user: null
      stop: [a, 1.50]
`, server.URL, file), "AZURE_KEY=key-secret", "TOKEN=env-secret")
	if err != nil {
		t.Fatal(err)
	}
	b, err := upstream.New(c.Models[0].Backends[0].Upstream())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions", Body: []byte(`{"user":"u"}`)}); err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{"Api-Key": "key-secret", "X-Team": "text-secret", "X-Env": "env-secret", "X-File": "file-secret", "Authorization": ""} {
		if v := got.Header.Get(header); v != want {
			t.Errorf("%s: %q, want %q", header, v, want)
		}
	}
	if uri := got.URL.RequestURI(); uri != "/openai/deployments/gpt/chat/completions?api-version=2024-10-21" {
		t.Errorf("the request went to %s", uri)
	}
	if want := `{"chat_template_kwargs":{"enable_thinking":false},"top_k":20,"note":"1","stop":["a",1.50]}`; body != want {
		t.Errorf("the body was %s, want %s", body, want)
	}
	var printed bytes.Buffer
	if err := c.Write(&printed); err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Values() {
		printed.WriteString(v.Value)
	}
	if text := printed.String(); strings.Contains(text, "-secret") || !strings.Contains(text, "X-Team: (hidden)") || !strings.Contains(text, "X-Env: TOKEN") {
		t.Errorf("printed: %s", text)
	}
}
