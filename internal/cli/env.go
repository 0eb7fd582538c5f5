package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/words"
)

// envCommand returns the command env. It is the only command that prints a secret: its output is for a shell to
// evaluate.
func (a *app) envCommand() *cobra.Command {
	var asJSON, forOpenAI bool
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print export lines that point the AWS tools at the server of this data directory",
		Long: `Print export lines for a shell: endpoints, region and keys of the server that runs in this data directory.
The AWS CLI, the SDKs and the commands of batholith use these variables.

The embedded S3 accepts the access key of the Bedrock API. An external S3 has its own keys: then AWS_ACCESS_KEY_ID or AWS_PROFILE is
set to the S3's, from the settings (s3.access_key_id, s3.profile; name the file with --config), and AWS_BEARER_TOKEN_BEDROCK to a key
for the Bedrock API. If the settings contain no keys for the S3, the shell's own are left unchanged.

With --openai, OPENAI_BASE_URL and OPENAI_API_KEY point OpenAI's libraries at the server, too.`,
		Example: `  eval "$(batholith env)"
  eval "$(batholith env --data /var/lib/batholith)"
  eval "$(batholith env --config other.yaml)"
  eval "$(batholith env --openai)"`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data", "client.cert", "client.key")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&forOpenAI, "openai", false, "print the variables of OpenAI's libraries as well")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := a.loadBy(config.LoadClient, s)
		if err != nil {
			return err
		}
		e, err := a.serverEnvironment(c)
		if err != nil {
			return err
		}
		if forOpenAI {
			e.vars = append(e.vars, e.openAI...)
		}
		if err := a.printEnvironment(e.vars, asJSON); err != nil || asJSON {
			return err
		}
		return a.printUnset(e.unset)
	}
	return cmd
}

// environment holds the variables that the AWS tools need to reach a server, and the names of variables that must
// be unset because they would take precedence.
type environment struct {
	vars   []variable
	unset  []string
	openAI []variable // for OpenAI's libraries
}

// variable is one variable of the environment.
type variable struct{ name, value string }

// set adds a variable. The order of the calls is the order of the output.
func (e *environment) set(name, value string) { e.vars = append(e.vars, variable{name, value}) }

// runningServer returns the server that runs for the data directory and the key of its first caller. It reads
// files only and does not contact the server. If no server has written its address, the error says how to start
// one.
func runningServer(c *config.Config) (server config.Server, key config.Key, err error) {
	server, err = config.ReadServer(c.Data)
	if errors.Is(err, os.ErrNotExist) {
		return server, key, hint(fmt.Errorf("no server is running for %s", c.Data),
			"start one with: batholith serve; or name another directory with --data DIR")
	} else if err != nil {
		return server, key, err
	}
	if server.Worker {
		return server, key, hint(fmt.Errorf("the process of %s is a worker, which has no API", c.Data),
			"use --data DIR, where DIR is the data directory of a process with the role api")
	}
	key, err = callerKey(c)
	return server, key, err
}

// serverEnvironment returns the variables for the server of a data directory. With an embedded S3, one key serves
// both APIs and the token service; externalS3 handles the other case. It also names variables to unset: a session
// token or a bearer key of another server would be sent along, or instead.
func (a *app) serverEnvironment(c *config.Config) (*environment, error) {
	server, key, err := runningServer(c)
	if err != nil {
		return nil, err
	}
	e := &environment{openAI: []variable{{"OPENAI_BASE_URL", server.Bedrock + "/openai/v1"}, {"OPENAI_API_KEY", sigv4.BearerOf(key.ID, key.Secret)}}}
	e.set("AWS_ENDPOINT_URL_BEDROCK", server.Bedrock)
	e.set("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.Bedrock)
	e.set("AWS_ENDPOINT_URL_S3", s3Endpoint(server))
	a.pastProxy(e, server.Bedrock, s3Endpoint(server))
	a.clientCertificateOf(e, server, c.Client)
	if server.ExternalS3 || server.S3 == "aws" {
		a.externalS3(e, server, key, c)
		return e, nil
	}
	e.set("AWS_ENDPOINT_URL_STS", server.Bedrock)
	if server.CA != "" {
		e.set("AWS_CA_BUNDLE", server.CA)
	}
	e.set("AWS_REGION", server.Region)
	e.set("AWS_DEFAULT_REGION", server.Region)
	e.set("AWS_ACCESS_KEY_ID", key.ID)
	e.set("AWS_SECRET_ACCESS_KEY", key.Secret)
	// These would go along with the key, or before it, and the server knows neither.
	e.unset = []string{"AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"}
	return e, nil
}

// pastProxy adds the hosts of urls to NO_PROXY if a proxy is set and the hosts are this machine. Otherwise the AWS
// tools would ask the proxy for them. It sets both spellings of the variable, because some tools know only one.
// Entries of the user are kept.
func (a *app) pastProxy(e *environment, urls ...string) {
	if !slices.ContainsFunc([]string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}, func(name string) bool { return a.getenv(name) != "" }) {
		return
	}
	var hosts []string
	for _, list := range []string{a.getenv("NO_PROXY"), a.getenv("no_proxy")} {
		for host := range strings.SplitSeq(list, ",") {
			if host = strings.TrimSpace(host); host != "" && !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	// Both variables have been merged: a host in either of them stays.
	had := len(hosts)
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && thisMachine(u.Hostname()) && !slices.Contains(hosts, u.Hostname()) && !slices.Contains(hosts, "*") {
			hosts = append(hosts, u.Hostname())
		}
	}
	if len(hosts) > had {
		e.set("NO_PROXY", strings.Join(hosts, ","))
		e.set("no_proxy", strings.Join(hosts, ","))
	}
}

// externalS3 adds the variables for a server whose S3 has its own keys. The Bedrock API gets a bearer key, which
// the AWS tools send to no other service. A bearer key is not bound to a region, so AWS_ACCESS_KEY_ID and
// AWS_REGION can belong to the S3.
func (a *app) externalS3(e *environment, server config.Server, key config.Key, c *config.Config) {
	region := s3Region(server)
	e.set("AWS_REGION", region)
	e.set("AWS_DEFAULT_REGION", region)
	if bundle := cmp.Or(server.CABundle, server.CA); bundle != "" {
		e.set("AWS_CA_BUNDLE", bundle)
	}
	if server.CABundle != "" && server.CA != "" && server.CA != server.CABundle {
		a.tell("note", fmt.Sprintf("the AWS tools read one file of authorities: put those of %s, for the Bedrock API, into %s as well", server.CA, server.CABundle))
	}
	if server.VirtualHosts {
		e.set(config.EnvPrefix+"S3_PATH_STYLE", "false")
	}
	s := c.S3
	if s.AccessKeyID == key.ID && s.SecretAccessKey == key.Secret { // the settings have one key for both
		e.set("AWS_ACCESS_KEY_ID", key.ID)
		e.set("AWS_SECRET_ACCESS_KEY", key.Secret)
		e.unset = []string{"AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"}
		return
	}
	e.set("AWS_BEARER_TOKEN_BEDROCK", sigv4.BearerOf(key.ID, key.Secret))
	switch {
	case s.AccessKeyID != "":
		e.set("AWS_ACCESS_KEY_ID", s.AccessKeyID)
		e.set("AWS_SECRET_ACCESS_KEY", s.SecretAccessKey)
		e.unset = []string{"AWS_SESSION_TOKEN"}
	case s.AWSProfile != "":
		e.set("AWS_PROFILE", s.AWSProfile)
		e.unset = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} // they go before a profile
	case a.getenv("AWS_ACCESS_KEY_ID") == key.ID: // of a server with an embedded S3, from a former call
		e.unset = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
		fallthrough
	default:
		a.tell("note", fmt.Sprintf("the settings name no keys for the S3 at %s, which is another service: it gets those of AWS_ACCESS_KEY_ID, AWS_PROFILE or ~/.aws", s3Endpoint(server)))
		a.tell("hint", "name the server's settings with --config FILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to keys of that S3")
	}
}

// callerKey returns the first access key of the settings, otherwise the key in the data directory. It fails with a
// remedy if the settings name a variable for the secret that this shell does not have.
func callerKey(c *config.Config) (config.Key, error) {
	if len(c.Credentials) > 0 {
		k := c.Credentials[0]
		if k.SecretAccessKey == "" {
			return config.Key{}, hint(fmt.Errorf("this shell has no secret for the access key %s of the settings", k.AccessKeyID),
				"export the variable that its secret_access_key_env names: %s", k.SecretAccessKeyEnv)
		}
		return config.Key{ID: k.AccessKeyID, Secret: k.SecretAccessKey}, nil
	}
	key, err := config.ReadKey(c.Data)
	if errors.Is(err, os.ErrNotExist) {
		return key, hint(fmt.Errorf("there is no access key in %s", c.Data),
			"the server has the credentials of its settings; name the same file with --config FILE")
	}
	return key, err
}

// s3Endpoint returns the URL of the server's S3, also for Amazon's.
func s3Endpoint(s config.Server) string { return endpointOf(s.S3, s3Region(s)) }

// s3Region returns the region of the S3. It is the server's own region unless an external S3 has another.
func s3Region(s config.Server) string { return cmp.Or(s.S3Region, s.Region) }

// printEnvironment prints the variables as export lines for a shell, quoted, or as a JSON object. A value with
// control characters is refused for a shell, because a terminal would act on them.
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
	return nil
}

// printUnset prints an unset line for each of the names that this shell has set. Names that are not set get no
// line, so that the output stays short.
func (a *app) printUnset(names []string) error {
	for _, name := range names {
		if a.getenv(name) == "" {
			continue
		}
		if _, err := plain.Fprintf(a.stdout, "%s\n", "unset "+name); err != nil {
			return err
		}
	}
	return nil
}
