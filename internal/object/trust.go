package object

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
)

// Authorities returns the certificate authorities to trust: those in the PEM file bundle, else
// in the file that AWS_CA_BUNDLE or the profile's ca_bundle names. If no file is named it
// returns nil: the system's authorities. As in the AWS SDKs, a named file replaces the system's
// authorities. profile "" means AWS_PROFILE, or the default profile.
func Authorities(ctx context.Context, bundle, profile string) (*x509.CertPool, error) {
	where := "s3.ca_bundle" // the setting that names the file, for messages
	if bundle == "" {
		env, err := config.NewEnvConfig()
		if err != nil {
			return nil, fmt.Errorf("read the AWS environment: %w", err)
		}
		where, bundle = "AWS_CA_BUNDLE", env.CustomCABundle
		if bundle == "" {
			shared, err := sharedProfile(ctx, env, profile)
			if err != nil {
				return nil, err
			}
			where, bundle = "ca_bundle of the AWS profile "+shared.Profile, shared.CustomCABundle
		}
	}
	if bundle == "" {
		return nil, nil
	}
	text, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities that %s names: %w", where, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s names %s, in which there is no certificate in PEM form", where, bundle)
	}
	return pool, nil
}

// Profile reads a profile of the AWS configuration files. name "" means AWS_PROFILE, or the
// default profile, which may be missing.
func Profile(ctx context.Context, name string) (config.SharedConfig, error) {
	env, err := config.NewEnvConfig()
	if err != nil {
		return config.SharedConfig{}, fmt.Errorf("read the AWS environment: %w", err)
	}
	return sharedProfile(ctx, env, name)
}

func sharedProfile(ctx context.Context, env config.EnvConfig, name string) (config.SharedConfig, error) {
	asked := name
	if name == "" {
		name = env.SharedConfigProfile
	}
	if name == "" {
		name = config.DefaultSharedConfigProfile
	}
	shared, err := config.LoadSharedConfigProfile(ctx, name, func(o *config.LoadSharedConfigOptions) {
		if env.SharedConfigFile != "" {
			o.ConfigFiles = []string{env.SharedConfigFile}
		}
		if env.SharedCredentialsFile != "" {
			o.CredentialsFiles = []string{env.SharedCredentialsFile}
		}
	})
	// The default profile need not exist; a profile that was named must.
	var none config.SharedConfigProfileNotExistError
	if errors.As(err, &none) && asked == "" {
		return config.SharedConfig{Profile: name}, nil
	}
	if err != nil {
		return config.SharedConfig{}, fmt.Errorf("read the AWS profile %s: %w", name, err)
	}
	return shared, nil
}

// Client returns c.HTTPClient if it is set, otherwise a new client as from [NewHTTPClient] that
// trusts the authorities of c.
func (c Config) Client() (*http.Client, error) {
	if c.HTTPClient != nil {
		return c.HTTPClient, nil
	}
	roots, err := Authorities(context.Background(), c.CABundle, c.Profile)
	if err != nil {
		return nil, err
	}
	return NewHTTPClient(roots), nil
}
