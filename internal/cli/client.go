package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
)

// requestTimeout bounds one request of the control plane, retries apart.
const requestTimeout = 30 * time.Second

// clients reach one server: whichever the standard AWS variables name, or else the one that runs in the data directory.
type clients struct {
	bedrock *bedrock.Client
	s3      *s3.Client
	region  string
	account string // of the local server; otherwise "000000000000", for the default role
}

// target says which server a client command shall talk to.
type target struct {
	data string // --data, when it was given
}

// connect finds the server. It never falls back to Amazon's own endpoints: a person who forgot a variable would be billed there.
func (a *app) connect(ctx context.Context, t target) (*clients, error) {
	if t.data != "" {
		return a.connectLocal(t.data)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(httpClient()),
		awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return nil, fmt.Errorf("read the AWS settings: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = config.Default(config.ProfileDefault).Region
	}
	c := newClients(cfg, config.Default(config.ProfileDefault).Account)
	if c.bedrock.Options().BaseEndpoint == nil {
		return a.connectDefault()
	}
	if c.s3.Options().BaseEndpoint == nil {
		c.s3 = nil
	}
	if a.getenv("AWS_BEARER_TOKEN_BEDROCK") != "" {
		return c, nil
	}
	if cfg.Credentials == nil {
		return nil, noKeys()
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, noKeys()
	}
	return c, nil
}

// noKeys leaves out what the SDK says: it looked in places such as the metadata of EC2, about which nobody asked.
func noKeys() error {
	return hint(errors.New("AWS_ENDPOINT_URL_BEDROCK is set, but there are no AWS credentials"),
		`set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or all at once with: eval "$(batholith env)"`)
}

// connectDefault is for a shell that has no AWS endpoint: the server of the default data directory, if there is one.
func (a *app) connectDefault() (*clients, error) {
	dir := a.getenv(config.EnvPrefix + "DATA")
	if dir == "" {
		dir = config.Default(config.ProfileDefault).Data
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, hint(errors.New("no server is named, and none runs in this directory"),
			`start one with: batholith serve; or name one: AWS_ENDPOINT_URL_BEDROCK and AWS_ENDPOINT_URL_S3. `+
				`Amazon's own endpoints are used only when these variables name them`)
	}
	c, err := a.connectLocal(dir)
	if err == nil {
		plain.Fprintf(a.stderr, "batholith: using the server of %s, since AWS_ENDPOINT_URL_BEDROCK is not set\n", dir)
	}
	return c, err
}

// connectLocal reaches the server that runs in a data directory, with its own key.
func (a *app) connectLocal(dir string) (*clients, error) {
	c := config.Default(config.ProfileDefault)
	c.Data = dir
	return connectServer(c)
}

// connectServer reaches the server of the settings' data directory, with the first of its keys.
func connectServer(c *config.Config) (*clients, error) {
	vars, err := serverEnvironment(c)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, v := range vars {
		env[v.name] = v.value
	}
	cfg := aws.Config{
		Region:     env["AWS_REGION"],
		HTTPClient: httpClient(),
		Credentials: credentials.NewStaticCredentialsProvider(
			env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	}
	server, err := config.ReadServer(c.Data)
	if err != nil {
		return nil, err
	}
	k := newClients(cfg, server.Account)
	k.bedrock = bedrock.NewFromConfig(cfg, func(o *bedrock.Options) { o.BaseEndpoint = aws.String(server.Bedrock) })
	k.s3 = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.BaseEndpoint = aws.String(s3Endpoint(server))
		s3Options(o)
	})
	return k, nil
}

// newClients makes both clients from the AWS settings, each with the endpoint that these name for it.
func newClients(cfg aws.Config, account string) *clients {
	return &clients{
		bedrock: bedrock.NewFromConfig(cfg),
		s3:      s3.NewFromConfig(cfg, s3Options),
		region:  cfg.Region,
		account: account,
	}
}

// s3Options are for endpoints that are not Amazon's: they know no bucket in a host name, and not every checksum.
func s3Options(o *s3.Options) {
	if o.BaseEndpoint == nil || strings.Contains(*o.BaseEndpoint, ".amazonaws.com") {
		return
	}
	o.UsePathStyle = true
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

// httpClient waits a bounded time for the head of an answer, and as long as it takes for a body. It is the SDK's own kind, which
// takes up AWS_CA_BUNDLE.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = requestTimeout
	})
}

// objects is the S3 client, or an error when none was named.
func (c *clients) objects() (*s3.Client, error) {
	if c.s3 == nil {
		return nil, hint(errors.New("AWS_ENDPOINT_URL_BEDROCK is set, but AWS_ENDPOINT_URL_S3 is not"),
			`set both with: eval "$(batholith env)"; for Amazon's own S3, name https://s3.REGION.amazonaws.com`)
	}
	return c.s3, nil
}
