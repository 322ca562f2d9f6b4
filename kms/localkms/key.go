package localkms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Labels of derived keys; docs/format/localkms.md lists them.
const (
	labelKey  = "lethe/localkms/key/1"
	labelWrap = "lethe/localkms/wrap/1"
)

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return box, nil
}

// derived is the cipher of one purpose and one name under a secret.
func derived(secret []byte, label, name string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, secret, string(appendName([]byte(label), name)), secretSize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	defer clear(key)
	return aead(key)
}

// Create makes a root key of 32 random bytes.
func (k *KMS) Create(ctx context.Context, name string) error {
	if err := kms.CheckName(name); err != nil {
		return err
	}
	what := "create root key " + name
	release, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, what); err != nil {
		return err
	}
	if _, err = k.load(name); err == nil || !missing(err) {
		return err
	}
	f := keyFile{folder: k.id, name: name, created: event.Micros(k.clock.Now()), nonce: make([]byte, nonceSize)}
	secret := make([]byte, secretSize)
	defer clear(secret)
	if err := fillRandom(k.random, f.nonce, secret); err != nil {
		return err
	}
	box, err := derived(k.secret, labelKey, name)
	if err != nil {
		return err
	}
	f.sealed = box.Seal(nil, f.nonce, secret, f.bound())
	if err := write(k.disk, name+keySuffix, f.encode()); err != nil {
		return k.broken(what, err)
	}
	_, err = k.load(name) // what cannot be read again was not made
	return err
}

// missing tells whether an error says that this folder is the right one and the key is not in it.
func missing(err error) bool { return event.Code(err) == kms.CodeMissing }

// there asks the disk what it has under a name: nil for the file of a live key.
func (k *KMS) there(name string) (mark, error) {
	what := "find root key " + name
	if _, err := k.disk.Stat(name + tombstoneSuffix); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return mark{}, k.broken(what, err)
		}
		return mark{}, kms.Gone(name)
	}
	m, err := k.disk.Stat(name + keySuffix)
	if errors.Is(err, fs.ErrNotExist) {
		if err := k.sameFolder(); err != nil {
			return mark{}, err
		}
		return mark{}, kms.Missing(name)
	}
	if err != nil {
		return mark{}, k.broken(what, err)
	}
	return m, nil
}

// load gives a live key, from memory if its file is still the same. mu is held for writing.
func (k *KMS) load(name string) (*entry, error) {
	m, err := k.there(name)
	if err != nil {
		k.forget(name)
		return nil, err
	}
	if e := k.keys[name]; e != nil && e.mark == m {
		return e, nil
	}
	k.forget(name)
	e, err := k.read(name)
	if err != nil {
		// Another process may be destroying it: then the file was overwritten under our eyes, and the tombstone is there.
		if _, again := k.there(name); again != nil {
			return nil, again
		}
		return nil, err
	}
	k.keys[name] = e
	return e, nil
}

func (k *KMS) read(name string) (*entry, error) {
	file := name + keySuffix
	b, m, err := k.disk.Read(file)
	if err != nil {
		return nil, k.broken("read root key "+name, err)
	}
	f, err := parseKey(file, b)
	if err != nil {
		return nil, err
	}
	if f.folder != k.id {
		return nil, replaced(k.dir)
	}
	// Who made it may have been cut off before its name was durable. Nothing is wrapped by what a power loss could take.
	if err := k.disk.Sync(); err != nil {
		return nil, k.broken("read root key "+name, err)
	}
	box, err := derived(k.secret, labelKey, name)
	if err != nil {
		return nil, err
	}
	secret, err := box.Open(nil, f.nonce, f.sealed, f.bound())
	if err != nil {
		return nil, damaged(file, "it does not open with the secret of this folder")
	}
	return &entry{mark: m, secret: secret}, nil
}

// with calls use with the cipher of a live key, while nobody in this process can destroy it.
func (k *KMS) with(ctx context.Context, name string, use func(cipher.AEAD) error) error {
	k.mu.RLock()
	if err := k.usable(ctx, "use root key "+name); err != nil {
		k.mu.RUnlock()
		return err
	}
	e := k.keys[name]
	if m, err := k.there(name); err == nil && e != nil && e.mark == m {
		defer k.mu.RUnlock()
		return e.apply(name, use)
	}
	k.mu.RUnlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, "use root key "+name); err != nil {
		return err
	}
	e, err := k.load(name)
	if err != nil {
		return err
	}
	return e.apply(name, use)
}

func (e *entry) apply(name string, use func(cipher.AEAD) error) error {
	box, err := derived(e.secret, labelWrap, name)
	if err != nil {
		return err
	}
	return use(box)
}

// bind is what a wrapped item is bound to besides its key.
func bind(aad []byte) []byte { return append([]byte{version, suite}, aad...) }

// Wrap seals items under a key derived from the root key.
func (k *KMS) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckWrap(name, items); err != nil {
		return nil, err
	}
	wrapped := make([][]byte, len(items))
	err := k.with(ctx, name, func(box cipher.AEAD) error {
		for i, item := range items {
			b := make([]byte, 2+nonceSize, 2+nonceSize+len(item.Bytes)+tagSize)
			b[0], b[1] = version, suite
			if err := fillRandom(k.random, b[2:]); err != nil {
				return err
			}
			wrapped[i] = box.Seal(b, b[2:], item.Bytes, bind(item.AAD))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return wrapped, nil
}

// Unwrap opens items that were sealed by Wrap.
func (k *KMS) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckUnwrap(name, items); err != nil {
		return nil, err
	}
	opened := make([][]byte, len(items))
	err := k.with(ctx, name, func(box cipher.AEAD) error {
		for i, item := range items {
			b := item.Bytes
			if len(b) <= 2+nonceSize+tagSize || b[0] != version || b[1] != suite {
				return kms.NotOpened(name, i)
			}
			plain, err := box.Open(nil, b[2:2+nonceSize], b[2+nonceSize:], bind(item.AAD))
			if err != nil {
				return kms.NotOpened(name, i)
			}
			opened[i] = plain
		}
		return nil
	})
	if err != nil {
		for _, b := range opened {
			clear(b)
		}
		return nil, err
	}
	return opened, nil
}
