package localkms

import (
	"bytes"
	"testing"
)

// Disk and its parts are what crash tests put under a key folder.
type (
	Disk = disk
	File = file
	Mark = mark
)

// OpenOn is Open with another disk; dir is where the lock lies.
var OpenOn = openOn

// Lock takes the folder's lock.
func Lock(tb testing.TB, k *KMS) (release func()) {
	tb.Helper()
	release, err := k.lock(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return release
}

// Checked is a body closed by its check value.
func Checked(body []byte) []byte { return appendCheck(bytes.Clone(body)) }

// Parsed is what became of bytes that were read as a file.
type Parsed struct {
	Encoded []byte
	Err     error
}

// Parses reads bytes as every kind of file.
func Parses(b []byte) map[string]Parsed {
	folder, err1 := parseFolder(folderName, b)
	key, err2 := parseKey("root.key", b)
	stone, err3 := parseTombstone("ended.destroyed", b)
	return map[string]Parsed{
		"folder": {folder.encode(), err1}, "key": {key.encode(), err2}, "tombstone": {stone.encode(), err3},
	}
}
