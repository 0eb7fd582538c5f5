package object_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/object"
)

// A PEM file with an authority is believed by every client that is made here, whichever of the three places names it, by the token service's
// as by the S3's, and nothing but it is; a file that is none stops the start by its name.
func TestTheAuthoritiesThatAreNamedAreBelieved(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // the token service
			fmt.Fprint(w, assumed)
			return
		}
		w.Header().Set("ETag", `"e"`)
		fmt.Fprint(w, "body")
	}))
	defer server.Close()
	dir := t.TempDir()
	file, broken, missing := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "broken.pem"), filepath.Join(dir, "missing.pem")
	write := func(path string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	write(broken, []byte("no certificate"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_CA_BUNDLE", "")

	if roots, err := object.Authorities(t.Context(), "", ""); roots != nil || err != nil {
		t.Error("no file is named, and there are authorities of one:", err)
	}
	for name, c := range map[string]struct {
		setting, variable, profile string
		want                       string // of the error; "" = it works
	}{
		"the setting":                     {file, "", "", ""},
		"the variable":                    {"", file, "", ""},
		"the profile":                     {"", "", file, ""},
		"the setting before the variable": {file, missing, missing, ""},
		"the variable before the profile": {"", file, missing, ""},
		"a variable without a file":       {"", missing, "", "AWS_CA_BUNDLE"},
		"a profile without a file":        {"", "", missing, "ca_bundle of the AWS profile default"},
		"a file without a certificate":    {broken, "", "", "s3.ca_bundle names " + broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_CA_BUNDLE", c.variable)
			write(filepath.Join(dir, "config"), []byte("[default]\nca_bundle = "+c.profile+"\n"))
			err := func() error {
				config := object.Config{Endpoint: server.URL, PathStyle: true, Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "s", CABundle: c.setting}
				as, err := config.Assume(object.Role{ARN: "arn:aws:iam::111122223333:role/batch", SessionName: "batholith", Endpoint: server.URL})
				if err != nil {
					return err
				}
				as.HTTPClient = nil // the S3's own
				client, err := object.New(as)
				if err != nil {
					return err
				}
				_, err = client.Bucket("box", object.Options{}).Head(t.Context(), "k")
				return err
			}()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q in it", err, c.want)
			}
		})
	}
}
