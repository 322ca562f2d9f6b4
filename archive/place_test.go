package archive_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/archive"
	"github.com/lethe-es/lethe/event"
)

func TestParsePlace(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"data":             filepath.Join(here, "data"),
		"./data/../other/": filepath.Join(here, "other"),
		"/var/lib/lethe":   "/var/lib/lethe",
		"postgres://lethe:s3cret@db:5432/bank?schema=x&sslmode=require": "postgres://lethe@db:5432/bank?schema=x&sslmode=require",
		"postgres://db/bank?user=a&password=s3cret&sslPassword=s3cret":  "postgres://db/bank?user=a",
		"postgres:///bank?host=/run/pg":                                 "postgres:///bank?host=%2Frun%2Fpg",
	} {
		if got, err := archive.ParsePlace(text); err != nil || got != want {
			t.Errorf("the place of %s is %s: %v", text, got, err)
		}
	}
	for text, code := range map[string]string{
		"http://127.0.0.1:7070": "unsupported", "https://lethe.example.org/bank": "unsupported",
		"postgres://lethe:s3cret%@db/bank": "malformed_address",
	} {
		got, err := archive.ParsePlace(text)
		if got != "" || event.Code(err) != code || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the place of %s is %q: %v", text, got, err)
		}
	}
}
