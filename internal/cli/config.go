package cli

import (
	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/internal/show"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Show and check the configuration",
		`The configuration comes from, later ones winning:

  1. defaults
  2. a YAML file: --config, else LETHE_CONFIG, else ./lethe.yaml if it is there
  3. the environment: LETHE_ and the setting in upper case, such as LETHE_STORE;
     a dot becomes _, as in LETHE_SERVE_LISTEN
  4. flags

An unknown setting is an error, in the file and in the environment. The settings:

`+setting.Describe(), a.configShowCommand(), a.configCheckCommand())
}

// settingLine is one line of config show.
type settingLine struct {
	Setting string `json:"setting"`
	Value   any    `json:"value"`
	Source  string `json:"source,omitempty"`
}

func (a *app) configShowCommand() *cobra.Command {
	sources := false
	cmd := &cobra.Command{
		Use: "show", Short: "Show the settings that hold", Args: want(),
		Long:    "Shows the settings that hold. Of a token it shows only that there is one.",
		Example: "  lethe config show --sources\n  LETHE_STORE=/srv/lethe lethe config show --sources -o json",
		RunE: func(*cobra.Command, []string) error {
			columns := []string{"setting", "value"}
			if sources {
				columns = append(columns, "source")
			}
			list := a.out.List(columns...)
			for _, key := range setting.Keys() {
				line := settingLine{Setting: key, Value: a.settings.Value(key)}
				cells := []string{key, a.settings.Text(key)}
				if text, ok := line.Value.(string); ok && (key == setting.Store || key == setting.Keystore) {
					line.Value, cells[1] = opening.Shown(text), opening.Shown(text)
				}
				if sources {
					line.Source = a.settings.Source(key)
					cells = append(cells, line.Source)
				}
				if err := list.Add(line, cells...); err != nil {
					return err
				}
			}
			return list.Close()
		},
	}
	cmd.Flags().BoolVar(&sources, "sources", false, "also show where each value comes from")
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check the configuration and end", Args: want(),
		Long: "Reads the configuration as every command does. A fault ends it with exit code 2\n" +
			"and names the file or variable it is in.",
		Example: "  lethe config check\n  lethe config check --config /etc/lethe.yaml",
		RunE: func(*cobra.Command, []string) error {
			file := a.settings.File
			if file == "" {
				file = "none"
			}
			return a.out.Single(struct {
				OK   bool   `json:"ok"`
				File string `json:"file"`
			}{true, a.settings.File}, show.Field{"ok", "true"}, show.Field{"file", file})
		},
	}
}
