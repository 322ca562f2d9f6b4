// Package setting finds the configuration: defaults, a file, the environment, flags, the later ones winning.
//
//	var flags setting.Flags
//	flags.Register(root.PersistentFlags())
//	flags.RegisterServe(serve.Flags())
//	… // the flags are parsed
//	settings, err := setting.Load(&flags, os.Environ())
//	settings.Store                    // "./data"
//	settings.Source(setting.Store)    // "default", "file lethe.yaml", "environment LETHE_STORE", "flag --store"
//
// A setting has one key: the file uses it as it is, nested where it has dots; the environment in upper case behind
// LETHE_, with _ for dots. Each value knows its source, and a fault names it. An unknown key is an error, in the file
// and in the environment: a setting that was misspelled must not pass for one that was made.
//
// A new setting is a field of Settings and a line of its table.
package setting

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

// The keys of settings that somebody asks for by key.
const (
	Store     = "store"
	Token     = "token"
	TokenFile = "token_file"
	Indexed   = "indexed_metadata"
	Stores    = "serve.stores"
	KMS       = "kms"
	Keystore  = "keys"
)

// Settings are what holds for one run.
type Settings struct {
	Store     string   // folder of the store, or address of a database or server
	Output    string   // of show.Formats
	Progress  string   // of show.Meters
	Indexed   []string // metadata keys; nil: as the store has them
	Token     string   // for a server; ask Bearer, which also reads the file
	TokenFile string   // holds the token
	CAFile    string   // PEM: whom to trust beside those whom the machine trusts
	Actor     string   // kind/id of who opens personal data
	Keys      string   // folder or database of the keystore; empty: beside the log
	KMS       Service  // which key service, and how to get in
	Serve     Serve

	File string // that was read; empty: none

	sources map[string]string // by key
}

// Service are the settings of the key service.
type Service struct {
	Address                     string        // local:FOLDER, vault:https://host:8200/mount, or none
	PassphraseFile              string        // of a folder
	TokenFile                   string        // of Vault
	RoleID, RoleFile, RoleMount string        // of Vault's AppRole: role, file with its secret id, mount of the method
	Horizon                     time.Duration // how long backups of the key service live; 0: not stated
}

// Serve are the settings of a server. Zero numbers and durations mean the server's own default.
type Serve struct {
	Listen      string   // HOST:PORT
	Stores      []string // NAME=FOLDER, or one FOLDER
	Create      bool     // make stores that are not there
	Cert, Key   string   // files
	NoTokens    bool
	Origins     []string
	LogLevel    string // of LogLevels
	LogFormat   string // of LogFormats
	AddressFile string // gets the address once the server answers

	MaxStreams, MaxStreamsOfToken, MaxCalls, MaxConnections, MaxMessageBytes, MaxBufferBytes, Burst int

	Rate                                  float64 // calls per second with one token
	Header, Body, Stall, Heartbeat, Drain time.Duration
}

// LogLevels are the levels from which on a server logs.
func LogLevels() []string { return []string{"debug", "info", "warn", "error"} }

// LogFormats are the forms of a server's log.
func LogFormats() []string { return []string{"text", "json"} }

// known is what there is to know of one setting.
type known struct {
	key, flag, short string
	usage            string
	field            any      // where the value is kept: *string, *[]string, *bool, *int, *float64 or *time.Duration
	initial          string   // of a text
	allowed          []string // values of a text; none: any
	metadata         bool     // a list of metadata keys
	unset            string   // how it is shown where nothing is set
}

// serving tells settings of the server: their flags are those of one command.
func (k known) serving() bool { return strings.HasPrefix(k.key, "serve.") }

// variable is the name of a setting in the environment.
func (k known) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.key, ".", "_"))
}

// table lists the settings, in the order in which people see them.
func (s *Settings) table() []known {
	const none = "(none)"
	return append([]known{
		{key: Store, flag: "store", initial: "./data", field: &s.Store,
			usage: "a folder, postgres://… of a database, or http(s)://… of a server"},
		{key: "output", flag: "output", short: "o", initial: show.Table, field: &s.Output, allowed: show.Formats(),
			usage: "table, json, jsonl or csv"},
		{key: "progress", flag: "progress", initial: show.Auto, field: &s.Progress, allowed: show.Meters(),
			usage: "auto, plain or none"},
		{key: Indexed, flag: "index-metadata", field: &s.Indexed, metadata: true,
			unset: "(as the store has them)", usage: "metadata keys to index, instead of those the store has"},
		{key: Token, field: &s.Token, unset: none, usage: "the token for a server; in the environment only"},
		{key: TokenFile, flag: "token-file", field: &s.TokenFile, unset: none,
			usage: "file with the token for a server; nobody else may read it"},
		{key: "ca_file", flag: "ca-file", field: &s.CAFile, unset: none,
			usage: "PEM file of certificates to trust as well"},
		{key: "actor", field: &s.Actor, unset: none,
			usage: "who opens personal data, kind/id, where no --actor says it"},
		{key: Keystore, flag: "keys", field: &s.Keys, unset: "(beside the log)",
			usage: "folder or postgres://… of the keystore, instead of beside the log"},
	}, append(s.KMS.table(), s.Serve.table()...)...)
}

func (s *Service) table() []known {
	const none = "(none)"
	return []known{
		{key: KMS, flag: "kms", field: &s.Address, unset: none,
			usage: "key service: local:FOLDER, vault:https://host:8200/mount, or none"},
		{key: "kms_passphrase_file", flag: "kms-passphrase-file", field: &s.PassphraseFile, unset: none,
			usage: "file with the passphrase of the key folder; nobody else may read it"},
		{key: "kms_token_file", flag: "kms-token-file", field: &s.TokenFile, unset: none,
			usage: "file with the token for Vault; nobody else may read it"},
		{key: "kms_role", field: &s.RoleID, unset: none, usage: "role with which to log in at Vault, instead of a token"},
		{key: "kms_role_file", field: &s.RoleFile, unset: none, usage: "file with the secret id of that role"},
		{key: "kms_role_mount", field: &s.RoleMount, unset: "approle", usage: "where Vault has the method approle"},
		{key: "kms_horizon", field: &s.Horizon, unset: "(not stated)",
			usage: "how long backups of the key service live, such as 720h"},
	}
}

func (s *Serve) table() []known {
	const none, own = "(none)", "(default)"
	return []known{
		{key: "serve.listen", flag: "listen", initial: "127.0.0.1:7070", field: &s.Listen,
			usage: "`HOST:PORT` to listen on; port 0: any that is free"},
		{key: Stores, flag: "store", field: &s.Stores, unset: none,
			usage: "a store, `NAME=FOLDER`; may be repeated; FOLDER alone is main"},
		{key: "serve.create", flag: "create", field: &s.Create, usage: "make stores that are not there"},
		{key: "serve.tls_cert", flag: "tls-cert", field: &s.Cert, unset: none, usage: "PEM `file` of the certificate"},
		{key: "serve.tls_key", flag: "tls-key", field: &s.Key, unset: none, usage: "PEM `file` of its key"},
		{key: "serve.no_tokens", flag: "no-tokens", field: &s.NoTokens,
			usage: "let every caller do everything; on this machine only"},
		{key: "serve.allow_origin", flag: "allow-origin", field: &s.Origins, unset: none,
			usage: "a site whose pages may call; may be repeated"},
		{key: "serve.log_level", flag: "log-level", initial: "info", field: &s.LogLevel, allowed: LogLevels(),
			usage: "debug, info, warn or error"},
		{key: "serve.log_format", flag: "log-format", initial: "text", field: &s.LogFormat, allowed: LogFormats(),
			usage: "text or json"},
		{key: "serve.address_file", flag: "address-file", field: &s.AddressFile, unset: none,
			usage: "`file` that holds the address while calls are answered"},
		{key: "serve.max_streams", flag: "max-streams", field: &s.MaxStreams, unset: own, usage: "subscriptions at once"},
		{key: "serve.max_streams_of_token", field: &s.MaxStreamsOfToken, unset: own,
			usage: "subscriptions at once with one token"},
		{key: "serve.max_calls", flag: "max-calls", field: &s.MaxCalls, unset: own, usage: "calls at once"},
		{key: "serve.max_connections", field: &s.MaxConnections, unset: own, usage: "connections at once"},
		{key: "serve.max_message_bytes", field: &s.MaxMessageBytes, unset: own, usage: "bytes of one message"},
		{key: "serve.max_buffer_bytes", field: &s.MaxBufferBytes, unset: own, usage: "bytes of all messages at once"},
		{key: "serve.rate", flag: "rate", field: &s.Rate, unset: own,
			usage: "calls per second with one token; without it there is no limit"},
		{key: "serve.burst", field: &s.Burst, unset: own, usage: "calls at once above the rate"},
		{key: "serve.header_timeout", field: &s.Header, unset: own, usage: "for sending the headers of a call"},
		{key: "serve.body_timeout", field: &s.Body, unset: own, usage: "for sending the rest of it"},
		{key: "serve.stall_timeout", field: &s.Stall, unset: own, usage: "a subscriber that takes nothing so long is cut"},
		{key: "serve.heartbeat", field: &s.Heartbeat, unset: own, usage: "a subscription gives a sign at least so often"},
		{key: "serve.drain", flag: "drain", field: &s.Drain, unset: own, usage: "for finishing open calls at the end"},
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

// Describe is a line for each setting: its key, and what it is.
func Describe() string {
	var b strings.Builder
	for _, k := range new(Settings).table() {
		fmt.Fprintf(&b, "  %-27s %s\n", k.key, strings.ReplaceAll(k.usage, "`", ""))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Value is the value under a key, for programs: nil where nothing is set or the key is not known. Of the token it tells
// only that there is one.
func (s *Settings) Value(key string) any {
	for _, k := range s.table() {
		if k.key == key && k.isSet() {
			return k.value()
		}
	}
	return nil
}

// Text is the value under a key, for people.
func (s *Settings) Text(key string) string {
	for _, k := range s.table() {
		switch {
		case k.key != key:
		case !k.isSet():
			return k.unset
		default:
			if list, ok := k.value().([]string); ok {
				return strings.Join(list, ",")
			}
			return fmt.Sprint(k.value())
		}
	}
	return ""
}

// Source is where the value under a key comes from: "default", "file NAME", "environment VARIABLE" or "flag --NAME".
func (s *Settings) Source(key string) string { return s.sources[key] }

// isSet tells whether there is a value to show. A bool always is one.
func (k known) isSet() bool {
	switch field := k.field.(type) {
	case *string:
		return *field != ""
	case *[]string:
		return *field != nil
	case *int:
		return *field != 0
	case *float64:
		return *field != 0
	case *time.Duration:
		return *field != 0
	}
	return true
}

// value is what is kept, as it may be shown.
func (k known) value() any {
	switch field := k.field.(type) {
	case *string:
		if k.key == Token {
			return "(set)"
		}
		return *field
	case *[]string:
		return *field
	case *bool:
		return *field
	case *int:
		return *field
	case *float64:
		return *field
	case *time.Duration:
		return field.String()
	}
	return nil
}

// take checks a value and keeps it.
func (s *Settings) take(k known, value any) error {
	wanted := ""
	switch field := k.field.(type) {
	case *string:
		wanted = k.takeText(field, value)
	case *[]string:
		wanted = k.takeList(field, value)
	case *bool:
		wanted = takeAs(field, value, "true or false", strconv.ParseBool)
	case *int:
		wanted = takeAs(field, value, "a whole number above 0", func(text string) (int, error) {
			n, err := strconv.Atoi(text)
			return n, above(n > 0, err)
		})
	case *float64:
		wanted = takeAs(field, value, "a number above 0", func(text string) (float64, error) {
			n, err := strconv.ParseFloat(text, 64)
			return n, above(n > 0, err)
		})
	case *time.Duration:
		wanted = takeAs(field, value, "a duration above 0, such as 10s", func(text string) (time.Duration, error) {
			d, err := time.ParseDuration(text)
			return d, above(d > 0, err)
		})
	}
	if wanted != "" {
		return event.Invalid("malformed_setting", "read %s: setting %s must be %s", s.sources[k.key], k.key, wanted)
	}
	return nil
}

func above(zero bool, err error) error {
	if err == nil && !zero {
		return strconv.ErrRange
	}
	return err
}

// takeAs reads a value that may stand as a text; nil is none. It says what is wanted where value is something else.
func takeAs[T any](field *T, value any, wanted string, parse func(string) (T, error)) string {
	if value == nil {
		return ""
	}
	v, err := parse(fmt.Sprint(value))
	if err != nil {
		return wanted
	}
	*field = v
	return ""
}

// takeText is takeAs for a text. One without a default may be empty: then it is not set.
func (k known) takeText(field *string, value any) (wanted string) {
	text, ok := value.(string)
	if k.initial == "" && (value == nil || ok && text == "") {
		return ""
	}
	if !ok || text == "" {
		return "a text"
	}
	if last := len(k.allowed) - 1; last >= 0 && !slices.Contains(k.allowed, text) {
		return strings.Join(k.allowed[:last], ", ") + " or " + k.allowed[last]
	}
	*field = text
	return ""
}

// takeList is takeAs for a list of texts.
func (k known) takeList(field *[]string, value any) (wanted string) {
	wanted = "a list of texts"
	if k.metadata {
		wanted = "a list of metadata keys"
	}
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
		if k.metadata && (event.Filter{{Metadata: map[string]string{key: ""}}}).Validate() != nil {
			return wanted + ": letters, digits or _ . - :, a letter first"
		}
	}
	*field = list
	return ""
}
