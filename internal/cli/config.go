package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Show and check the configuration",
		`The configuration comes from, later ones winning:

  1. defaults
  2. a YAML file: --config, else LETHE_CONFIG, else ./lethe.yaml if it is there
  3. the environment: LETHE_ and the setting in upper case, such as LETHE_STORE
  4. flags

An unknown setting is an error, in the file and in the environment. The settings:

  store             folder of the store, relative to where the command runs
  output            table, json, jsonl or csv
  progress          auto, plain or none
  indexed_metadata  metadata keys to index; not given: as the store has them`,
		a.configShowCommand(), a.configCheckCommand())
}

// setting is one line of config show.
type setting struct {
	Setting string `json:"setting"`
	Value   any    `json:"value"`
	Source  string `json:"source,omitempty"`
}

func (a *app) configShowCommand() *cobra.Command {
	sources := false
	cmd := &cobra.Command{
		Use: "show", Short: "Show the settings that hold", Args: want(),
		Example: "  lethe config show --sources\n  LETHE_STORE=/srv/lethe lethe config show --sources -o json",
		RunE: func(*cobra.Command, []string) error {
			columns := []string{"setting", "value"}
			if sources {
				columns = append(columns, "source")
			}
			list := a.list(columns...)
			values := map[string]any{keyStore: a.settings.Store, keyOutput: a.settings.Output,
				keyProgress: a.settings.Progress, keyIndexed: a.settings.Indexed}
			for _, key := range settingKeys() {
				line := setting{Setting: key, Value: values[key]}
				text, ok := values[key].(string)
				if !ok {
					text = strings.Join(a.settings.Indexed, ",")
				}
				if key == keyIndexed && a.settings.Indexed == nil {
					line.Value, text = nil, "(as the store has them)"
				}
				cells := []string{key, text}
				if sources {
					line.Source = a.settings.source[key]
					cells = append(cells, line.Source)
				}
				if err := list.add(line, cells...); err != nil {
					return err
				}
			}
			return list.close()
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
			file := a.settings.file
			if file == "" {
				file = "none"
			}
			return a.single(struct {
				OK   bool   `json:"ok"`
				File string `json:"file"`
			}{true, a.settings.file}, field{"ok", "true"}, field{"file", file})
		},
	}
}
