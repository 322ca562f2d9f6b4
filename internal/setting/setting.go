// Package setting finds the configuration: defaults, a file, the environment, flags, the later ones winning.
//
//	var flags setting.Flags
//	flags.Register(root.PersistentFlags())
//	… // the flags are parsed
//	settings, err := setting.Load(&flags, os.Environ())
//	settings.Store                    // "./data"
//	settings.Source(setting.Store)    // "default", "file lethe.yaml", "environment LETHE_STORE", "flag --store"
//
// A setting has one key: the file uses it as it is, the environment in upper case behind LETHE_. Each value knows its
// source, and a fault names it. An unknown key is an error, in the file and in the environment: a setting that was
// misspelled must not pass for one that was made.
//
// A new setting is a field of Settings and a line of its table.
package setting

import (
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

// The keys of the settings.
const (
	Store    = "store"
	Output   = "output"
	Progress = "progress"
	Indexed  = "indexed_metadata"
)

// Settings are what holds for one run.
type Settings struct {
	Store    string   // folder of the store
	Output   string   // of show.Formats
	Progress string   // of show.Meters
	Indexed  []string // metadata keys; nil: as the store has them

	File string // that was read; empty: none

	sources map[string]string // by key
}

// known is what there is to know of one setting. It is a text, or a list of texts.
type known struct {
	key, flag, short, usage string
	initial                 string   // of a text; a list begins as none
	allowed                 []string // values of a text; none: any
	text                    *string  // where the value is kept, or
	list                    *[]string
}

// table lists the settings, in the order in which people see them.
func (s *Settings) table() []known {
	return []known{
		{key: Store, flag: "store", initial: "./data", text: &s.Store,
			usage: "the store: a folder (LETHE_STORE)"},
		{key: Output, flag: "output", short: "o", initial: show.Table, text: &s.Output, allowed: show.Formats(),
			usage: "table, json, jsonl or csv (LETHE_OUTPUT)"},
		{key: Progress, flag: "progress", initial: show.Auto, text: &s.Progress, allowed: show.Meters(),
			usage: "auto, plain or none (LETHE_PROGRESS)"},
		{key: Indexed, flag: "index-metadata", list: &s.Indexed,
			usage: "metadata keys to index, instead of those the store has (LETHE_INDEXED_METADATA)"},
	}
}

// Keys are the keys of all settings, in the order in which people see them.
func Keys() []string {
	var keys []string
	for _, k := range new(Settings).table() {
		keys = append(keys, k.key)
	}
	return keys
}

// Value is the value under a key: a string, or a []string that is nil where nothing is set. There is none under a key
// that is not known: nil.
func (s *Settings) Value(key string) any {
	for _, k := range s.table() {
		switch {
		case k.key != key:
		case k.text != nil:
			return *k.text
		default:
			return *k.list
		}
	}
	return nil
}

// Source is where the value under a key comes from: "default", "file NAME", "environment VARIABLE" or "flag --NAME".
func (s *Settings) Source(key string) string { return s.sources[key] }

// take checks a value and keeps it.
func (s *Settings) take(k known, value any) error {
	wanted := ""
	if k.text != nil {
		wanted = k.takeText(value)
	} else {
		wanted = k.takeList(value)
	}
	if wanted != "" {
		return event.Invalid("malformed_setting", "read %s: setting %s must be %s", s.sources[k.key], k.key, wanted)
	}
	return nil
}

// takeText says what is wanted where value is something else.
func (k known) takeText(value any) (wanted string) {
	text, ok := value.(string)
	if !ok || text == "" {
		return "a text"
	}
	if last := len(k.allowed) - 1; last >= 0 && !slices.Contains(k.allowed, text) {
		return strings.Join(k.allowed[:last], ", ") + " or " + k.allowed[last]
	}
	*k.text = text
	return ""
}

// takeList is takeText for a list of metadata keys.
func (k known) takeList(value any) (wanted string) {
	wanted = "a list of metadata keys"
	var list []string
	switch value := value.(type) {
	case nil:
	case []string:
		list = value
	case []any:
		list = make([]string, 0, len(value))
		for _, entry := range value {
			text, ok := entry.(string)
			if !ok {
				return wanted
			}
			list = append(list, text)
		}
	default:
		return wanted
	}
	for _, key := range list {
		if err := (event.Filter{{Metadata: map[string]string{key: ""}}}).Validate(); err != nil {
			return wanted + ": letters, digits or _ . - :, a letter first"
		}
	}
	*k.list = list
	return ""
}
