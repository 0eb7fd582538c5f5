package config

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every settings file in docs/models.md is taken as it is, where its files and variables exist.
func TestTheSettingsOfTheModelsPageAreTaken(t *testing.T) {
	page, err := os.ReadFile("../../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret, authority := filepath.Join(dir, "key"), filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Errorf("only %d settings files are on the page", len(blocks))
	}
	for _, b := range blocks {
		text := strings.NewReplacer("/etc/batholith/azure.key", secret, "/run/secrets/model-key", secret, "/etc/batholith/authority.pem", authority).Replace(b[1])
		if _, err := settingsOf(t, text, "LITELLM_KEY=x", "ANTHROPIC_API_KEY=x", "TENANT_TOKEN=x"); err != nil {
			t.Errorf("%v, of\n%s", err, b[1])
		}
	}
}
