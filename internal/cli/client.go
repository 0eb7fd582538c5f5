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

// requestTimeout is the time for a call that reads or changes one job, with its retries. It also bounds the wait
// for the head of each answer of an S3; the body of an object may take longer.
const requestTimeout = 30 * time.Second

// clients are the API clients of one server: the server that the standard AWS variables name, otherwise the one
// that runs in the data directory.
type clients struct {
	bedrock *bedrock.Client
	objects *objects // nil: nobody has named an S3
	account string   // of the local server; otherwise "000000000000", for the default role
}

// target selects the server that a client command uses. The zero value means the AWS variables, then ./batholith-
// data.
type target struct {
	data string // --data, when it was given
	file string // --config: a file with the settings of the server

	client config.Client // --client-cert and --client-key
}

// connect returns the clients of the selected server: --data first, then the AWS variables and the AWS profile,
// then the default data directory. It never uses Amazon's own endpoints unless a variable names them, because a
// person who forgot a variable would be billed. It sends no request to the server. Errors carry a remedy.
func (a *app) connect(ctx context.Context, t target) (*clients, error) {
	settings, err := config.LoadClient(config.Sources{File: a.settingsFile(t.file), Env: a.env})
	if err != nil {
		return nil, err
	}
	settings.Client = over(t.client, settings.Client)
	if t.data != "" {
		settings.Data = t.data
		return a.connectServer(ctx, settings)
	}
	show, err := clientCertificate(settings.Client)
	if err != nil {
		return nil, err
	}
	cfg, err := awsSettings(ctx, show)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = settings.Region
	}
	c := &clients{bedrock: bedrock.NewFromConfig(cfg, withBearer), account: settings.Account}
	// No endpoint is named. The SDK would use Amazon's, which costs money; the local server is the only other
	// choice.
	if c.bedrock.Options().BaseEndpoint == nil {
		return a.connectDefault(ctx, settings)
	}
	bearer := a.getenv("AWS_BEARER_TOKEN_BEDROCK") != ""
	if !bearer && !hasKeys(ctx, cfg.Credentials) {
		return nil, noKeys()
	}
	c.objects, err = openObjects(ctx, named(ctx, cfg, settings, bearer), show)
	return c, err
}

// awsSettings returns the settings of the AWS variables and of the AWS profile. It never asks the metadata service
// of EC2, so a command does not use the role of a machine that the user did not name. Servers that ask for a client
// certificate get that of show.
func awsSettings(ctx context.Context, show certificate) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(httpClient().WithTransportOptions(show.shows)),
		awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return cfg, hint(fmt.Errorf("read the AWS settings: %w", err), "check AWS_PROFILE, AWS_CA_BUNDLE and the files in ~/.aws")
	}
	return cfg, nil
}

// hasKeys reports whether the provider has keys to sign with. It may run the profile's credential process or ask
// its token service.
func hasKeys(ctx context.Context, keys aws.CredentialsProvider) bool {
	if keys == nil {
		return false
	}
	_, err := keys.Retrieve(ctx)
	return err == nil
}

// noKeys returns the error for an endpoint without credentials. It leaves out the SDK's text, which lists places
// that the user did not configure.
func noKeys() error {
	return hint(errors.New("AWS_ENDPOINT_URL_BEDROCK is set, but there are no AWS credentials"),
		`set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or all at once with: eval "$(batholith env)"`)
}

// connectDefault returns the clients of the server in the default data directory, and says on stderr that it uses
// that server. If the directory does not exist, the error explains both ways to name a server.
func (a *app) connectDefault(ctx context.Context, settings *config.Config) (*clients, error) {
	if _, err := os.Stat(settings.Data); err != nil {
		return nil, hint(errors.New("no server is named, and none runs in this directory"),
			`start one with: batholith serve; or go to the directory in which it was started; or name one: AWS_ENDPOINT_URL_BEDROCK and AWS_ENDPOINT_URL_S3. `+
				`Amazon's own endpoints are used only when these variables name them`)
	}
	c, err := a.connectServer(ctx, settings)
	if err == nil {
		plain.Fprintf(a.stderr, "batholith: using the server of %s, since AWS_ENDPOINT_URL_BEDROCK is not set\n", settings.Data)
	}
	return c, err
}

// connectServer returns the clients of the server that runs in the settings' data directory. They sign with the
// first access key of the settings, or with the key in the directory. It fails with a remedy if no server has
// written its address there.
func (a *app) connectServer(ctx context.Context, settings *config.Config) (*clients, error) {
	server, key, err := runningServer(settings)
	if err != nil {
		return nil, err
	}
	show, err := clientCertificate(settings.Client)
	if err == nil {
		err = show.needs(server)
	}
	if err != nil {
		return nil, err
	}
	// The authorities of AWS_CA_BUNDLE are left out: such a file may be another machine's, and the server has named its own.
	cfg := aws.Config{Region: server.Region, HTTPClient: httpClient().WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig.RootCAs = rootsOf(server)
	}, show.shows), Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret, "")}
	c := &clients{account: server.Account, bedrock: bedrock.NewFromConfig(cfg, func(o *bedrock.Options) {
		o.BaseEndpoint = aws.String(server.Bedrock)
		o.BearerAuthTokenProvider, o.AuthSchemePreference = nil, nil // AWS_BEARER_TOKEN_BEDROCK is another server's key
	})}
	c.objects, err = openObjects(ctx, ofServer(ctx, server, key, settings), show)
	return c, err
}

// httpClient returns an HTTP client that waits requestTimeout for the head of an answer, and without a limit for
// its body. It is the SDK's own type, so AWS_CA_BUNDLE and ca_bundle of the profile apply.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = requestTimeout
	})
}

// objectClient returns httpClient for an S3, which may have its own certificate authorities and may ask for the
// certificate of show. It fails if the file of authorities cannot be read.
func objectClient(ctx context.Context, o object.Config, show certificate) (*http.Client, error) {
	roots, err := object.Authorities(ctx, o.CABundle, o.Profile)
	if err != nil {
		return nil, err
	}
	c := object.NewHTTPClient(roots)
	t := c.Transport.(*http.Transport)
	t.ResponseHeaderTimeout = requestTimeout
	show.shows(t)
	return c, nil
}
