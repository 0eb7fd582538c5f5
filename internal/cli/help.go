package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/words"
)

// helpCommand prints the help of a command. Unlike cobra's own, it fails for a command that does not exist.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		Long:  "Print the help of a command, as its flag --help does.",
		Example: `  batholith help run
  batholith help job pause`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			of, err := commandOf(cmd.Root(), args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range of.Commands() {
				if c.IsAvailableCommand() { // the shell drops those that do not begin with the word
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := commandOf(cmd.Root(), args)
			if err != nil {
				return err
			}
			of.InitDefaultHelpFlag() // so that the help lists the flag
			of.InitDefaultVersionFlag()
			return of.Help()
		},
	}
}

// commandOf returns the command with this path below root, or a usageError with the most similar command as its remedy.
func commandOf(root *cobra.Command, path []string) (*cobra.Command, error) {
	at := root
	for _, word := range path {
		next := subcommand(at, word)
		if next == nil {
			return nil, unknownCommand(at, word)
		}
		at = next
	}
	return at, nil
}

// subcommand returns the command with this name or alias, or nil.
func subcommand(parent *cobra.Command, name string) *cobra.Command {
	for _, c := range parent.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}

// unknownCommand returns a usageError for a word that is no command of parent, with the most similar command as its remedy.
func unknownCommand(parent *cobra.Command, word string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	see := parent
	if len(names) == 0 && parent.HasParent() { // it has no commands of its own
		see = parent.Parent()
	}
	reason := fmt.Sprintf("unknown command %q", word)
	if parent.HasParent() {
		reason = fmt.Sprintf("%s has no command %q", parent.CommandPath(), word)
	}
	if c := words.Closest(word, names); c != "" {
		return &usageError{reason: reason, remedy: fmt.Sprintf("did you mean: %s %s?", parent.CommandPath(), c)}
	}
	return &usageError{reason: reason, remedy: "see: " + see.CommandPath() + " --help"}
}

// noCommand refuses the arguments of a command that only has subcommands.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

// printHelp prints the help of a command that only has subcommands.
func printHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// firstWord returns the first argument that is not a flag, or "".
func firstWord(args []string) string {
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			return a
		}
	}
	return ""
}

// completionCommand prints the scripts of cobra for shells.
func (a *app) completionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script for bash, zsh, fish or PowerShell",
		Long: `Print the script with which a shell completes commands, flags, jobs and models of batholith.

SHELL is bash, zsh, fish or powershell. The help of each says how to load the script, as in: batholith completion bash --help`,
		Args: noCommand,
		RunE: printHelp,
	}
	for _, shell := range []struct {
		name, title, load string
		script            func(root *cobra.Command, described bool) error
	}{
		{"bash", "bash", `In this shell, with the package bash-completion installed:

  source <(batholith completion bash)

For every new shell, on Linux:

  batholith completion bash > /etc/bash_completion.d/batholith

and on macOS with Homebrew:

  batholith completion bash > $(brew --prefix)/etc/bash_completion.d/batholith`,
			func(root *cobra.Command, described bool) error {
				return root.GenBashCompletionV2(root.OutOrStdout(), described)
			}},
		{"zsh", "zsh", `In this shell, after "autoload -U compinit; compinit" (which belongs into ~/.zshrc):

  source <(batholith completion zsh)

For every new shell, on Linux:

  batholith completion zsh > "${fpath[1]}/_batholith"

and on macOS with Homebrew:

  batholith completion zsh > $(brew --prefix)/share/zsh/site-functions/_batholith`,
			func(root *cobra.Command, described bool) error {
				if !described {
					return root.GenZshCompletionNoDesc(root.OutOrStdout())
				}
				return root.GenZshCompletion(root.OutOrStdout())
			}},
		{"fish", "fish", `In this shell:

  batholith completion fish | source

For every new shell:

  batholith completion fish > ~/.config/fish/completions/batholith.fish`,
			func(root *cobra.Command, described bool) error {
				return root.GenFishCompletion(root.OutOrStdout(), described)
			}},
		{"powershell", "PowerShell", `In this shell:

  batholith completion powershell | Out-String | Invoke-Expression

For every new shell, add this line to your PowerShell profile.`,
			func(root *cobra.Command, described bool) error {
				if !described {
					return root.GenPowerShellCompletion(root.OutOrStdout())
				}
				return root.GenPowerShellCompletionWithDesc(root.OutOrStdout())
			}},
	} {
		var bare bool
		one := &cobra.Command{
			Use:   shell.name,
			Short: "Print the completion script for " + shell.title,
			Long:  "Print the completion script for " + shell.title + ". This is how to load it.\n\n" + shell.load,
			Args:  arguments(0, -1, ""),
			RunE:  func(cmd *cobra.Command, _ []string) error { return shell.script(cmd.Root(), !bare) },
		}
		one.Flags().BoolVar(&bare, "no-descriptions", false, "complete with words alone, without what they mean")
		c.AddCommand(one)
	}
	return c
}

// everyCommandHasHelpAll adds the flag --help-all to the commands without settings. It means --help there, so the help does not list it.
func everyCommandHasHelpAll(c *cobra.Command) {
	if c.Flags().Lookup("help-all") == nil {
		f := c.Flags().VarPF(&helpAll{cmd: c}, "help-all", "", "help with the flags of all settings")
		f.NoOptDefVal, f.Hidden = "true", true
	}
	for _, sub := range c.Commands() {
		everyCommandHasHelpAll(sub)
	}
}
