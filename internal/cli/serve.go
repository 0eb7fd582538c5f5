package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/words"
)

// serveCommand returns the command serve. It is the only command whose help lists every setting.
func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the whole service: Bedrock API, embedded S3, store and workers",
		Long: `Run the whole service in one process: the Bedrock API, the embedded S3, the store and the workers.
With a PostgreSQL database (--store) it can be one of several processes, on one machine or many: an API (--roles api), a worker
(--roles worker), or both.

It starts without arguments and without a settings file: it creates its data directory and its first access key, and prints
the next commands to type.

After SIGTERM or Ctrl-C no new records are sent, and those in flight may finish within --drain. A second signal ends
the process at once. Finished records are never lost.`,
		Example: `  batholith serve
  batholith serve --data /var/lib/batholith --listen 0.0.0.0:4600 --s3-listen 0.0.0.0:4601 --tls-cert cert.pem --tls-key key.pem
  batholith serve --config batholith.yaml --log-format json
  batholith serve --store postgres://batholith@db:5432/batholith --s3-endpoint https://s3.example.net --roles worker`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, usualSettings...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.load(s)
		if err != nil {
			return err
		}
		return a.serve(cmd.Context(), c, s)
	}
	return cmd
}

// serve holds the data directory while the service runs, and announces its addresses there for other commands. A
// crash at any point leaves a directory that the next start accepts: the lock ends with the process, and
// connections to the addresses of a dead server are refused. A signal is the usual end, so serve returns nil after
// one.
func (a *app) serve(ctx context.Context, c *config.Config, from *settings) error {
	raw := *c
	raw.Roles = slices.Clone(c.Roles)
	data, err := config.OpenData(c.Data)
	if err != nil {
		return startedFull(c.Data, err)
	}
	defer data.Close()
	c.Data = data.Dir
	if err := adoptKey(data, c); err != nil {
		return startedFull(c.Data, err)
	}
	for _, path := range data.LooseModes() {
		a.tell("warning", "other users of this machine can open "+path+", which holds keys, prompts and answers; batholith doctor says how to close it")
	}
	for _, why := range absentWays(c.Network) {
		a.tell("warning", why)
	}
	defer data.Withdraw() // a leftover is harmless: whoever reads it finds nobody listening
	defer context.AfterFunc(ctx, func() {
		notifyManager(managerStopping)
		plain.Fprintf(a.stderr, "Batholith ends: what is in flight is finished or released within %s; a second signal ends it at once\n", words.Span(c.Drain))
	})()
	// One logger for the whole process: it leaves out what the message about a full disk already says.
	level := &slog.LevelVar{}
	level.Set(logLevel(c.Log))
	disk := newFullDisk(data.Dir, levelledLogger(a.stderr, c.Log.Format, level))
	defer disk.watch(ctx)()
	log := disk.handle()
	defer captureLibraryLog(log)()
	defer s3serve.Capture(log)()
	err = guarded(ctx, data, guardedNames(c), func(ctx context.Context, opened func()) error {
		read := &rereading{sources: a.sources(from), raw: &raw, level: level, data: data.Dir, adopt: func(c *config.Config) error {
			c.Data = data.Dir
			return adoptKey(data, c)
		}}
		return serve(ctx, serveOptions{Config: c, Log: log, Again: read, Notice: disk.Notice, Ready: func(at addresses) {
			opened()
			if err := data.Announce(announcement(c, at)); err != nil {
				a.tell("warning", fmt.Sprintf("batholith env will not find this server: %v", err))
			}
			a.welcome(c, at)
			notifyManager(managerReady)
		}})
	})
	if shutDown(ctx, err) {
		return nil // a signal is the usual way to end a server
	}
	return startedFull(data.Dir, err)
}

// shutDown reports whether err only says that a signal ended ctx.
func shutDown(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, batholith.ErrShutdown)
}

// adoptKey adds the key of the data directory to the settings if they have no credentials. The first start creates
// it, for the principal admin. On PostgreSQL, the processes share one key (see service.adoptAdmin). A role with the same key id is refused, because the embedded S3 could not tell them
// apart.
func adoptKey(data *config.Data, c *config.Config) error {
	if len(c.Credentials) > 0 || c.Postgres() || !c.API() {
		return nil
	}
	key, _, err := data.AdminKey()
	if err != nil {
		return err
	}
	return adopt(c, key)
}

// adopt makes key, which is that of the data directory, the only credential of the settings.
func adopt(c *config.Config, key config.Key) error {
	for i, r := range c.Roles {
		if r.AccessKeyID == key.ID && c.EmbeddedS3() {
			return hint(fmt.Errorf("roles[%d].access_key_id is the key of the data directory %s, which is the admin's", i, c.Data), "give the role a key of its own")
		}
	}
	// With one key and no policies, this key may do everything in its account.
	c.Credentials = []config.Credential{{AccessKeyID: key.ID, SecretAccessKey: key.Secret,
		Principal: config.AdminPrincipal, Account: c.Account}}
	return nil
}

// announcement returns what the server writes into the data directory for other commands. It holds no secret.
func announcement(c *config.Config, at addresses) config.Server {
	s := config.Server{Bedrock: at.Bedrock, S3: at.S3, Worker: !c.API(), Region: c.Region, Account: c.Account,
		PID: os.Getpid(), Started: time.Now().UTC(), CA: authorityOf(c)}
	s.ClientCA = c.TLS.ClientCA != "" || c.EmbeddedS3() && c.S3TLS().ClientCA != ""
	if c.EmbeddedS3() {
		return s
	}
	s.ExternalS3, s.S3Region, s.VirtualHosts = true, c.S3.Region, !c.S3.PathStyle
	if c.S3.CABundle != "" {
		s.CABundle, _ = filepath.Abs(c.S3.CABundle)
	}
	return s
}

// welcome prints what this process is, its addresses and the next commands to type. It prints no secret: stderr may be
// a log, and env prints the keys on the user's own terminal.
func (a *app) welcome(c *config.Config, at addresses) {
	store := ""
	if c.Postgres() {
		store = "   store " + c.StoreName()
	}
	if !c.API() {
		plain.Fprintf(a.stderr, `Batholith is ready as a worker.  health %s/readyz   S3 %s%s   data %s
It runs jobs of the models in its settings. Clients call the processes of this database that have the role api.
`, at.Bedrock, at.S3, store, c.Data)
		return
	}
	as := ""
	if !c.Worker() {
		as = " as an API without a worker"
	}
	model, family := firstModel(c)
	model, me := words.Quote(model), words.Quote(commandName())
	plain.Fprintf(a.stderr, `Batholith is ready%s.  Bedrock API %s   S3 %s%s   data %s
In another terminal, in the same directory, type:
  eval "$(%s env%s)"
  echo '{"recordId":"1","modelInput":%s}' > hello.jsonl
  aws s3 mb s3://my-bucket && aws s3 cp hello.jsonl s3://my-bucket/in/
  aws bedrock create-model-invocation-job --job-name hello --model-id %s \
    --role-arn %s --input-data-config s3InputDataConfig={s3Uri=s3://my-bucket/in/} \
    --output-data-config s3OutputDataConfig={s3Uri=s3://my-bucket/out/}
  # or shorter:
  %s submit hello.jsonl --model %s --wait && %s jobs
`, as, at.Bedrock, at.S3, store, c.Data, me, dataFlag(c)+settingsFlag(c), helloBody(family), model, words.Quote(c.DefaultRole()), me, model, me)
	if c.Console.Enabled { // the last of the addresses: scripts find the others by their order
		plain.Fprintf(a.stderr, "  # or in a browser:\n  %s%s\n", at.Bedrock, console.Path)
	}
}

// dataFlag returns the flag that names the data directory to another command, or "" for the default one.
func dataFlag(c *config.Config) string {
	if c.Origin("data").Source == "default" {
		return ""
	}
	return " --data " + words.Quote(c.Data)
}

// settingsFlag returns the flag that names the settings file to env, or "". env needs it for the keys of an
// external S3.
func settingsFlag(c *config.Config) string {
	if o := c.Origin("s3.endpoint"); o.Source == "file" {
		return " --config " + words.Quote(o.Name)
	}
	return ""
}

// newLogger returns the logger of the settings: its level, and text or JSON.
func newLogger(w io.Writer, l config.Log) *slog.Logger {
	return levelledLogger(w, l.Format, logLevel(l))
}

// levelledLogger is newLogger with a level that may change.
func levelledLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: redactAttr}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// redactAttr removes secrets from an attribute of a log record, such as keys in URLs.
func redactAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(plain.Redact(v))
	case error:
		a.Value = slog.StringValue(plain.Redact(v.Error()))
	}
	return a
}

// logLevel returns the lowest level that is logged.
func logLevel(l config.Log) slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // checked by config
	return level
}
