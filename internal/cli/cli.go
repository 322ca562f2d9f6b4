// Package cli is the command line of Lethe: it turns arguments and configuration into calls of the packages below,
// and what they answer into text. Package opening chooses the drivers.
//
//	os.Exit(cli.Main())
//
// The road of a command: cli.go builds the tree of commands, package setting finds the configuration, the command's
// own file (event.go, append.go, stream.go, …) opens the store through wiring.go and calls it, package show writes data
// on stdout in the format of -o, it and exit.go speak on stderr, and exit.go gives the exit code.
//
// What holds for every command: data on stdout, everything else on stderr; bad input changes nothing; no payload
// value enters an error; nothing is asked without a terminal; a command that reads never creates a store.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/internal/show"
)

// Env is what one run sees of the world.
type Env struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // KEY=value
	Clock          event.Clock
}

// Main runs the program as it was called and returns its exit code. An interrupt ends the command cleanly; a second
// one ends it at once.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	return Run(ctx, Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ: os.Environ(), Clock: event.SystemClock{},
	})
}

// Run runs one command and returns its exit code; exit.go lists them.
func Run(ctx context.Context, e Env) int {
	a := newApp(e)
	root := a.root()
	root.SetArgs(e.Args)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usage(err)
	}
	return a.fail(err)
}

// app is one run of the program.
type app struct {
	Env
	flags    setting.Flags
	settings setting.Settings // what holds: defaults, file, environment and flags
	out      show.Output      // where answers go, in the format that holds
	started  bool             // the command line was understood
	command  string           // such as "lethe event get"
	purpose  phrase.Opening   // flags of commands that read
	opening  event.Opening    // what they mean
	present  bool             // they read events in the present form of their type
	logged   bool             // it was said that a use was recorded
}

func newApp(e Env) *app {
	return &app{Env: e, out: show.Output{Stdout: e.Stdout, Stderr: e.Stderr, Clock: e.Clock}}
}

// load finds the settings.
func (a *app) load() (err error) {
	if a.settings, err = setting.Load(&a.flags, a.Environ); err != nil {
		return err
	}
	a.out.Format, a.out.Progress = a.settings.Output, a.settings.Progress
	a.out.Plain = setting.Variable(a.Environ, "NO_COLOR") != ""
	return nil
}

func (a *app) root() *cobra.Command {
	root := group("lethe", "The event store that can forget",
		`Lethe keeps events: an append-only, totally ordered, verifiable log in a folder, which one
process at a time uses, in a PostgreSQL database, which several do, or behind a server (lethe
serve), which many do.

Every command works on a store. --store names it: a folder, ./data unless given; the address of
a database, postgres://user@host/database, with ?schema=name where it holds several stores (the
password comes from PGPASSWORD or ~/.pgpass); or the address of a server, http(s)://host:port,
with /name behind it where it has several stores.
Data goes to stdout, everything else to stderr.

Exit codes: 0 ok · 1 error · 2 usage or refused · 3 not found · 4 conflict ·
5 denied · 6 unavailable · 7 verification failed · 8 partial`,
		a.eventCommand(), a.streamCommand(), a.importCommand(), a.serveCommand(), a.storeCommand(),
		a.devCommand(), a.benchCommand(), a.doctorCommand(), a.configCommand(),
		a.versionCommand(), a.completionCommand())
	root.AddCommand(a.office().Commands()...)
	root.Example = `  lethe dev --demo
  lethe event append --stream application/1 --type ApplicationRegistered --data '{"amount": 20000}'
  lethe event query --type ApplicationRegistered
  lethe stream show application/1`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		text := err.Error()
		var bad *pflag.InvalidValueError
		if errors.As(err, &bad) { // without the value: it may be a misplaced payload
			wanted := "a number"
			switch bad.GetFlag().Value.Type() {
			case "bool":
				wanted = "true or false"
			case "duration":
				wanted = "a duration, such as 10s"
			}
			text = "flag --" + bad.GetFlag().Name + " wants " + wanted
		}
		return event.Invalid("usage", "%s: %s", cmd.CommandPath(), text).Hint("see: %s --help", cmd.CommandPath())
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.started, a.command = true, cmd.CommandPath()
		if withoutSettings(cmd) {
			return nil
		}
		return a.load()
	}
	a.flags.Register(root.PersistentFlags())
	for name, values := range map[string][]string{"output": show.Formats(), "progress": show.Meters()} {
		complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
		if err := root.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic("a flag that was just made is there")
		}
	}
	return root
}

// withoutSettings tells which commands must work whatever the configuration says.
func withoutSettings(cmd *cobra.Command) bool {
	names := []string{cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd, "completion", "help"}
	return slices.Contains(names, cmd.Name()) || cmd.HasParent() && slices.Contains(names, cmd.Parent().Name())
}

// group is a command that only holds others.
func group(use, short, long string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		e := event.Invalid("usage", "%s: there is no such command", cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return e.Hint("did you mean: %s %s", cmd.CommandPath(), near[0])
		}
		return e.Hint("see: %s --help", cmd.CommandPath())
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(children...)
	return cmd
}

// want checks the number of arguments; a last name that ends in … may come more than once.
func want(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "…")
		if len(args) == len(names) || many && len(args) >= len(names) {
			return nil
		}
		wanted := strings.Join(names, " ")
		if wanted == "" {
			wanted = "no arguments"
		}
		return event.Invalid("usage", "%s: want %s, got %d arguments", cmd.CommandPath(), wanted, len(args)).
			Hint("see: %s --help", cmd.CommandPath())
	}
}

// atMostOne refuses flags that contradict each other.
func atMostOne(flags *pflag.FlagSet, names ...string) error {
	set := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !flags.Changed(name) })
	if len(set) > 1 {
		return event.Invalid("usage", "--%s does not go with --%s", set[1], set[0]).Hint("give one of them")
	}
	return nil
}

func number[N ~uint64](n N) string { return strconv.FormatUint(uint64(n), 10) }
