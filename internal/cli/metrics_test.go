package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/telemetry"
)

func TestMetricsAreForThisMachineOrForATokenOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, env, private := config.Metrics{}, config.Metrics{TokenEnv: "T", Token: "s3cret"}, config.Metrics{Listen: "0.0.0.0:9464"}
	fromFile, missing := config.Metrics{TokenFile: file}, config.Metrics{TokenFile: file + ".gone"}
	for _, tt := range []struct {
		name   string
		m      config.Metrics
		from   string
		header [2]string
		want   int
	}{
		{"a program of this machine", open, "127.0.0.1:1", [2]string{}, 200},
		{"a program of this machine, over IPv6", open, "[::1]:1", [2]string{}, 200},
		{"another machine", open, "10.0.0.1:1", [2]string{}, 403},
		{"another machine with any token", open, "10.0.0.1:1", [2]string{"Authorization", "Bearer "}, 403},
		{"another machine behind a proxy of this one", open, "127.0.0.1:1", [2]string{"X-Forwarded-For", "10.0.0.1"}, 403},
		{"another machine behind a proxy with the standard header", open, "127.0.0.1:1", [2]string{"Forwarded", "for=10.0.0.1"}, 403},
		{"the token", env, "10.0.0.1:1", [2]string{"Authorization", "Bearer s3cret"}, 200},
		{"no token", env, "10.0.0.1:1", [2]string{}, 401},
		{"a wrong token", env, "10.0.0.1:1", [2]string{"Authorization", "Bearer s3cre"}, 401},
		{"no token, from this machine", env, "127.0.0.1:1", [2]string{}, 401},
		{"the token of the file", fromFile, "10.0.0.1:1", [2]string{"Authorization", "Bearer s3cret"}, 200},
		{"a wrong token for the file", fromFile, "10.0.0.1:1", [2]string{"Authorization", "Bearer x"}, 401},
		{"an empty token for a missing file", missing, "10.0.0.1:1", [2]string{"Authorization", "Bearer "}, 401},
		{"another machine at the listener of its own", private, "10.0.0.1:1", [2]string{}, 200},
	} {
		s := &service{o: serveOptions{Config: &config.Config{Metrics: tt.m}}, metrics: telemetry.New(telemetry.Build{})}
		r := httptest.NewRequest(http.MethodGet, metricsPath, nil)
		r.RemoteAddr = tt.from
		if tt.header[0] != "" {
			r.Header.Set(tt.header[0], tt.header[1])
		}
		w := httptest.NewRecorder()
		s.scraped().ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d, want %d: %s", tt.name, w.Code, tt.want, w.Body)
		}
	}
}
