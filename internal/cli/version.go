package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// Set by the linker, where a release is built:
//
//	go build -ldflags "-X github.com/lethe-es/lethe/internal/cli.version=v1.2.3" ./cmd/lethe
var (
	version string
	commit  string
)

// build is what the binary knows of itself.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	SQLite  string `json:"sqlite"`
}

func thisBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), SQLite: sqlite.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	modified := false
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if commit == "" && b.Commit != "" && modified {
		b.Commit += " with changes"
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of Lethe and of what it is built with", Args: want(),
		Example: "  lethe version\n  lethe version -o json",
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			return a.out.Single(b, show.Field{"version", b.Version}, show.Field{"commit", b.Commit}, show.Field{"go", b.Go},
				show.Field{"sqlite", b.SQLite})
		},
	}
}
