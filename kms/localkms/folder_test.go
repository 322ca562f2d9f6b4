package localkms_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/localkms"
)

func refuse(t *testing.T, what, dir string, o *localkms.Options, kind error, code string) {
	t.Helper()
	k, err := localkms.Open(t.Context(), dir, o)
	if k != nil || !errors.Is(err, kind) || event.Code(err) != code {
		t.Errorf("%s: got %v (%s), want %v (%s)", what, err, event.Code(err), kind, code)
	}
}

func touch(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStoreRefused: no copy of a store's data is a copy of its keys.
func TestStoreRefused(t *testing.T) {
	for _, file := range []string{"events.db", "keys.db"} {
		store := t.TempDir()
		touch(t, filepath.Join(store, file), nil)
		refuse(t, "the store's own folder", store, nil, event.ErrInvalid, "kms_folder_in_store")
		refuse(t, "a folder in it", filepath.Join(store, "keys"), nil, event.ErrInvalid, "kms_folder_in_store")
		refuse(t, "a folder deep in it", filepath.Join(store, "a", "b"), nil, event.ErrInvalid, "kms_folder_in_store")
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(store, link); err != nil {
			t.Fatal(err)
		}
		refuse(t, "a link to it", link, nil, event.ErrInvalid, "kms_folder_in_store")
		refuse(t, "a folder behind a link", filepath.Join(link, "keys"), nil, event.ErrInvalid, "kms_folder_in_store")
		inner := filepath.Join(store, "inner")
		if err := errors.Join(os.Mkdir(inner, 0o700), os.Symlink(inner, link+"-inner")); err != nil {
			t.Fatal(err)
		}
		refuse(t, "a link into it", link+"-inner", nil, event.ErrInvalid, "kms_folder_in_store")
		if err := os.Remove(inner); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(store); err != nil || len(left) != 1 {
			t.Errorf("a refused folder was touched: %v, %v", left, err)
		}
		opened(t, filepath.Join(filepath.Dir(store), "beside"), nil)
	}
}

func TestExposedRefused(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o755, 0o750, 0o710, 0o701} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refuse(t, "a folder with mode "+mode.String(), dir, nil, event.ErrInvalid, "kms_folder_exposed")
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k := opened(t, dir, nil)
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // folder, lock, root.key
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "root.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := k.State(t.Context(), "root"); event.Code(err) != "kms_folder_exposed" {
		t.Errorf("a key that the group can read: %v", err)
	}
	made := filepath.Join(t.TempDir(), "a", "keys")
	opened(t, made, nil)
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a new folder has mode %v, %v", info.Mode(), err)
	}
	touch(t, filepath.Join(dir, "file"), nil)
	refuse(t, "a file", filepath.Join(dir, "file"), nil, event.ErrInvalid, "kms_folder")
	refuse(t, "no name", "", nil, event.ErrInvalid, "kms_folder")
	refuse(t, "a negative horizon", dir, &localkms.Options{Horizon: -1}, event.ErrInvalid, "kms_horizon")
}

// TestMissingIsNotDestroyed: whatever vanishes from the disk, nothing reads as destroyed, and nothing is made anew.
func TestMissingIsNotDestroyed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := opened(t, dir, nil)
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	check := func(what string, kind error, code string) {
		t.Helper()
		state, err := k.State(t.Context(), "root")
		if state != 0 || !errors.Is(err, kind) || event.Code(err) != code {
			t.Errorf("%s: state %d, %v (%s), want %s", what, state, err, event.Code(err), code)
		}
		if _, err := k.Destroy(t.Context(), "root"); event.Code(err) != code {
			t.Errorf("%s: destroy says %v, want %s", what, err, code)
		}
		if _, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte{1}}}); event.Code(err) != code {
			t.Errorf("%s: wrap says %v, want %s", what, err, code)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(filepath.Join(dir, "root.key"), dir+".key")
	check("the key's file is away", event.ErrNotFound, kms.CodeMissing)
	move(dir+".key", filepath.Join(dir, "root.key"))
	move(dir, dir+".away")
	if _, err := k.State(t.Context(), "root"); event.Code(err) != kms.CodeMount {
		t.Errorf("the folder is away: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	check("an empty mount point", event.ErrUnavailable, kms.CodeMount)
	if err := k.Create(t.Context(), "root"); event.Code(err) != kms.CodeMount {
		t.Errorf("create on an empty mount point: %v", err)
	}
	other := opened(t, dir, nil)
	check("another folder", event.ErrUnavailable, kms.CodeMount)
	if err := other.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	check("another folder with a key of that name", event.ErrUnavailable, kms.CodeMount)
	if _, err := other.Destroy(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	if state, err := k.State(t.Context(), "root"); state != 0 || event.Code(err) != kms.CodeMount {
		t.Errorf("another folder in which the key was destroyed: state %d, %v", state, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	move(dir+".away", dir)
	if state, err := k.State(t.Context(), "root"); state != kms.Live || err != nil {
		t.Errorf("the folder is back: state %d, %v", state, err)
	}
	if err := os.Remove(filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	refuse(t, "keys without the folder's file", dir, nil, event.ErrCorrupt, "kms_file_damaged")
}

// TestDamage flips every bit of every file: it is noticed, nothing opens, nothing reads as destroyed or missing.
func TestDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := opened(t, dir, nil)
	for _, name := range []string{"root", "ended"} {
		if err := k.Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Destroy(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	ask := map[string]func() (kms.State, error){
		"root.key": func() (kms.State, error) {
			_, wrapErr := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte{1}}})
			state, err := k.State(t.Context(), "root")
			if (err == nil) != (wrapErr == nil) {
				t.Errorf("state says %v, wrap %v", err, wrapErr)
			}
			return state, err
		},
		"ended.destroyed": func() (kms.State, error) { return k.State(t.Context(), "ended") },
		"folder": func() (kms.State, error) {
			other, err := localkms.Open(t.Context(), dir, nil)
			if err != nil {
				return 0, err
			}
			return 0, other.Close()
		},
	}
	for name, state := range ask {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := [][]byte{nil, whole[:len(whole)-1], append(slices.Clone(whole), 0), make([]byte, 5000)}
		for i := range whole {
			b := slices.Clone(whole)
			b[i] ^= 1 << (i % 8)
			bad = append(bad, b)
		}
		for i, b := range bad {
			touch(t, path, b)
			got, err := state()
			if got != 0 || !(errors.Is(err, event.ErrCorrupt) || errors.Is(err, event.ErrFormat)) {
				t.Fatalf("%s, damage %d: state %d, %v", name, i, got, err)
			}
		}
		touch(t, path, whole)
		if _, err := state(); err != nil {
			t.Errorf("%s is whole again: %v", name, err)
		}
	}
	// A file under another name is not that key.
	if err := os.Rename(filepath.Join(dir, "ended.destroyed"), filepath.Join(dir, "root.destroyed")); err != nil {
		t.Fatal(err)
	}
	if state, err := k.State(t.Context(), "root"); state != 0 || !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("the tombstone of another key: state %d, %v", state, err)
	}
}

// TestBackBesideTombstone: a key file that a backup brought back is ended again before the key is called destroyed.
func TestBackBesideTombstone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	k := opened(t, dir, &localkms.Options{Clock: clock, Horizon: 30 * 24 * time.Hour})
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "root.key")
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := k.Destroy(t.Context(), "root")
	if err != nil || !first.Effective.Equal(clock.Now()) ||
		!first.RecoverableUntil.Equal(clock.Now().Add(30*24*time.Hour)) {
		t.Fatalf("destroyed: %+v, %v", first, err)
	}
	clock.Move(time.Hour)
	touch(t, path, backup)
	if _, err := k.Unwrap(t.Context(), "root", []kms.Item{{Bytes: []byte("x")}}); event.Code(err) != kms.CodeDestroyed {
		t.Errorf("unwrap: %v", err)
	}
	if state, err := k.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
		t.Errorf("state %d, %v", state, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key's file is still there: %v", err)
	}
	if again, err := k.Destroy(t.Context(), "root"); again != first || err != nil {
		t.Errorf("destroyed again: %+v, %v", again, err)
	}
	unknown := opened(t, dir, nil)
	if d, err := unknown.Destroy(t.Context(), "root"); err != nil || !d.RecoverableUntil.IsZero() {
		t.Errorf("without a stated horizon: %+v, %v", d, err)
	}
}

func TestPassphrase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, second := []byte("correct horse battery"), []byte("staple of the second")
	k := opened(t, dir, &localkms.Options{Passphrase: first})
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	wrapped, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte("secret")}})
	if err != nil {
		t.Fatal(err)
	}
	refuse(t, "no passphrase", dir, nil, event.ErrDenied, "kms_passphrase_needed")
	refuse(t, "the wrong passphrase", dir, &localkms.Options{Passphrase: second}, event.ErrDenied, "kms_passphrase_wrong")
	if text := k.Describe(); text != "local keys in "+dir+", under a passphrase" {
		t.Errorf("it describes itself as %q", text)
	}
	if err := k.Protect(t.Context(), []byte("short")); event.Code(err) != "kms_passphrase_short" {
		t.Errorf("a short passphrase: %v", err)
	}
	if err := k.Protect(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	refuse(t, "the old passphrase", dir, &localkms.Options{Passphrase: first}, event.ErrDenied, "kms_passphrase_wrong")
	other := opened(t, dir, &localkms.Options{Passphrase: second})
	for what, service := range map[string]kms.KMS{"this process": k, "another process": other} {
		out, err := service.Unwrap(t.Context(), "root", []kms.Item{{Bytes: wrapped[0]}})
		if err != nil || string(out[0]) != "secret" {
			t.Errorf("%s after the passphrase changed: %v", what, err)
		}
	}
	if err := other.Protect(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	opened(t, dir, nil)
	refuse(t, "a passphrase that is not needed", dir, &localkms.Options{Passphrase: first}, event.ErrInvalid,
		"kms_passphrase_unused")
}

// TestProtectOverwrites: once the folder is under a passphrase, its secret is nowhere in the open.
func TestProtectOverwrites(t *testing.T) {
	dir := t.TempDir()
	p, _, _ := written(t, dir)
	secret := slices.Clone(p.names["folder"].cached[20:52])
	if !p.holds(secret) {
		t.Fatal("the secret does not lie where the format says")
	}
	if err := p.open(t, dir).Protect(t.Context(), []byte("correct horse battery")); err != nil {
		t.Fatal(err)
	}
	if p.holds(secret) {
		t.Error("the secret is still on the disk in the open")
	}
}

// TestNoSecretsShown: neither errors nor the description nor the folder hold what was handed in.
func TestNoSecretsShown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	passphrase, secret := "a passphrase of its own", "the secret that is wrapped"
	k := opened(t, dir, &localkms.Options{Passphrase: []byte(passphrase)})
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	item := kms.Item{Bytes: []byte(secret), AAD: []byte(secret)}
	if _, err := k.Wrap(t.Context(), "root", []kms.Item{item}); err != nil {
		t.Fatal(err)
	}
	_, err1 := k.Unwrap(t.Context(), "root", []kms.Item{item})
	_, err2 := localkms.Open(t.Context(), dir, &localkms.Options{Passphrase: []byte(passphrase + "!")})
	if err1 == nil || err2 == nil {
		t.Fatal("what must fail did not")
	}
	for _, text := range []string{err1.Error(), err2.Error(), k.Describe()} {
		if strings.Contains(text, passphrase) || strings.Contains(text, secret) {
			t.Errorf("%q shows a secret", text)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || bytes.Contains(b, []byte(passphrase)) || bytes.Contains(b, []byte(secret)) {
			t.Errorf("file %s: %v", e.Name(), err)
		}
	}
}

func TestClosed(t *testing.T) {
	k := opened(t, filepath.Join(t.TempDir(), "keys"), nil)
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte{1}}}); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("wrap: %v", err)
	}
	if err := k.Create(t.Context(), "new"); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("create: %v", err)
	}
	if _, err := k.State(t.Context(), "root"); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("state: %v", err)
	}
}

// TestLockWaits: who waits for another writer can be told to stop waiting.
func TestLockWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	k := opened(t, dir, &localkms.Options{Clock: clock})
	release := localkms.Lock(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.Create(ctx, "root") }()
	<-clock.Asked()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || event.Code(err) != kms.CodeUnavailable {
		t.Errorf("a writer that waits no longer: %v", err)
	}
	go func() { ended <- k.Create(t.Context(), "root") }()
	pause := <-clock.Asked()
	release()
	clock.Move(pause)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRandomFails: without randomness nothing is made.
func TestRandomFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	refuse(t, "a folder without randomness", dir, &localkms.Options{Rand: strings.NewReader("few")},
		event.ErrUnavailable, kms.CodeUnavailable)
	k := opened(t, dir, &localkms.Options{Rand: bytes.NewReader(make([]byte, 48))})
	if err := k.Create(t.Context(), "root"); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a key without randomness: %v", err)
	}
	if _, err := k.State(t.Context(), "root"); event.Code(err) != kms.CodeMissing {
		t.Errorf("after that: %v", err)
	}
}
