package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// envCommand is env. It is the only command that prints a secret, which is what it is for.
func (a *app) envCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print export lines that point the AWS tools at the server of this data directory",
		Long: `Print export lines for a shell: endpoints, region and access key of the server that runs in this data directory.
The AWS CLI, the SDKs and the commands of batholith all follow them.`,
		Example: `  eval "$(batholith env)"
  eval "$(batholith env --data /var/lib/batholith)"`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := a.load(s)
		if err != nil {
			return err
		}
		vars, err := serverEnvironment(c)
		if err != nil {
			return err
		}
		return a.printEnvironment(vars, asJSON)
	}
	return cmd
}

// variable is one variable of the environment.
type variable struct{ name, value string }

// serverEnvironment is what the AWS tools need to reach the server of a data directory.
func serverEnvironment(c *config.Config) ([]variable, error) {
	server, err := config.ReadServer(c.Data)
	if errors.Is(err, os.ErrNotExist) {
		return nil, hint(fmt.Errorf("no server runs in %s", c.Data),
			"start one with: batholith serve; or name another directory with --data DIR")
	} else if err != nil {
		return nil, err
	}
	key, err := callerKey(c)
	if err != nil {
		return nil, err
	}
	return []variable{
		{"AWS_ENDPOINT_URL_BEDROCK", server.Bedrock},
		{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.Bedrock},
		{"AWS_ENDPOINT_URL_S3", s3Endpoint(server)},
		{"AWS_REGION", server.Region},
		{"AWS_DEFAULT_REGION", server.Region},
		{"AWS_ACCESS_KEY_ID", key.ID},
		{"AWS_SECRET_ACCESS_KEY", key.Secret},
	}, nil
}

// callerKey is the first access key of the settings, or that of the data directory.
func callerKey(c *config.Config) (config.Key, error) {
	if len(c.Credentials) > 0 {
		return config.Key{ID: c.Credentials[0].AccessKeyID, Secret: c.Credentials[0].SecretAccessKey}, nil
	}
	key, err := config.ReadKey(c.Data)
	if errors.Is(err, os.ErrNotExist) {
		return key, hint(fmt.Errorf("there is no access key in %s", c.Data),
			"the server has the credentials of its settings; name the same file with --config FILE")
	}
	return key, err
}

// s3Endpoint is the address of the objects; Amazon's own is spelt out, so that no command goes there without being told.
func s3Endpoint(s config.Server) string {
	if s.S3 == "aws" {
		return "https://s3." + s.Region + ".amazonaws.com"
	}
	return s.S3
}

// printEnvironment prints the variables for a shell to evaluate, or as a JSON object.
func (a *app) printEnvironment(vars []variable, asJSON bool) error {
	if asJSON {
		m := map[string]string{}
		for _, v := range vars {
			m[v.name] = v.value
		}
		return a.printJSON(m)
	}
	for _, v := range vars {
		if plain.Line(v.value) != v.value {
			return hint(fmt.Errorf("the value of %s has characters that a terminal would act on: it is not printed for a shell", v.name),
				"correct the server's settings; --json prints it with escapes")
		}
		if _, err := plain.Fprintf(a.stdout, "export %s=%s\n", v.name, words.Quote(v.value)); err != nil {
			return err
		}
	}
	// These would go along with the key, or before it, and the server knows neither.
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"} {
		if a.getenv(name) == "" {
			continue
		}
		if _, err := plain.Fprintf(a.stdout, "%s\n", "unset "+name); err != nil {
			return err
		}
	}
	return nil
}
