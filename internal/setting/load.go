package setting

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	sets  [2]*pflag.FlagSet // of every command, of the server
	given Settings
	file  string
}

// Register adds the flags that every command has.
func (f *Flags) Register(set *pflag.FlagSet) {
	f.register(set, 0)
	set.StringVar(&f.file, "config", "", "configuration file; ./lethe.yaml if it is there (LETHE_CONFIG)")
}

// RegisterServe adds the flags of a server. Its --store is another than that of every command.
func (f *Flags) RegisterServe(set *pflag.FlagSet) { f.register(set, 1) }

func (f *Flags) register(set *pflag.FlagSet, which int) {
	f.sets[which] = set
	for _, k := range f.given.table() {
		if k.flag == "" || k.serving() != (which == 1) {
			continue
		}
		usage := k.usage + " (" + k.variable() + ")"
		switch field := k.field.(type) {
		case *string:
			set.StringVarP(field, k.flag, k.short, k.initial, usage)
		case *[]string:
			if k.metadata {
				set.StringSliceVar(field, k.flag, nil, usage)
			} else {
				set.StringArrayVar(field, k.flag, nil, usage)
			}
		case *bool:
			set.BoolVar(field, k.flag, false, usage)
		case *int:
			set.IntVar(field, k.flag, 0, usage)
		case *float64:
			set.Float64Var(field, k.flag, 0, usage)
		case *time.Duration:
			set.DurationVar(field, k.flag, 0, usage)
		}
	}
}

// Output is the format that the command line asks for, allowed or not: for who must speak though Load failed.
func (f *Flags) Output() string { return f.given.Output }

// changed are the settings that the command line gives, and by which flags.
func (f *Flags) changed() (values map[string]any, flags map[string]string) {
	values, flags = make(map[string]any), make(map[string]string)
	for _, k := range f.given.table() {
		set := f.sets[0]
		if k.serving() {
			set = f.sets[1]
		}
		if k.flag != "" && set != nil && set.Changed(k.flag) {
			values[k.key], flags[k.key] = k.value(), "--"+k.flag
		}
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
	for key := range one.Raw() {
		if strings.Contains(key, ".") { // beside the nested one it would be a second
			return event.Invalid("malformed_config", "read %s: key %s has a dot", source(key), key).
				Hint("nest it, as in serve: {listen: ...}")
		}
	}
	for _, key := range one.Keys() {
		if !slices.Contains(Keys(), key) {
			return event.Invalid("unknown_setting", "read %s: there is no setting %s", source(key), key).
				Hint("known are %s", strings.Join(beside(key), ", "))
		}
		l.sources[key] = source(key)
	}
	return l.all.Merge(one)
}

// beside are the keys that a misspelled one may have meant.
func beside(key string) []string {
	const server = "serve."
	if strings.HasPrefix(strings.ReplaceAll(key, "_", "."), server) {
		return slices.DeleteFunc(Keys(), func(k string) bool { return !strings.HasPrefix(k, server) })
	}
	general := slices.DeleteFunc(Keys(), func(k string) bool { return strings.HasPrefix(k, server) })
	return append(general, server+"…")
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
	err = l.add(confmap.Provider(defaults(environ), "."), nil, func(string) string { return "default" })
	if err == nil && file != "" {
		err = l.add(rawbytes.Provider(text), yaml.Parser(), func(string) string { return "file " + file })
	}
	if err == nil && l.sources[Token] != "default" {
		err = event.Invalid("exposed_token", "read file %s: a token does not belong there", file).
			Hint("put it into a file of its own, which nobody else may read, and name that as token_file")
	}
	if err == nil {
		values, variables := environment(environ)
		err = l.add(confmap.Provider(values, "."), nil, func(key string) string { return "environment " + variables[key] })
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

func defaults(environ []string) map[string]any {
	values := make(map[string]any)
	for _, k := range new(Settings).table() {
		if values[k.key] = nil; k.initial != "" {
			values[k.key] = k.initial
		}
	}
	values[KMS] = keyFolder(environ)
	return values
}

// keyFolder is the key service of who names none: a folder beside the user's other settings, which no store lies in.
func keyFolder(environ []string) string {
	dir := Variable(environ, "XDG_CONFIG_HOME")
	if home := Variable(environ, "HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return "local:"
	}
	return "local:" + filepath.Join(dir, "lethe", "keys")
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

// environment gives LETHE_* as settings, known or not, and the variable of each.
func environment(environ []string) (values map[string]any, variables map[string]string) {
	byVariable := make(map[string]known)
	for _, k := range new(Settings).table() {
		byVariable[k.variable()] = k
	}
	values, variables = make(map[string]any), make(map[string]string)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		misspelled, ok := strings.CutPrefix(name, envPrefix)
		if !ok || name == envFile {
			continue
		}
		k, ok := byVariable[name]
		key := k.key
		if !ok {
			key = strings.ToLower(misspelled)
		}
		variables[key] = name
		if values[key] = any(value); ok && isList(k) {
			values[key] = splitList(value)
		}
	}
	return values, variables
}

func isList(k known) bool {
	_, ok := k.field.(*[]string)
	return ok
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
