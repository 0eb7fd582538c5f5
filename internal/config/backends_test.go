package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		"priority: highest": `:5: models[0].backends[0].priority: "highest" is not possible; write lowest, or a whole number`,
		"priority: 1.5":     `:5: models[0].backends[0].priority: "1.5" is not possible`,
	} {
		_, err := settingsOf(t, head+setting+"\n")
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
	for _, setting := range []string{"priority: lowest", "priority: -5", "priority: 9223372036854775807"} {
		if _, err := settingsOf(t, head+setting+"\n"); err != nil {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
