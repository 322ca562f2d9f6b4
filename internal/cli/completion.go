package cli

import (
	"io"

	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shell := func(name, install string, write func(root *cobra.Command, w io.Writer) error) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: "Completion for " + name, Args: want(), Example: install,
			ValidArgsFunction: cobra.NoFileCompletions,
			RunE:              func(cmd *cobra.Command, _ []string) error { return write(cmd.Root(), a.Stdout) },
		}
	}
	return group("completion", "Write a script that completes commands and flags",
		"Writes a script for a shell to stdout. Each shell's help says where to put it.",
		shell("bash", "  source <(lethe completion bash)\n  lethe completion bash > /etc/bash_completion.d/lethe",
			func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }),
		shell("zsh", "  lethe completion zsh > \"${fpath[1]}/_lethe\"",
			func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }),
		shell("fish", "  lethe completion fish > ~/.config/fish/completions/lethe.fish",
			func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }),
		shell("powershell", "  lethe completion powershell | Out-String | Invoke-Expression",
			func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }))
}
