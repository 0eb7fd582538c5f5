package cli

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/spf13/cobra"
)

// Completions of a shell ask the server, so they have little time, and an error is no completion.
const (
	completionTime = 2 * time.Second
	completionJobs = 50 // the newest
)

// completeJobs completes the first argument of a command with the ids and names of jobs. keep selects jobs by their facts; nil: all.
func (a *app) completeJobs(cmd *cobra.Command, t *target, keep func(jobFacts) bool) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // of files, as DIR
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		c, err := a.connect(ctx, *t)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []cobra.Completion
		names := map[string]int{}
		for j, err := range c.list(ctx, &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(completionJobs)}) {
			if err != nil || len(words) >= 2*completionJobs {
				break
			}
			if keep != nil && !keep(j) {
				continue
			}
			about := string(j.Status) + ", " + age(j, time.Now())
			words = append(words, cobra.CompletionWithDesc(j.id(), j.Name+", "+about))
			if names[j.Name]++; names[j.Name] == 1 {
				words = append(words, cobra.CompletionWithDesc(j.Name, about))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeModels completes the flag --model with the ids that the server serves.
func (a *app) completeModels(cmd *cobra.Command, t *target) {
	_ = cmd.RegisterFlagCompletionFunc("model", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) { // fails for a flag that is not there: a test of the help finds it
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		c, err := a.connect(ctx, *t)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		o, err := c.bedrock.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []cobra.Completion
		for _, m := range o.ModelSummaries {
			ids = append(ids, cobra.CompletionWithDesc(aws.ToString(m.ModelId), aws.ToString(m.ProviderName)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeWords completes a flag with fixed words.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there, as above
}
