package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
)

// Settings are known by these keys, in the file as they are, in the environment as LETHE_ and upper case.
const (
	keyStore    = "store"
	keyOutput   = "output"
	keyProgress = "progress"
	keyIndexed  = "indexed_metadata"
)

const (
	envPrefix   = "LETHE_"
	envConfig   = "LETHE_CONFIG"
	defaultFile = "lethe.yaml"
)

func settingKeys() []string { return []string{keyStore, keyOutput, keyProgress, keyIndexed} }

func outputFormats() []string { return []string{formatTable, formatJSON, formatJSONL, formatCSV} }

func progressKinds() []string { return []string{"auto", "plain", "none"} }

// settings are what holds for one run.
type settings struct {
	Store    string
	Output   string
	Progress string
	Indexed  []string // nil: as the store has it

	file   string            // that was read; empty: none
	source map[string]string // of each key
}

// given are the settings of the command line.
type given struct {
	flags                           *pflag.FlagSet
	store, output, progress, config string
	indexed                         []string
}

func (g *given) register(root *cobra.Command) {
	g.flags = root.PersistentFlags()
	g.flags.StringVar(&g.store, "store", "./data", "the store: a folder (LETHE_STORE)")
	g.flags.StringVarP(&g.output, "output", "o", formatTable, "table, json, jsonl or csv (LETHE_OUTPUT)")
	g.flags.StringVar(&g.progress, "progress", "auto", "auto, plain or none (LETHE_PROGRESS)")
	g.flags.StringVar(&g.config, "config", "", "configuration file; ./lethe.yaml if it is there (LETHE_CONFIG)")
	g.flags.StringSliceVar(&g.indexed, "index-metadata", nil,
		"metadata keys to index, instead of those the store has (LETHE_INDEXED_METADATA)")
	for name, values := range map[string][]string{"output": outputFormats(), "progress": progressKinds()} {
		complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
		if err := root.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic("a flag that was just made is there")
		}
	}
}

// changed are the settings that the command line gives, and the flags that do.
func (g *given) changed() (values map[string]any, flags map[string]string) {
	values, flags = make(map[string]any), make(map[string]string)
	take := func(flag, key string, value any) {
		if g.flags.Changed(flag) {
			values[key], flags[key] = value, "--"+flag
		}
	}
	take("store", keyStore, g.store)
	take("output", keyOutput, g.output)
	take("progress", keyProgress, g.progress)
	take("index-metadata", keyIndexed, g.indexed)
	return values, flags
}

// load finds the settings: defaults, then the file, then the environment, then flags.
func (a *app) load() error {
	s := settings{source: make(map[string]string)}
	k := koanf.New(".")
	layer := func(provider koanf.Provider, parser koanf.Parser, source func(key string) string) error {
		one := koanf.New(".")
		if err := one.Load(provider, parser); err != nil {
			return event.Invalid("malformed_config", "read %s: %s", source(""), oneLine(err.Error()))
		}
		for _, key := range one.Keys() {
			if !slices.Contains(settingKeys(), key) {
				return event.Invalid("unknown_setting", "read %s: there is no setting %s", source(key), key).
					Hint("known are %s", strings.Join(settingKeys(), ", "))
			}
			s.source[key] = source(key)
		}
		return k.Merge(one)
	}
	text, err := a.configFile(&s)
	if err != nil {
		return err
	}
	values, flags := a.given.changed()
	defaults := map[string]any{keyStore: "./data", keyOutput: formatTable, keyProgress: "auto", keyIndexed: nil}
	err = layer(confmap.Provider(defaults, "."), nil, func(string) string { return "default" })
	if err == nil && s.file != "" {
		err = layer(rawbytes.Provider(text), yaml.Parser(), func(string) string { return "file " + s.file })
	}
	if err == nil {
		err = layer(a.environment(), nil, func(key string) string {
			return "environment " + envPrefix + strings.ToUpper(key)
		})
	}
	if err == nil {
		err = layer(confmap.Provider(values, "."), nil, func(key string) string { return "flag " + flags[key] })
	}
	if err != nil {
		return err
	}
	return a.take(k, s)
}

// configFile reads the file that is named, or the one that lies here.
func (a *app) configFile(s *settings) ([]byte, error) {
	s.file = a.given.config
	if s.file == "" {
		s.file = a.env(envConfig)
	}
	named := s.file != ""
	if !named {
		s.file = defaultFile
	}
	text, err := os.ReadFile(s.file)
	if err != nil && !named && errors.Is(err, fs.ErrNotExist) {
		s.file = ""
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return text, nil
}

// environment gives LETHE_* as settings.
func (a *app) environment() koanf.Provider {
	values := make(map[string]any)
	for _, entry := range a.Environ {
		name, value, _ := strings.Cut(entry, "=")
		key, ok := strings.CutPrefix(name, envPrefix)
		if !ok || name == envConfig {
			continue
		}
		key = strings.ToLower(key)
		if values[key] = any(value); key == keyIndexed {
			values[key] = splitList(value)
		}
	}
	return confmap.Provider(values, "")
}

func splitList(text string) []string {
	list := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// take checks the values and makes them hold.
func (a *app) take(k *koanf.Koanf, s settings) error {
	malformed := func(key, wanted string) error {
		return event.Invalid("malformed_setting", "read %s: setting %s must be %s", s.source[key], key, wanted)
	}
	text := func(key string, to *string, allowed ...string) error {
		value, ok := k.Get(key).(string)
		if !ok || value == "" {
			return malformed(key, "a text")
		}
		if len(allowed) > 0 && !slices.Contains(allowed, value) {
			return malformed(key, strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1])
		}
		*to = value
		return nil
	}
	if err := text(keyOutput, &s.Output, outputFormats()...); err != nil {
		return err
	}
	if err := text(keyStore, &s.Store); err != nil {
		return err
	}
	if err := text(keyProgress, &s.Progress, progressKinds()...); err != nil {
		return err
	}
	switch list := k.Get(keyIndexed).(type) {
	case nil:
	case []string:
		s.Indexed = list
	case []any:
		s.Indexed = make([]string, 0, len(list))
		for _, entry := range list {
			key, ok := entry.(string)
			if !ok {
				return malformed(keyIndexed, "a list of metadata keys")
			}
			s.Indexed = append(s.Indexed, key)
		}
	default:
		return malformed(keyIndexed, "a list of metadata keys")
	}
	for _, key := range s.Indexed {
		if err := (event.Filter{{Metadata: map[string]string{key: ""}}}).Validate(); err != nil {
			return malformed(keyIndexed, "a list of metadata keys: letters, digits or _ . - :, a letter first")
		}
	}
	a.settings = s
	return nil
}
