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

// Authorities are the certificate authorities that a client of AWS-like services believes: those of the PEM file bundle, or else of the file
// that AWS_CA_BUNDLE or ca_bundle of the profile names. It is nil, which means the system's, when no file is named. As in the AWS
// SDKs, a file that is named replaces the system's authorities. profile "" is that of AWS_PROFILE, or the default one.
func Authorities(ctx context.Context, bundle, profile string) (*x509.CertPool, error) {
	where := "s3.ca_bundle"
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

// Profile reads a profile of the AWS configuration files. "" is that of AWS_PROFILE, or the default one, which need not exist.
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
	var none config.SharedConfigProfileNotExistError
	if errors.As(err, &none) && asked == "" {
		return config.SharedConfig{Profile: name}, nil
	}
	if err != nil {
		return config.SharedConfig{}, fmt.Errorf("read the AWS profile %s: %w", name, err)
	}
	return shared, nil
}

// Client is c.HTTPClient, or a client as [NewHTTPClient] makes it that believes the authorities of c.
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
