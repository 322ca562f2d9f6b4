package opening

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/localkms"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

// Service is a key service that is to be closed.
type Service interface {
	kms.KMS
	io.Closer
}

// Service is the key service of the settings; nil: there shall be none. It is opened when it is first needed.
func (o *Opener) Service() (Service, error) {
	given := &o.Settings.KMS
	scheme, rest, _ := strings.Cut(given.Address, ":")
	switch {
	case given.Address == "none":
		return nil, nil
	case scheme == "local" && rest == "":
		return &later{describe: "local keys", open: func(context.Context) (Service, error) {
			return nil, event.Errorf(event.ErrUnavailable, "open key folder: none is named, and there is no home to have "+
				"one in").Hint("name one with --kms local:FOLDER")
		}}, nil
	case scheme == "local":
		f := &folder{dir: rest, opener: o}
		return &later{describe: "local keys in " + rest, open: f.open, create: f.create}, nil
	case scheme == "vault":
		return o.vault(rest)
	}
	return nil, event.Invalid("malformed_setting", "read %s: setting %s must be local:FOLDER, vault:https://host:8200/mount "+
		"or none", o.Settings.Source(setting.KMS), setting.KMS)
}

// folder is a key folder that is opened later.
type folder struct {
	dir    string
	opener *Opener
}

// open opens the folder, which must be there: it holds keys, or held some.
func (f *folder) open(ctx context.Context) (Service, error) {
	if _, err := os.Stat(filepath.Join(f.dir, "folder")); errors.Is(err, fs.ErrNotExist) {
		return nil, kms.MountMissing("open key folder", f.dir+" is not there, or holds no keys").
			Hint("bring it back, or name the one with the store's keys: --kms local:FOLDER")
	}
	return f.create(ctx)
}

// create opens the folder, and makes the one that is not there.
func (f *folder) create(ctx context.Context) (Service, error) {
	given := &f.opener.Settings.KMS
	options := &localkms.Options{Clock: f.opener.Clock, Horizon: given.Horizon}
	if given.PassphraseFile != "" {
		text, err := setting.Secret("passphrase", given.PassphraseFile)
		if err != nil {
			return nil, err
		}
		options.Passphrase = []byte(strings.TrimRight(text, "\r\n"))
	}
	k, err := localkms.Open(ctx, f.dir, options)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// vault is the transit engine at https://host:8200/mount. Its options are checked at once, the server is asked later.
func (o *Opener) vault(address string) (Service, error) {
	given := &o.Settings.KMS
	scheme, rest, ok := strings.Cut(address, "://")
	host, mount, _ := strings.Cut(rest, "/")
	if !ok {
		return nil, event.Invalid("malformed_setting", "read %s: of Vault setting %s must be vault:https://host:8200/mount",
			o.Settings.Source(setting.KMS), setting.KMS)
	}
	options := vaultkms.Options{Address: scheme + "://" + host, Mount: mount, Horizon: given.Horizon, Clock: o.Clock}
	if given.TokenFile != "" {
		options.Token = secret("token", given.TokenFile)
	}
	if given.RoleID != "" {
		options.AppRole = &vaultkms.AppRole{Mount: given.RoleMount, RoleID: given.RoleID,
			SecretID: secret("secret id", given.RoleFile)}
	}
	if (given.TokenFile == "") == (given.RoleID == "") {
		return nil, event.Invalid("malformed_setting", "open Vault: it needs either a token or a role").
			Hint("name the file with the token: --kms-token-file FILE, or set kms_role and kms_role_file")
	}
	var err error
	if options.TLS, err = o.Trust(); err != nil {
		return nil, err
	}
	k, err := vaultkms.Open(context.Background(), options)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// secret reads a file whenever it is asked: an agent may renew it.
func secret(what, path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := setting.Secret(what, path)
		return strings.TrimSpace(text), err
	}
}

// later is a key service that is opened when it is first asked.
type later struct {
	describe string
	open     func(context.Context) (Service, error) // one that is there
	create   func(context.Context) (Service, error) // one to make a first key in; nil: like open

	mu     sync.Mutex
	opened Service
}

func (l *later) with(ctx context.Context, open func(context.Context) (Service, error)) (Service, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened != nil {
		return l.opened, nil
	}
	k, err := open(ctx)
	if err == nil {
		l.opened = k
	}
	return k, err
}

// Create makes a root key, and what is to hold it.
func (l *later) Create(ctx context.Context, name string) error {
	open := l.create
	if open == nil {
		open = l.open
	}
	k, err := l.with(ctx, open)
	if err != nil {
		return err
	}
	return k.Create(ctx, name)
}

// Wrap seals items.
func (l *later) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	k, err := l.with(ctx, l.open)
	if err != nil {
		return nil, err
	}
	return k.Wrap(ctx, name, items)
}

// Unwrap opens items.
func (l *later) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	k, err := l.with(ctx, l.open)
	if err != nil {
		return nil, err
	}
	return k.Unwrap(ctx, name, items)
}

// State tells what became of a root key.
func (l *later) State(ctx context.Context, name string) (kms.State, error) {
	k, err := l.with(ctx, l.open)
	if err != nil {
		return 0, err
	}
	return k.State(ctx, name)
}

// Destroy ends a root key.
func (l *later) Destroy(ctx context.Context, name string) (kms.Destruction, error) {
	k, err := l.with(ctx, l.open)
	if err != nil {
		return kms.Destruction{}, err
	}
	return k.Destroy(ctx, name)
}

// Describe says which service it is, open or not.
func (l *later) Describe() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened != nil {
		return l.opened.Describe()
	}
	return l.describe
}

// Close closes what was opened.
func (l *later) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened == nil {
		return nil
	}
	return l.opened.Close()
}
