package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
)

// The S3 of a client command may be another service than the Bedrock API, with keys, a region, a form of URLs and authorities of its own.
// Each is taken from the first place that names it:
//
//	endpoint     AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the AWS profile (services, endpoint_url), s3.endpoint
//	keys         s3.access_key_id, s3.profile, the AWS default chain
//	region       s3.region, the profile that s3.profile names, AWS_REGION
//	path style   s3.path_style, else: in the path unless it is Amazon's
//	authorities  s3.ca_bundle, AWS_CA_BUNDLE, ca_bundle of the profile, the system's
//
// s3.access_key_id and the others are settings, of --config or of the environment (BATHOLITH_S3_ACCESS_KEY_ID). They hold only for the
// endpoint that they stand beside, or for any when none does.

// s3Access is how to reach an S3, with the origin of its keys for messages.
type s3Access struct {
	object.Config
	named  bool   // somebody has said where it is
	origin string // where its keys come from, for messages
	shared bool   // the Bedrock API gets the same keys
}

// named returns the access to the S3 that the environment, the AWS profile or the settings name; its member named
// is false if none does. bearer says that the Bedrock API has its own key, so that the access key belongs to the
// S3 only.
func named(ctx context.Context, cfg aws.Config, settings *config.Config, bearer bool) s3Access {
	at := s3Access{Config: object.Config{Region: cfg.Region, Credentials: cfg.Credentials}, origin: originOf(ctx, cfg.Credentials), shared: !bearer}
	endpoint := s3.NewFromConfig(cfg).Options().BaseEndpoint
	if p := settings.S3.AWSProfile; endpoint == nil && p != "" {
		if own, err := profileSettings(ctx, p); err == nil {
			endpoint = s3.NewFromConfig(own).Options().BaseEndpoint
		}
	}
	switch {
	case endpoint != nil:
		at.Endpoint = *endpoint
	case settings.S3.Endpoint != "":
		at.Endpoint = endpointOf(settings.S3.Endpoint, settings.S3.Region)
	default:
		return at
	}
	at.named = true
	at.PathStyle = !amazons(at.Endpoint)
	at.settle(ctx, settings)
	return at
}

// ofServer returns the access to the S3 of a server on this machine. key is the key of its callers, which the
// embedded S3 accepts too. An external S3 gets the keys of the settings or of the environment.
func ofServer(ctx context.Context, server config.Server, key config.Key, settings *config.Config) s3Access {
	at := s3Access{named: true, Config: object.Config{Endpoint: s3Endpoint(server), Region: s3Region(server)}}
	if !server.ExternalS3 && server.S3 != "aws" {
		at.AccessKeyID, at.SecretAccessKey, at.PathStyle, at.CABundle = key.ID, key.Secret, true, server.CA
		at.origin, at.shared = "the data directory", true
		return at
	}
	at.PathStyle, at.CABundle = !server.VirtualHosts && !amazons(at.Endpoint), server.CABundle
	if cfg, err := awsSettings(ctx, nil); err == nil { // for its keys
		at.Credentials, at.origin = cfg.Credentials, originOf(ctx, cfg.Credentials)
		if c, err := cfg.Credentials.Retrieve(ctx); err == nil {
			at.shared = c.AccessKeyID == key.ID
		}
	}
	at.settle(ctx, settings)
	return at
}

// settle applies the s3 settings. They are ignored if they name another endpoint, because keys must not be sent to
// a service that they are not for.
func (at *s3Access) settle(ctx context.Context, settings *config.Config) {
	s := settings.S3
	// The keys of the settings belong to the endpoint beside them and are not sent to another one.
	if s.Endpoint != "" && !sameEndpoint(endpointOf(s.Endpoint, s.Region), at.Endpoint) {
		return
	}
	switch {
	case s.AccessKeyID != "":
		at.AccessKeyID, at.SecretAccessKey, at.Credentials = s.AccessKeyID, s.SecretAccessKey, nil
		at.origin, at.shared = settings.Origin("s3.access_key_id").String(), false
	case s.AWSProfile != "":
		at.Profile, at.Credentials = s.AWSProfile, nil
		at.origin, at.shared = "the AWS profile "+s.AWSProfile, false
		if p, err := object.Profile(ctx, s.AWSProfile); err == nil && p.Region != "" {
			at.Region = p.Region
		}
	}
	if given(settings, "s3.region") {
		at.Region = s.Region
	}
	if given(settings, "s3.path_style") {
		at.PathStyle = s.PathStyle
	}
	if s.CABundle != "" {
		at.CABundle = s.CABundle
	}
}

// given reports whether a setting has another origin than the default.
func given(c *config.Config, path string) bool { return c.Origin(path).Source != "default" }

// profileSettings returns the AWS settings with those of one profile, without asking the metadata service of EC2.
func profileSettings(ctx context.Context, profile string) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx, awsconfig.WithSharedConfigProfile(profile), awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled))
}

// originOf returns where the default chain found its keys, for messages; "" if it found none.
func originOf(ctx context.Context, keys aws.CredentialsProvider) string {
	if keys == nil {
		return ""
	}
	switch c, err := keys.Retrieve(ctx); {
	case err != nil:
		return ""
	case c.Source == awsconfig.CredentialsSourceName:
		return "AWS_ACCESS_KEY_ID"
	default:
		return "the AWS profile"
	}
}

// endpointOf returns the URL of an endpoint. The setting "aws" becomes Amazon's URL for the region, so that
// messages name it.
func endpointOf(endpoint, region string) string {
	if endpoint == "aws" {
		return "https://s3." + region + ".amazonaws.com"
	}
	return endpoint
}

func amazons(endpoint string) bool { return strings.Contains(endpoint, ".amazonaws.com") }

// sameEndpoint compares endpoints as servers: their scheme, host and port.
func sameEndpoint(a, b string) bool {
	u, err := url.Parse(a)
	w, werr := url.Parse(b)
	return err == nil && werr == nil && strings.EqualFold(u.Scheme, w.Scheme) && strings.EqualFold(u.Host, w.Host)
}

// objects reads objects of an S3. A read that breaks off continues where it stopped, so large objects arrive
// whole.
type objects struct {
	at    s3Access
	store *object.Client
	keyID string // of the keys that it gets, for messages
}

// openObjects returns the client for an S3, or nil without an error if no S3 is named. It sends no request to the
// S3, but a profile may start a credential process or ask a token service. It fails if a file of authorities or a
// profile cannot be read.
func openObjects(ctx context.Context, at s3Access, show certificate) (*objects, error) {
	if !at.named {
		return nil, nil
	}
	var err error
	if at.HTTPClient, err = objectClient(ctx, at.Config, show); err != nil {
		return nil, hint(err, "correct the file's name, or remove the setting to trust the system's certificate authorities")
	}
	if at.AccessKeyID == "" {
		if err := at.fix(ctx); err != nil {
			return nil, err
		}
	}
	o := &objects{at: at, keyID: at.AccessKeyID}
	if o.store, err = object.New(at.Config); err != nil {
		return nil, err
	}
	if o.keyID == "" && at.Credentials != nil {
		if c, err := at.Credentials.Retrieve(ctx); err == nil {
			o.keyID = c.AccessKeyID
		}
	}
	return o, nil
}

// fix resolves the credentials. Keys that do not expire are stored as they are, because asking their provider
// again after a refusal would return the same keys.
func (at *s3Access) fix(ctx context.Context) error {
	if at.Profile != "" {
		cfg, err := profileSettings(ctx, at.Profile)
		if err != nil {
			return hint(fmt.Errorf("read the AWS profile %s: %w", at.Profile, err), "check s3.profile (BATHOLITH_S3_PROFILE) and the files in ~/.aws")
		}
		at.Credentials = cfg.Credentials
	}
	if at.Credentials == nil {
		at.Credentials = aws.AnonymousCredentials{}
	}
	if c, err := at.Credentials.Retrieve(ctx); err == nil && !c.CanExpire {
		at.AccessKeyID, at.SecretAccessKey, at.SessionToken, at.Credentials = c.AccessKeyID, c.SecretAccessKey, c.SessionToken, nil
	}
	return nil
}

// api returns the SDK's client of the S3. It returns an error with a remedy if no S3 is named or if there are no
// keys for it.
func (c *clients) api() (*s3.Client, error) {
	if c.objects == nil {
		return nil, hint(errors.New("AWS_ENDPOINT_URL_BEDROCK is set, but AWS_ENDPOINT_URL_S3 is not"),
			`set both with: eval "$(batholith env)"; for Amazon's own S3, name https://s3.REGION.amazonaws.com`)
	}
	if c.objects.keyID == "" {
		return nil, hint(fmt.Errorf("there are no keys for the S3 at %s", c.objects.at.Endpoint), "%s", c.objects.otherKeys())
	}
	return c.objects.store.API(), nil
}

// otherKeys returns the remedy for wrong keys: the ways to give the S3 keys of its own.
func (o *objects) otherKeys() string {
	return "name keys for it: BATHOLITH_S3_ACCESS_KEY_ID and BATHOLITH_S3_SECRET_ACCESS_KEY, or BATHOLITH_S3_PROFILE with a profile of ~/.aws; " +
		"or have AWS_ACCESS_KEY_ID for the S3 and AWS_BEARER_TOKEN_BEDROCK for the Bedrock API, as batholith env sets them"
}

// explain returns an S3 error in words, with a remedy for the user of this shell. verb and the object say what was
// tried, as in "write s3://bucket/key". Keys that the S3 does not know are named with their origin. nil stays nil.
func (o *objects) explain(err error, verb, bucket, key string) error {
	if err == nil {
		return nil
	}
	err = object.Explain(err, verb, bucket, key)
	var f *object.Fault
	if !errors.As(err, &f) {
		return err
	}
	text := strings.TrimSuffix(err.Error(), "; "+f.Remedy)
	remedy := inShell.Replace(f.Remedy)
	switch {
	case o.keyID == "":
	case object.ForeignKeys(err):
		text += fmt.Sprintf(": the S3 at %s got the access key %s from %s", o.at.Endpoint, o.keyID, o.at.origin)
		remedy = o.otherKeys()
		if o.at.shared {
			text += ", which is the key of the Bedrock API"
		}
	case errors.Is(err, batholith.ErrAccessDenied):
		remedy = fmt.Sprintf("allow it to the access key %s (%s) in its policy, or in the bucket's; or %s", o.keyID, o.at.origin, o.otherKeys())
	}
	return hint(&plainError{text: text, err: err}, "%s", remedy)
}

// inShell replaces the settings in remedies by the environment variables that a shell user has for them.
var inShell = strings.NewReplacer("s3.endpoint", "AWS_ENDPOINT_URL_S3", "s3.path_style: true", "BATHOLITH_S3_PATH_STYLE=true", "s3.region", "BATHOLITH_S3_REGION",
	"s3.ca_bundle", "BATHOLITH_S3_CA_BUNDLE", "name keys in the settings (s3.access_key_id, roles)", "name keys (BATHOLITH_S3_ACCESS_KEY_ID, BATHOLITH_S3_PROFILE)",
	"allow it to the role's keys in their policy", "allow it to these keys in their policy")
