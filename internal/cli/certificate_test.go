package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/certs/certstest"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/doctor"
)

// asking starts a server whose two listeners ask clients for a certificate.
func asking(t *testing.T, authority *certstest.Authority) (*config.Config, addresses) {
	t.Helper()
	c := config.Default(config.ProfileDefault)
	c.Data, c.Listen, c.S3.Listen, c.Embedded = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0", false
	c.Credentials = []config.Credential{{AccessKeyID: "AKALICE", SecretAccessKey: "secret", Principal: "alice", Account: c.Account}}
	c.TLS.Cert, c.TLS.Key, c.TLS.CA = authority.Files(t.TempDir(), "127.0.0.1")
	c.TLS.ClientCA = c.TLS.CA
	return c, startService(t, c)
}

// ofClient writes a client certificate into files.
func ofClient(t *testing.T, a *certstest.Authority) (c config.Client) {
	c.Cert, c.Key, _ = a.Files(t.TempDir(), "client")
	return c
}

// useBoth lists jobs and writes an object.
func useBoth(ctx context.Context, k *clients) error {
	if _, err := k.bedrock.ListModelInvocationJobs(ctx, &awsbedrock.ListModelInvocationJobsInput{}, func(o *awsbedrock.Options) { o.RetryMaxAttempts = 1 }); err != nil {
		return err
	}
	_, err := k.objects.store.API().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(defaultBucket), Key: aws.String("k"), Body: strings.NewReader("a prompt")})
	return err
}

func TestCommandsShowTheirCertificateToBothListeners(t *testing.T) {
	authority := certstest.New(t)
	c, at := asking(t, authority)
	good, strange := ofClient(t, authority), ofClient(t, certstest.New(t))
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_BEDROCK": at.Bedrock, "AWS_ENDPOINT_URL_S3": at.S3, "AWS_ACCESS_KEY_ID": "AKALICE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_CA_BUNDLE": c.TLS.CA, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} {
		t.Setenv(name, value)
	}
	a := &app{stdout: io.Discard, stderr: io.Discard}
	t.Chdir(t.TempDir())
	const file = "keys.yaml"
	if err := os.WriteFile(file, []byte("credentials: [{access_key_id: AKALICE, secret_access_key: secret, principal: alice}]"), 0o600); err != nil {
		t.Fatal(err)
	}

	for way, connect := range map[string]func(config.Client) (*clients, error){
		"variables": func(shown config.Client) (*clients, error) { return a.connect(t.Context(), target{client: shown}) },
		"data directory": func(shown config.Client) (*clients, error) {
			return a.connect(t.Context(), target{data: c.Data, file: file, client: shown})
		},
		"environment": func(shown config.Client) (*clients, error) {
			b := &app{stdout: io.Discard, stderr: io.Discard, env: []string{"BATHOLITH_CLIENT_CERT=" + shown.Cert, "BATHOLITH_CLIENT_KEY=" + shown.Key}}
			return b.connect(t.Context(), target{})
		},
	} {
		for name, tt := range map[string]struct {
			shown config.Client
			ok    bool
		}{"its own": {good, true}, "none": {config.Client{}, false}, "another authority's": {strange, false}} {
			k, err := connect(tt.shown)
			if err == nil {
				err = useBoth(t.Context(), k)
			}
			if (err == nil) != tt.ok {
				t.Errorf("%s, with %s: %v", way, name, err)
			}
		}
	}
	if _, err := a.connect(t.Context(), target{data: c.Data, file: file}); err == nil || !strings.Contains(remedy(err), "--client-cert") {
		t.Errorf("without a certificate: %v; %q", err, remedy(err))
	}
}

func TestAClientCertificateIsAPairOfFiles(t *testing.T) {
	good, other := ofClient(t, certstest.New(t)), ofClient(t, certstest.New(t))
	for name, c := range map[string]config.Client{
		"no key":          {Cert: good.Cert},
		"no certificate":  {Key: good.Key},
		"another's key":   {Cert: good.Cert, Key: other.Key},
		"a missing file":  {Cert: good.Cert, Key: good.Key + ".gone"},
		"the key for one": {Cert: good.Key, Key: good.Key},
	} {
		if show, err := clientCertificate(c); err == nil || show != nil || remedy(err) == "" || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v; %q", name, err, remedy(err))
		}
	}
	if show, err := clientCertificate(good); err != nil || show == nil {
		t.Error(err)
	}
	if show, err := clientCertificate(config.Client{}); err != nil || show != nil {
		t.Error(err)
	}
	if got, want := over(config.Client{Key: "flag"}, good), (config.Client{Cert: good.Cert, Key: "flag"}); got != want {
		t.Errorf("flags over settings are %+v", got)
	}
}

func TestTheEnvironmentOfAServerThatAsksForCertificatesSaysSo(t *testing.T) {
	authority := certstest.New(t)
	good := ofClient(t, authority)
	for _, tt := range []struct {
		server config.Server
		client config.Client
		vars   int
		said   string
	}{{config.Server{}, good, 0, ""}, {config.Server{ClientCA: true}, config.Client{}, 0, "--client-cert"}, {config.Server{ClientCA: true}, good, 2, "client_cert="}} {
		var said bytes.Buffer
		a, e := &app{stdout: io.Discard, stderr: &said}, &environment{}
		a.clientCertificateOf(e, tt.server, tt.client)
		if len(e.vars) != tt.vars || tt.said == "" && said.Len() > 0 || !strings.Contains(said.String(), tt.said) {
			t.Errorf("%+v with %+v: %v; %s", tt.server, tt.client, e.vars, &said)
		}
		for _, v := range e.vars {
			if !filepath.IsAbs(v.value) || !strings.HasPrefix(v.name, "BATHOLITH_CLIENT_") {
				t.Errorf("%+v", v)
			}
		}
	}
}

func TestDoctorShowsItsCertificate(t *testing.T) {
	authority := certstest.New(t)
	c, _ := asking(t, authority)
	for _, tt := range []struct {
		client config.Client
		sound  bool
	}{{ofClient(t, authority), true}, {config.Client{}, false}} {
		c := *c
		c.Client = tt.client
		a := &app{stdout: io.Discard, stderr: io.Discard}
		jobs, err := a.jobsOf(t.Context(), &c, "")
		if (err == nil) != tt.sound {
			t.Fatal(err)
		}
		if o := a.doctorOptions(&c, ""); (o.Certificate != nil) != tt.sound {
			t.Errorf("doctor shows a certificate: %v", o.Certificate != nil)
		}
		if !tt.sound {
			told := slices.ContainsFunc(doctor.Examine(t.Context(), a.doctorOptions(&c, "")), func(f doctor.Finding) bool {
				return f.Severity == doctor.Problem && strings.Contains(f.What, "asks for a client certificate") && strings.Contains(f.Remedy, "--client-cert")
			})
			if !told {
				t.Error("doctor does not say that the server asks for a certificate")
			}
			continue
		}
		for _, err := range jobs.List(t.Context()) {
			t.Error(err)
		}
		at, ok := reachRunning(&c)
		if !ok || at.HTTPClient == nil {
			t.Fatal("the S3 is not reached with the certificate")
		}
	}
}
