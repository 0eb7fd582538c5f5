package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/sigv4"
)

// asked is a server that tells with which key and for which region a request was signed, as "Bearer KEY" or "KEY REGION".
type asked struct {
	*httptest.Server
	got string // by the last request, and its path
}

var signedWith = regexp.MustCompile(`Credential=([^/]*)/\d+/([^/]*)/`)

// anyService answers nothing but an error; secure has it behind TLS with an authority of its own, whose PEM file is returned.
func anyService(t *testing.T, secure bool) (*asked, string) {
	s := &asked{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("Authorization")
		if m := signedWith.FindStringSubmatch(who); m != nil {
			who = m[1] + " " + m[2]
		}
		s.got = who + " " + r.URL.Path
		http.Error(w, "no", http.StatusNotFound)
	})
	if !secure {
		s.Server = httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s, ""
	}
	s.Server = httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, file
}

// shell makes the environment of the process that of a shell with these variables only.
func shell(t *testing.T, vars map[string]string) *app {
	home := t.TempDir()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "BATHOLITH_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	for name, v := range vars {
		if name == "profiles" {
			if err := os.WriteFile(filepath.Join(home, "config"), []byte(v), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Setenv(name, v)
	}
	var out bytes.Buffer
	return &app{stdout: &out, stderr: &out, env: os.Environ()}
}

// Wherever a shell has the keys, the region and the authorities of two services, each gets its own.
func TestEachServiceGetsItsOwnKeys(t *testing.T) {
	for name, c := range map[string]struct {
		secure      bool // the S3 has TLS, and an authority that the machine does not know
		vars        map[string]string
		bedrock, s3 string
	}{
		"one key for both": {vars: map[string]string{"AWS_ACCESS_KEY_ID": "ONE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"},
			bedrock: "ONE eu-west-1 /model-invocation-jobs", s3: "ONE eu-west-1 /box/k"},
		"a bearer key": {vars: map[string]string{"AWS_ACCESS_KEY_ID": "OBJECTS", "AWS_SECRET_ACCESS_KEY": "s", "AWS_BEARER_TOKEN_BEDROCK": "token"},
			bedrock: "Bearer token /model-invocation-jobs", s3: "OBJECTS us-east-1 /box/k"},
		"a bearer key and a profile": {vars: map[string]string{"AWS_PROFILE": "p", "AWS_BEARER_TOKEN_BEDROCK": "token",
			"profiles": "[profile p]\naws_access_key_id=OFP\naws_secret_access_key=s\nregion=eu-north-1\n"},
			bedrock: "Bearer token /model-invocation-jobs", s3: "OFP eu-north-1 /box/k"},
		"keys of our own variables": {vars: map[string]string{"AWS_ACCESS_KEY_ID": "BEDROCK", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
			"BATHOLITH_S3_ACCESS_KEY_ID": "OBJECTS", "BATHOLITH_S3_SECRET_ACCESS_KEY": "s", "BATHOLITH_S3_REGION": "garage"},
			bedrock: "BEDROCK us-east-1 /model-invocation-jobs", s3: "OBJECTS garage /box/k"},
		"a profile for the S3": {vars: map[string]string{"AWS_ACCESS_KEY_ID": "BEDROCK", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1", "BATHOLITH_S3_PROFILE": "minio",
			"profiles": "[profile minio]\naws_access_key_id=OFMINIO\naws_secret_access_key=s\nregion=home\n"},
			bedrock: "BEDROCK eu-west-1 /model-invocation-jobs", s3: "OFMINIO home /box/k"},
		"services of a profile": {vars: map[string]string{"AWS_PROFILE": "both", "AWS_ENDPOINT_URL_BEDROCK": "", "AWS_ENDPOINT_URL_S3": "",
			"profiles": "[profile both]\nservices=mine\naws_access_key_id=P\naws_secret_access_key=s\n[services mine]\nbedrock =\n  endpoint_url = BEDROCK\ns3 =\n  endpoint_url = OBJECTS\n"},
			bedrock: "P us-east-1 /model-invocation-jobs", s3: "P us-east-1 /box/k"},
		"an authority for all": {secure: true, vars: map[string]string{"AWS_ACCESS_KEY_ID": "ONE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CA_BUNDLE": "PEM"},
			bedrock: "ONE us-east-1 /model-invocation-jobs", s3: "ONE us-east-1 /box/k"},
		"an authority of a profile": {secure: true, vars: map[string]string{"AWS_PROFILE": "p",
			"profiles": "[profile p]\naws_access_key_id=P\naws_secret_access_key=s\nca_bundle=PEM\n"},
			bedrock: "P us-east-1 /model-invocation-jobs", s3: "P us-east-1 /box/k"},
		"an authority of the S3's profile": {secure: true, vars: map[string]string{"AWS_ACCESS_KEY_ID": "ONE", "AWS_SECRET_ACCESS_KEY": "s", "BATHOLITH_S3_PROFILE": "p",
			"profiles": "[profile p]\naws_access_key_id=P\naws_secret_access_key=s\nca_bundle=PEM\n"},
			bedrock: "ONE us-east-1 /model-invocation-jobs", s3: "P us-east-1 /box/k"},
		"an authority of the S3 only": {secure: true, vars: map[string]string{"AWS_ACCESS_KEY_ID": "ONE", "AWS_SECRET_ACCESS_KEY": "s", "BATHOLITH_S3_CA_BUNDLE": "PEM"},
			bedrock: "ONE us-east-1 /model-invocation-jobs", s3: "ONE us-east-1 /box/k"},
	} {
		t.Run(name, func(t *testing.T) {
			control, _ := anyService(t, false)
			objects, file := anyService(t, c.secure)
			vars := map[string]string{"AWS_ENDPOINT_URL_BEDROCK": control.URL, "AWS_ENDPOINT_URL_S3": objects.URL}
			for k, v := range c.vars {
				vars[k] = strings.NewReplacer("PEM", file, "= BEDROCK", "= "+control.URL, "= OBJECTS", "= "+objects.URL).Replace(v)
			}
			a := shell(t, vars)
			k, err := a.connect(t.Context(), target{})
			if err != nil {
				t.Fatal(err)
			}
			askBoth(t, k)
			if control.got != c.bedrock || objects.got != c.s3 {
				t.Errorf("the Bedrock API got %q, want %q; the S3 got %q, want %q", control.got, c.bedrock, objects.got, c.s3)
			}
		})
	}
}

// A client may read the settings of a server in a shell that has not its secrets: then it says so, and signs nothing.
func TestAKeyWhoseSecretIsNotHereIsToldWithItsVariable(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Credentials = []config.Credential{{AccessKeyID: "AK", SecretAccessKeyEnv: "SECRET_OF_AK"}}
	if _, err := callerKey(c); err == nil || !strings.Contains(err.Error(), "AK") || !strings.Contains(remedy(err), "SECRET_OF_AK") {
		t.Errorf("%v; %s", err, remedy(err))
	}
	c.Credentials[0].SecretAccessKey = "secret"
	if k, err := callerKey(c); err != nil || k != (config.Key{ID: "AK", Secret: "secret"}) {
		t.Error(k, err)
	}
}

// askBoth sends one request to each service.
func askBoth(t *testing.T, k *clients) {
	t.Helper()
	api, err := k.api()
	if err != nil {
		t.Fatal(err)
	}
	bucket, key := "box", "k"
	_, _ = k.bedrock.ListModelInvocationJobs(t.Context(), &bedrock.ListModelInvocationJobsInput{}) // each answers 404
	_, _ = api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
}

// What env prints for a server with another S3 gives each service its key, and so do commands that find the server by its directory.
func TestTheEnvironmentOfAnExternalS3HasBothKeys(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		vars     map[string]string
		s3       string
	}{
		"keys of the settings":    {"{endpoint: S3, region: garage, access_key_id: OBJECTS, secret_access_key: s}", nil, "OBJECTS garage /box/k"},
		"a profile":               {"{endpoint: S3, profile: minio}", map[string]string{"profiles": "[profile minio]\naws_access_key_id=OFMINIO\naws_secret_access_key=s\n"}, "OFMINIO us-east-1 /box/k"},
		"keys of the shell":       {"{endpoint: S3}", map[string]string{"AWS_ACCESS_KEY_ID": "SHELL", "AWS_SECRET_ACCESS_KEY": "s"}, "SHELL us-east-1 /box/k"},
		"a token of a former key": {"{endpoint: S3, access_key_id: OBJECTS, secret_access_key: s}", map[string]string{"AWS_ACCESS_KEY_ID": "X", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}, "OBJECTS us-east-1 /box/k"},
	} {
		t.Run(name, func(t *testing.T) {
			control, _ := anyService(t, false)
			objects, _ := anyService(t, false)
			dir := t.TempDir()
			file := filepath.Join(dir, "batholith.yaml")
			text := fmt.Sprintf("data: %s\nregion: eu-west-1\ns3: %s\n", dir, strings.ReplaceAll(c.settings, "S3,", objects.URL+",")+"")
			text = strings.ReplaceAll(text, "endpoint: S3}", "endpoint: "+objects.URL+"}")
			if err := files.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := shell(t, c.vars)
			settings, err := config.Load(config.Sources{File: file})
			if err != nil {
				t.Fatal(err)
			}
			data, err := config.OpenData(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer data.Close()
			key, _, err := data.AdminKey()
			if err != nil {
				t.Fatal(err)
			}
			if err := data.Announce(announcement(settings, addresses{Bedrock: control.URL, S3: objects.URL})); err != nil {
				t.Fatal(err)
			}

			e, err := a.serverEnvironment(settings)
			if err != nil {
				t.Fatal(err)
			}
			local, err := a.connect(t.Context(), target{data: dir, file: file})
			if err != nil {
				t.Fatal(err)
			}
			askBoth(t, local)
			if want := key.ID + " eu-west-1 /model-invocation-jobs"; control.got != want || objects.got != c.s3 {
				t.Errorf("by its directory: the Bedrock API got %q, want %q; the S3 got %q, want %q", control.got, want, objects.got, c.s3)
			}
			for _, v := range e.vars {
				t.Setenv(v.name, v.value)
			}
			for _, name := range e.unset {
				t.Setenv(name, "")
			}
			a.env = os.Environ()
			there, err := a.connect(t.Context(), target{})
			if err != nil {
				t.Fatal(err)
			}
			askBoth(t, there)
			if want := "Bearer " + sigv4.BearerOf(key.ID, key.Secret) + " /model-invocation-jobs"; control.got != want || objects.got != c.s3 {
				t.Errorf("by the environment: the Bedrock API got %q, want %q; the S3 got %q, want %q", control.got, want, objects.got, c.s3)
			}
		})
	}
}

// Where an S3 refuses keys, the message names the key, where it came from, and what to set; a step that leads back to the same is not offered.
func TestAnS3ThatDoesNotKnowTheKeyIsToldWithItsRemedy(t *testing.T) {
	control, _ := anyService(t, false)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, `<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>`)
		}
	}))
	defer refuses.Close()
	a := shell(t, map[string]string{"AWS_ENDPOINT_URL_BEDROCK": control.URL, "AWS_ENDPOINT_URL_S3": refuses.URL, "AWS_ACCESS_KEY_ID": "BEDROCKS", "AWS_SECRET_ACCESS_KEY": "s"})
	k, err := a.connect(t.Context(), target{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := files.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func(context.Context) error{
		"upload": func(ctx context.Context) error {
			_, err := a.upload(ctx, k, "box", "p/", []localFile{{path: path, key: "in.jsonl", bytes: 3}})
			return err
		},
		"download": func(ctx context.Context) error {
			return a.fetchOutput(ctx, k, jobFacts{Output: "s3://box/out/", ARN: "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"}, t.TempDir(), func(string) {})
		},
		"verify": func(ctx context.Context) error {
			_, err := k.objects.all(ctx, "s3://box/out/manifest.json.out")
			return err
		},
		"validate": func(ctx context.Context) error {
			_, err := (&validator{app: a}).remote(ctx, "s3://box/in/")
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			err := try(t.Context())
			if err == nil {
				t.Fatal("it went well")
			}
			said := err.Error() + "; " + remedy(err)
			for _, word := range []string{"access key BEDROCKS", "AWS_ACCESS_KEY_ID", "key of the Bedrock API", refuses.URL, "BATHOLITH_S3_ACCESS_KEY_ID", "BATHOLITH_S3_PROFILE"} {
				if !strings.Contains(said, word) {
					t.Errorf("%q does not say %q", said, word)
				}
			}
		})
	}
}

// A bearer key goes to this machine or over TLS, and nowhere else.
func TestABearerKeyIsNotSentInTheClear(t *testing.T) {
	for at, may := range map[string]bool{"http://127.0.0.1:1": true, "http://localhost:1": true, "https://bedrock.example.net": true,
		"http://192.0.2.1:4600": false, "http://bedrock.example.net": false} {
		a := shell(t, map[string]string{"AWS_ENDPOINT_URL_BEDROCK": at, "AWS_BEARER_TOKEN_BEDROCK": "token"})
		k, err := a.connect(t.Context(), target{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if may {
			cancel() // nothing need be sent: what is refused is refused before
		}
		_, err = k.bedrock.ListModelInvocationJobs(ctx, &bedrock.ListModelInvocationJobsInput{})
		cancel()
		if refused := err != nil && strings.Contains(plainly(err).Error(), "in the clear"); refused == may {
			t.Errorf("%s: %v", at, err)
		}
		if err := k.call(ctx, http.MethodGet, "/x", nil); !may && (err == nil || !strings.Contains(err.Error(), "in the clear")) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// A bearer key that is made of an access key is that of the same caller, and of nobody with another secret.
func TestABearerKeyStandsForItsAccessKey(t *testing.T) {
	c := config.Default(config.ProfileDefault)
	c.Credentials = []config.Credential{{AccessKeyID: "AK", SecretAccessKey: "secret", Principal: "alice", Account: c.Account, Groups: []string{"g"}}}
	ring := keyRing(c)
	signs, _ := ring.AccessKey("AK")
	who, ok := ring.Bearer(sigv4.BearerOf("AK", "secret"))
	if diff := cmp.Diff(signs.Identity, who); !ok || diff != "" {
		t.Error(ok, diff)
	}
	if _, ok := ring.Bearer(sigv4.BearerOf("AK", "other")); ok || strings.Contains(sigv4.BearerOf("AK", "secret"), "secret") {
		t.Error("the secret does not matter, or is told")
	}
}
