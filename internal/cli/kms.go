package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// kmsCommand returns the command kms with its subcommands create, rotate and list. They work on key files of this
// machine and contact no server.
func (a *app) kmsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kms",
		Short: "Make, rotate and list encryption keys",
		Long: `Make, rotate and list the encryption keys of this machine. A key is a file of mode 0600; the settings name it:

  kms:
    keys: [{file: prompts.key, aliases: [prompts]}]

With that, s3EncryptionKeyId of a job may be alias/prompts, and clients of the embedded S3 may ask for aws:kms.
Keep a copy of each key file in another place: without it, what it encrypted is lost.`,
		Args: noCommand,
		RunE: printHelp,
	}
	cmd.AddCommand(a.kmsCreateCommand(), a.kmsRotateCommand(), a.kmsListCommand())
	return cmd
}

// kmsCreateCommand returns kms create. It prints the settings of the new key on stdout and never overwrites a
// file, because what a lost key encrypted is lost. Without --id the key gets a random UUID.
func (a *app) kmsCreateCommand() *cobra.Command {
	var id, alias string
	cmd := &cobra.Command{
		Use:   "create FILE",
		Short: "Make a key, write it to FILE, and print its settings",
		Long: `Make a key of 256 bits, write it to FILE, which must not exist, and print its settings. If the settings have keys already, add only the last line to
them.`,
		Example: `  batholith kms create prompts.key --alias prompts >> batholith.yaml`,
		Args:    arguments(1, 1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			aliases := "[]"
			if alias != "" {
				name, ok := kms.Alias(alias)
				if !ok {
					return &usageError{reason: fmt.Sprintf("%q is not an alias", alias), remedy: "use letters, digits, dashes, underscores and slashes"}
				}
				aliases = "[" + name + "]"
			}
			if id != "" && !kms.ValidID(id) {
				return &usageError{reason: fmt.Sprintf("%q is not the id of a key", id), remedy: "use letters, digits, dashes and underscores, at most 128"}
			}
			f, err := kms.Create(args[0], id, time.Now())
			if err != nil {
				return err
			}
			// The settings may be read from another folder, so the path is printed whole.
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			plain.Fprintf(a.stderr, "Made the key %s in %s. Keep a copy in another place. Its settings are:\n", f.ID, path)
			return writeLines(a.stdout, fmt.Sprintf("kms:\n  keys:\n    - {id: %s, aliases: %s, file: %q}", f.ID, aliases, path))
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the key (default: a random one)")
	cmd.Flags().StringVar(&alias, "alias", "", "alias to print with the settings")
	return cmd
}

// kmsRotateCommand returns kms rotate. Old versions stay in the file and still decrypt; data that they encrypted
// is not encrypted again. A running server reads the file before its next encryption.
func (a *app) kmsRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Add a version to a key, which encrypts from now on",
		Long: `Add a version to a key. The new version encrypts from now on, and the old ones still decrypt. A server that runs notices it.

KEY is an id, an alias or an ARN of a key in the settings, or the path of a key file.`,
		Example: `  batholith kms rotate alias/prompts
  batholith kms rotate ./prompts.key`,
		Args: arguments(1, 1, "KEY"),
	}
	s := a.bindSettings(cmd, "account", "region")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		path, err := a.keyFile(s, args[0])
		if err != nil {
			return err
		}
		f, err := kms.Rotate(path, time.Now())
		if err != nil {
			return err
		}
		plain.Fprintf(a.stderr, "The key %s in %s has %s now. Copy the file again: the old copy lacks the new version.\n",
			f.ID, path, words.Plural(int64(len(f.Versions)), "version"))
		return nil
	}
	return cmd
}

// keyFile returns the path of a key file. name is an id, an alias or an ARN of a key in the settings; otherwise it
// is taken as a path. A key of the settings comes first.
func (a *app) keyFile(s *settings, name string) (string, error) {
	c, err := a.loadBy(config.LoadClient, s)
	if err != nil {
		return "", err
	}
	// A name of the settings comes before a file of the same name. Without such a key, the error of the ring is
	// only returned if there is no file either.
	if len(c.KMS.Keys) > 0 {
		ring, err := c.Ring()
		if err == nil {
			var ref kms.Ref
			if ref, err = ring.Find(name); err == nil {
				for _, d := range ring.List() {
					if d.ID == ref.ID {
						return d.File, nil
					}
				}
			}
		}
		if _, serr := os.Stat(name); serr != nil {
			return "", err
		}
	}
	return name, nil
}

// kmsListCommand returns kms list. It reads the key files, so it fails if one of them is missing, damaged or
// readable for other users.
func (a *app) kmsListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys of the settings",
		Args:  arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "account", "region")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := a.loadBy(config.LoadClient, s)
		if err != nil {
			return err
		}
		ring, err := c.Ring()
		if err != nil {
			return err
		}
		return a.listKeys(ring, asJSON)
	}
	return cmd
}

// listedKey is a key as kms list --json prints it, with the number of its versions.
type listedKey struct {
	kms.Described
	Versions int       `json:"versions"`
	Rotated  time.Time `json:"rotated"` // when the newest version was made
}

// listKeys prints the keys of the ring in the order of the settings, one on a line or as JSON. The key material is
// never printed.
func (a *app) listKeys(ring *kms.Ring, asJSON bool) error {
	keys := []listedKey{}
	for _, d := range ring.List() {
		keys = append(keys, listedKey{d, len(d.Versions), d.Versions[len(d.Versions)-1].Created})
	}
	if asJSON {
		return a.printJSON(keys)
	}
	several := slices.ContainsFunc(keys, func(k listedKey) bool { return k.Account != keys[0].Account })
	for _, k := range keys {
		state := ""
		if k.Disabled {
			state = "  disabled"
		}
		if several {
			state += "  account " + k.Account
		}
		line := fmt.Sprintf("%s  %s  %s, newest of %s  %s%s", k.ID, strings.Join(k.Aliases, " "), words.Plural(int64(k.Versions), "version"), k.Rotated.Format(time.DateOnly), k.File, state)
		if err := writeLines(a.stdout, plain.Line(line)); err != nil {
			return err
		}
	}
	return nil
}
