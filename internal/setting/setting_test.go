package setting_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
)

// load finds the settings in a folder of its own, in which the named files lie.
func load(t *testing.T, files map[string]string, environ []string, args ...string) (setting.Settings, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var flags setting.Flags
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Register(set)
	serve := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.RegisterServe(serve)
	serve.VisitAll(func(f *pflag.Flag) { // as a command does, whose own flag covers the general one
		if set.Lookup(f.Name) == nil {
			set.AddFlag(f)
		}
	})
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return setting.Load(&flags, environ)
}

// shown are the values and sources of settings that do not come from the defaults, by key.
func shown(s setting.Settings) map[string][2]any {
	all := make(map[string][2]any)
	for _, key := range setting.Keys() {
		if source := s.Source(key); source != "default" {
			all[key] = [2]any{s.Value(key), source}
		}
	}
	return all
}

func TestDefaults(t *testing.T) {
	s, err := load(t, nil, []string{"PATH=/bin", "HOME=/home/ada"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][2]any{}, shown(s)); diff != "" || s.File != "" {
		t.Errorf("from file %q (-want +got):\n%s", s.File, diff)
	}
	want := map[string]any{
		"store": "./data", "output": "table", "progress": "auto", "serve.listen": "127.0.0.1:7070",
		"kms":          "local:/home/ada/.config/lethe/keys",
		"serve.create": false, "serve.no_tokens": false, "serve.log_level": "info", "serve.log_format": "text",
	}
	for _, key := range setting.Keys() {
		if diff := cmp.Diff(want[key], s.Value(key)); diff != "" || s.Source(key) != "default" {
			t.Errorf("%s from %s (-want +got):\n%s", key, s.Source(key), diff)
		}
		if s.Text(key) == "" {
			t.Errorf("%s is shown as nothing", key)
		}
	}
	if s.Value("stoer") != nil || s.Source("stoer") != "" || s.Text("stoer") != "" {
		t.Error("there is a value under a key that is not known")
	}
	for line := range strings.Lines(setting.Describe()) {
		if len(line) > 120 || !strings.HasPrefix(line, "  ") {
			t.Errorf("a setting is described by %q", line)
		}
	}
}

// TestLaterWins: each layer covers the ones before, value by value, and says so.
func TestLaterWins(t *testing.T) {
	files := map[string]string{"lethe.yaml": "store: /file\noutput: json\nprogress: none\nindexed_metadata: [a, b]\n"}
	environ := []string{"LETHE_OUTPUT=jsonl", "LETHE_PROGRESS=auto", "LETHE_PROGRESS=plain",
		"LETHE_INDEXED_METADATA=c, d,"}
	s, err := load(t, files, environ, "-o", "csv", "--index-metadata", "e,f")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]any{
		"store": {"/file", "file lethe.yaml"}, "output": {"csv", "flag --output"},
		"progress":         {"plain", "environment LETHE_PROGRESS"},
		"indexed_metadata": {[]string{"e", "f"}, "flag --index-metadata"},
	}
	if diff := cmp.Diff(want, shown(s)); diff != "" || s.File != "lethe.yaml" {
		t.Errorf("from file %q (-want +got):\n%s", s.File, diff)
	}
	s, err = load(t, files, environ)
	if err != nil || !cmp.Equal(s.Indexed, []string{"c", "d"}) || s.Output != "jsonl" {
		t.Errorf("without flags: %v, %s, %v", s.Indexed, s.Output, err)
	}
	s, err = load(t, nil, []string{"LETHE_INDEXED_METADATA="})
	if err != nil || s.Indexed == nil || len(s.Indexed) > 0 {
		t.Errorf("an empty list is not no list: %v, %v", s.Indexed, err)
	}
}

// TestServe: the settings of a server come by the same ways, whatever they are made of.
func TestServe(t *testing.T) {
	files := map[string]string{"lethe.yaml": `
store: /general
serve:
  listen: 127.0.0.1:1
  stores: [a=./a, b=./b]
  create: true
  rate: 100
  max_streams: 20
  drain: 5s
`}
	s, err := load(t, files, []string{"LETHE_SERVE_LISTEN=127.0.0.1:2", "LETHE_SERVE_STALL_TIMEOUT=1m30s",
		"LETHE_SERVE_ALLOW_ORIGIN=https://a, https://b"}, "--listen", "127.0.0.1:3", "--no-tokens", "--rate=2.5")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]any{
		"store": {"/general", "file lethe.yaml"}, "serve.listen": {"127.0.0.1:3", "flag --listen"},
		"serve.stores": {[]string{"a=./a", "b=./b"}, "file lethe.yaml"}, "serve.create": {true, "file lethe.yaml"},
		"serve.no_tokens": {true, "flag --no-tokens"}, "serve.rate": {2.5, "flag --rate"},
		"serve.max_streams": {20, "file lethe.yaml"}, "serve.drain": {"5s", "file lethe.yaml"},
		"serve.stall_timeout": {"1m30s", "environment LETHE_SERVE_STALL_TIMEOUT"},
		"serve.allow_origin":  {[]string{"https://a", "https://b"}, "environment LETHE_SERVE_ALLOW_ORIGIN"},
	}
	if diff := cmp.Diff(want, shown(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Serve.Drain != 5*time.Second || s.Serve.MaxCalls != 0 || s.Text("serve.stores") != "a=./a,b=./b" ||
		s.Text("serve.max_calls") != "(default)" {
		t.Errorf("%+v", s.Serve)
	}
}

// TestToken: a token comes by the environment or by a file that nobody else may read, and is never shown.
func TestToken(t *testing.T) {
	const secret = "lethe_0123456789ab_secret"
	files := map[string]string{"token": secret + "\n", "other": "lethe_other", "bad": "two\ntokens",
		"lethe.yaml": "token_file: other"}
	for name, test := range map[string]struct {
		environ, args []string
		want, code    string
	}{
		"file of settings":      {nil, nil, "lethe_other", ""},
		"environment before it": {[]string{"LETHE_TOKEN=" + secret}, nil, secret, ""},
		"a file by environment": {[]string{"LETHE_TOKEN_FILE=token"}, nil, secret, ""},
		"a flag before it":      {[]string{"LETHE_TOKEN=x"}, []string{"--token-file", "token"}, secret, ""},
		"both":                  {[]string{"LETHE_TOKEN=x", "LETHE_TOKEN_FILE=token"}, nil, "", "usage"},
		"empty is none":         {[]string{"LETHE_TOKEN=", "LETHE_TOKEN_FILE="}, nil, "", ""},
		"not one token":         {nil, []string{"--token-file", "bad"}, "", "token_malformed"},
		"not one, given":        {[]string{"LETHE_TOKEN=a b"}, nil, "", "token_malformed"},
	} {
		s, err := load(t, files, test.environ, test.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := s.Bearer()
		if event.Code(err) != test.code || err == nil && got != test.want {
			t.Errorf("%s: token %q, %v", name, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "a b") || strings.Contains(err.Error(), "two")) {
			t.Errorf("%s: the fault shows it: %v", name, err)
		}
	}
	s, err := load(t, files, []string{"LETHE_TOKEN=" + secret})
	if err != nil || s.Value(setting.Token) != "(set)" || s.Text(setting.Token) != "(set)" ||
		s.Source(setting.Token) != "environment LETHE_TOKEN" {
		t.Errorf("it is shown as %v, %s, %v", s.Value(setting.Token), s.Text(setting.Token), err)
	}
	if err := os.Chmod("token", 0o640); err != nil {
		t.Fatal(err)
	}
	s.TokenFile, s.Token = "token", ""
	if got, err := s.Bearer(); event.Code(err) != "exposed_token" || strings.Contains(got+err.Error(), secret) {
		t.Errorf("a file that others may read gives %q, %v", got, err)
	}
	s.TokenFile = "nowhere"
	if _, err := s.Bearer(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there gives %v", err)
	}
}

func TestFile(t *testing.T) {
	files := map[string]string{"lethe.yaml": "store: here", "a.yaml": "store: a", "b.yaml": "store: b"}
	for _, test := range []struct {
		environ, args []string
		want          string
	}{
		{nil, nil, "lethe.yaml"},
		{[]string{"LETHE_CONFIG="}, nil, "lethe.yaml"},
		{[]string{"LETHE_CONFIG=a.yaml"}, nil, "a.yaml"},
		{[]string{"LETHE_CONFIG=a.yaml"}, []string{"--config", "b.yaml"}, "b.yaml"},
	} {
		s, err := load(t, files, test.environ, test.args...)
		if err != nil || s.File != test.want || s.Source(setting.Store) != "file "+test.want {
			t.Errorf("%v %v: file %s, store from %s, %v", test.environ, test.args, s.File, s.Source(setting.Store), err)
		}
	}
	if _, err := load(t, files, nil, "--config", "c.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is named and not there gives %v", err)
	}
}

func TestFaultsNameThePlace(t *testing.T) {
	for _, test := range []struct {
		file, environ, flag string
		code, says          string
	}{
		{file: "stoer: x", code: "unknown_setting", says: "read file lethe.yaml: there is no setting stoer"},
		{file: "store: {deep: x}", code: "unknown_setting", says: "setting store.deep"},
		{environ: "LETHE_STROE=x", code: "unknown_setting", says: "read environment LETHE_STROE: there is no setting stroe"},
		{file: "store: a\nstore: b", code: "malformed_config", says: "read file lethe.yaml: "},
		{file: "\tstore", code: "malformed_config", says: "read file lethe.yaml: "},
		{file: "store: 7", code: "malformed_setting", says: "read file lethe.yaml: setting store must be a text"},
		{file: "serve: {listn: x}", code: "unknown_setting", says: "setting serve.listn; known are serve.listen, "},
		{environ: "LETHE_SERVE_LISTN=x", code: "unknown_setting", says: "setting serve_listn; known are serve.listen, "},
		{file: "serve.rate: 1", code: "malformed_config", says: "key serve.rate has a dot; nest it"},
		{file: "serve: {rate: fast}", code: "malformed_setting", says: "setting serve.rate must be a number above 0"},
		{file: "serve: {rate: -1}", code: "malformed_setting", says: "setting serve.rate must be a number above 0"},
		{file: "serve: {drain: 10}", code: "malformed_setting", says: "must be a duration above 0, such as 10s"},
		{file: "serve: {max_calls: 1.5}", code: "malformed_setting", says: "must be a whole number above 0"},
		{file: "serve: {create: perhaps}", code: "malformed_setting", says: "must be true or false"},
		{file: "serve: {stores: {a: b}}", code: "unknown_setting", says: "setting serve.stores.a"},
		{file: "serve: {stores: a}", code: "malformed_setting", says: "must be a list of texts"},
		{file: "token: lethe_x", code: "exposed_token", says: "read file lethe.yaml: a token does not belong there"},
		{environ: "LETHE_STORE=", code: "malformed_setting", says: "environment LETHE_STORE: setting store must be a text"},
		{flag: "--output=xml", code: "malformed_setting",
			says: "read flag --output: setting output must be table, json, jsonl or csv"},
		{flag: "--progress=loud", code: "malformed_setting", says: "setting progress must be auto, plain or none"},
		{file: "indexed_metadata: [1]", code: "malformed_setting", says: "must be a list of metadata keys"},
		{file: "indexed_metadata: a", code: "malformed_setting", says: "must be a list of metadata keys"},
		{flag: "--index-metadata=1a", code: "malformed_setting", says: "letters, digits or _ . - :, a letter first"},
	} {
		files := map[string]string{}
		var environ, args []string
		if test.file != "" {
			files["lethe.yaml"] = test.file
		}
		if test.environ != "" {
			environ = []string{test.environ}
		}
		if test.flag != "" {
			args = []string{test.flag}
		}
		s, err := load(t, files, environ, args...)
		if event.Code(err) != test.code || !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v", test, err)
		}
		if strings.Contains(err.Error(), "\n") || s.Output != "" {
			t.Errorf("%+v: a fault is one line, and leaves no settings: %q, %v", test, err, s)
		}
	}
}

// TestOutputIsKnownWithoutSettings: how a fault of the configuration is told depends on the flag alone.
func TestOutputIsKnownWithoutSettings(t *testing.T) {
	var flags setting.Flags
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Register(set)
	if err := set.Parse([]string{"-o", "jsonx"}); err != nil || flags.Output() != "jsonx" {
		t.Errorf("the command line asks for %q, %v", flags.Output(), err)
	}
	if s, err := setting.Load(&setting.Flags{}, []string{"LETHE_STORE=/a"}); err != nil || s.Store != "/a" {
		t.Errorf("without flags the store is %q, %v", s.Store, err)
	}
}
