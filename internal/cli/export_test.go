package cli

import "github.com/spf13/cobra"

// Root is the tree of commands, for tests that look at all of them.
func Root(e Env) *cobra.Command { return newApp(e).root() }

// Tell is what an error is shown as, and the exit code.
func Tell(err error) (code, message, next string, exit int) {
	t, exit := newApp(Env{}).tell(err)
	return t.Code, t.Message, t.Next, exit
}
