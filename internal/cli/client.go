package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
)

// requestTimeout bounds one request of the control plane, retries apart.
const requestTimeout = 30 * time.Second

// clients reach one server: whichever the standard AWS variables name, or else the one that runs in the data directory.
type clients struct {
	bedrock *bedrock.Client
	objects *objects // nil: nobody has named an S3
	account string   // of the local server; otherwise "000000000000", for the default role
}

// target says which server a client command shall talk to.
type target struct {
	data string // --data, when it was given
	file string // --config: a file with the settings of the server
}

// connect finds the server. It never falls back to Amazon's own endpoints: a person who forgot a variable would be billed there.
func (a *app) connect(ctx context.Context, t target) (*clients, error) {
	settings, err := config.LoadClient(config.Sources{File: a.settingsFile(t.file), Env: a.env})
	if err != nil {
		return nil, err
	}
	if t.data != "" {
		settings.Data = t.data
		return a.connectServer(ctx, settings)
	}
	cfg, err := awsSettings(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = settings.Region
	}
	c := &clients{bedrock: bedrock.NewFromConfig(cfg, withBearer), account: settings.Account}
	if c.bedrock.Options().BaseEndpoint == nil {
		return a.connectDefault(ctx, settings)
	}
	bearer := a.getenv("AWS_BEARER_TOKEN_BEDROCK") != ""
	if !bearer && !hasKeys(ctx, cfg.Credentials) {
		return nil, noKeys()
	}
	c.objects, err = openObjects(ctx, named(ctx, cfg, settings, bearer))
	return c, err
}

// awsSettings are those of the environment and of the profile. The metadata service of EC2 is not asked: nobody asked for it.
func awsSettings(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(httpClient()),
		awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return cfg, hint(fmt.Errorf("read the AWS settings: %w", err), "check AWS_PROFILE, AWS_CA_BUNDLE and the files in ~/.aws")
	}
	return cfg, nil
}

// hasKeys tells whether there are keys to sign with.
func hasKeys(ctx context.Context, keys aws.CredentialsProvider) bool {
	if keys == nil {
		return false
	}
	_, err := keys.Retrieve(ctx)
	return err == nil
}

// noKeys leaves out what the SDK says: it looked in places about which nobody asked.
func noKeys() error {
	return hint(errors.New("AWS_ENDPOINT_URL_BEDROCK is set, but there are no AWS credentials"),
		`set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or all at once with: eval "$(batholith env)"`)
}

// connectDefault is for a shell that has no AWS endpoint: the server of the default data directory, if there is one.
func (a *app) connectDefault(ctx context.Context, settings *config.Config) (*clients, error) {
	if _, err := os.Stat(settings.Data); err != nil {
		return nil, hint(errors.New("no server is named, and none runs in this directory"),
			`start one with: batholith serve; or name one: AWS_ENDPOINT_URL_BEDROCK and AWS_ENDPOINT_URL_S3. `+
				`Amazon's own endpoints are used only when these variables name them`)
	}
	c, err := a.connectServer(ctx, settings)
	if err == nil {
		plain.Fprintf(a.stderr, "batholith: using the server of %s, since AWS_ENDPOINT_URL_BEDROCK is not set\n", settings.Data)
	}
	return c, err
}

// connectServer reaches the server that runs in the settings' data directory, with the first of its keys.
func (a *app) connectServer(ctx context.Context, settings *config.Config) (*clients, error) {
	server, key, err := runningServer(settings)
	if err != nil {
		return nil, err
	}
	// The authorities of AWS_CA_BUNDLE are left out: such a file may be another machine's, and the server has named its own.
	cfg := aws.Config{Region: server.Region, HTTPClient: httpClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs = rootsOf(server)
	}), Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret, "")}
	c := &clients{account: server.Account, bedrock: bedrock.NewFromConfig(cfg, func(o *bedrock.Options) {
		o.BaseEndpoint = aws.String(server.Bedrock)
		o.BearerAuthTokenProvider, o.AuthSchemePreference = nil, nil // AWS_BEARER_TOKEN_BEDROCK is another server's key
	})}
	c.objects, err = openObjects(ctx, ofServer(ctx, server, key, settings))
	return c, err
}

// httpClient waits a bounded time for the head of an answer, and as long as it takes for a body. It is the SDK's own kind, which
// takes up AWS_CA_BUNDLE and ca_bundle of the profile.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = requestTimeout
	})
}

// objectClient is httpClient for an S3, which may have authorities of its own.
func objectClient(ctx context.Context, o object.Config) (*http.Client, error) {
	roots, err := object.Authorities(ctx, o.CABundle, o.Profile)
	if err != nil {
		return nil, err
	}
	c := object.NewHTTPClient(roots)
	c.Transport.(*http.Transport).ResponseHeaderTimeout = requestTimeout
	return c, nil
}
