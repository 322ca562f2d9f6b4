package setting

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
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

const (
	envPrefix   = "LETHE_"
	envFile     = "LETHE_CONFIG"
	defaultFile = "lethe.yaml"
)

// Flags are the settings of the command line. The zero Flags give none.
type Flags struct {
	set   *pflag.FlagSet
	given Settings
	file  string
}

// Register adds the flags to those of a command.
func (f *Flags) Register(set *pflag.FlagSet) {
	f.set = set
	for _, k := range f.given.table() {
		if k.text != nil {
			set.StringVarP(k.text, k.flag, k.short, k.initial, k.usage)
		} else {
			set.StringSliceVarP(k.list, k.flag, k.short, nil, k.usage)
		}
	}
	set.StringVar(&f.file, "config", "", "configuration file; ./lethe.yaml if it is there (LETHE_CONFIG)")
}

// Output is the format that the command line asks for, allowed or not: for who must speak though Load failed.
func (f *Flags) Output() string { return f.given.Output }

// changed are the settings that the command line gives, and by which flags.
func (f *Flags) changed() (values map[string]any, flags map[string]string) {
	values, flags = make(map[string]any), make(map[string]string)
	for _, k := range f.given.table() {
		if f.set == nil || !f.set.Changed(k.flag) {
			continue
		}
		values[k.key], flags[k.key] = f.given.Value(k.key), "--"+k.flag
	}
	return values, flags
}

// layers gathers values, the later ones winning, and where each comes from.
type layers struct {
	all     *koanf.Koanf
	sources map[string]string
}

// add puts one layer on the others. source is where a key of it comes from; of the empty key, the layer as a whole.
func (l *layers) add(provider koanf.Provider, parser koanf.Parser, source func(key string) string) error {
	one := koanf.New(".")
	if err := one.Load(provider, parser); err != nil {
		return event.Invalid("malformed_config", "read %s: %s", source(""), show.OneLine(err.Error()))
	}
	for _, key := range one.Keys() {
		if !slices.Contains(Keys(), key) {
			return event.Invalid("unknown_setting", "read %s: there is no setting %s", source(key), key).
				Hint("known are %s", strings.Join(Keys(), ", "))
		}
		l.sources[key] = source(key)
	}
	return l.all.Merge(one)
}

// Load finds the settings. environ is the environment, entries KEY=value. Faults are event.ErrInvalid; a file that is
// named and cannot be read is the error of the file system.
func Load(flags *Flags, environ []string) (Settings, error) {
	file, text, err := configFile(flags.file, environ)
	if err != nil {
		return Settings{}, err
	}
	l := layers{koanf.New("."), make(map[string]string)}
	values, names := flags.changed()
	err = l.add(confmap.Provider(defaults(), "."), nil, func(string) string { return "default" })
	if err == nil && file != "" {
		err = l.add(rawbytes.Provider(text), yaml.Parser(), func(string) string { return "file " + file })
	}
	if err == nil {
		err = l.add(confmap.Provider(environment(environ), ""), nil, func(key string) string {
			return "environment " + envPrefix + strings.ToUpper(key)
		})
	}
	if err == nil {
		err = l.add(confmap.Provider(values, "."), nil, func(key string) string { return "flag " + names[key] })
	}
	if err != nil {
		return Settings{}, err
	}
	s := Settings{File: file, sources: l.sources}
	for _, k := range s.table() {
		if err := s.take(k, l.all.Get(k.key)); err != nil {
			return Settings{}, err
		}
	}
	return s, nil
}

func defaults() map[string]any {
	values := make(map[string]any)
	for _, k := range new(Settings).table() {
		if values[k.key] = nil; k.text != nil {
			values[k.key] = k.initial
		}
	}
	return values
}

// configFile reads the file that is named, by flag or else in the environment, or the one that lies here. Without
// one its name is empty.
func configFile(named string, environ []string) (name string, text []byte, err error) {
	if named == "" {
		named = Variable(environ, envFile)
	}
	if name = named; name == "" {
		name = defaultFile
	}
	text, err = os.ReadFile(name)
	if err != nil && named == "" && errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("read configuration: %w", err)
	}
	return name, text, nil
}

// environment gives LETHE_* as settings, known or not.
func environment(environ []string) map[string]any {
	lists := make(map[string]bool)
	for _, k := range new(Settings).table() {
		lists[k.key] = k.list != nil
	}
	values := make(map[string]any)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		key, ok := strings.CutPrefix(name, envPrefix)
		if !ok || name == envFile {
			continue
		}
		key = strings.ToLower(key)
		if values[key] = any(value); lists[key] {
			values[key] = splitList(value)
		}
	}
	return values
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

// Variable is a variable of the environment, entries KEY=value, of which the last counts; empty: there is none.
func Variable(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
