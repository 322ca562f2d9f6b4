package setting_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

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
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return setting.Load(&flags, environ)
}

// shown are the values and sources of settings, by key.
func shown(s setting.Settings) map[string][2]any {
	all := make(map[string][2]any)
	for _, key := range setting.Keys() {
		all[key] = [2]any{s.Value(key), s.Source(key)}
	}
	return all
}

func TestDefaults(t *testing.T) {
	s, err := load(t, nil, []string{"PATH=/bin", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]any{
		"store": {"./data", "default"}, "output": {"table", "default"}, "progress": {"auto", "default"},
		"indexed_metadata": {[]string(nil), "default"},
	}
	if diff := cmp.Diff(want, shown(s)); diff != "" || s.File != "" {
		t.Errorf("from file %q (-want +got):\n%s", s.File, diff)
	}
	if s.Value("stoer") != nil || s.Source("stoer") != "" {
		t.Error("there is a value under a key that is not known")
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
