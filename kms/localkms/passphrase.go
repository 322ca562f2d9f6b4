package localkms

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"fmt"
	"io"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// A passphrase is stretched by PBKDF2-HMAC-SHA-512. OWASP's Password Storage Cheat Sheet asks for 210,000 iterations;
// a folder is opened once per process, so it may cost more.
const (
	minIterations = 600_000
	maxIterations = 10_000_000 // a file that asks for more is an attack on who opens it
	minPassphrase = 12         // bytes
)

func stretch(passphrase, salt []byte, iterations int) ([]byte, error) {
	key, err := pbkdf2.Key(sha512.New, string(passphrase), salt, iterations, secretSize)
	if err != nil {
		return nil, fmt.Errorf("stretch passphrase: %w", err)
	}
	return key, nil
}

// protect makes the file "folder" for a secret: under a passphrase, or open if there is none.
func protect(id [idSize]byte, secret, passphrase []byte, random io.Reader) (folderFile, error) {
	f := folderFile{id: id, protection: open, secret: secret}
	if len(passphrase) == 0 {
		return f, nil
	}
	if len(passphrase) < minPassphrase {
		return f, event.Invalid("kms_passphrase_short", "protect key folder: the passphrase has fewer than %d bytes",
			minPassphrase)
	}
	f = folderFile{id: id, protection: byPassphrase, iterations: minIterations}
	f.salt, f.nonce = make([]byte, saltSize), make([]byte, nonceSize)
	if err := fillRandom(random, f.salt, f.nonce); err != nil {
		return f, err
	}
	key, err := stretch(passphrase, f.salt, int(f.iterations))
	if err != nil {
		return f, err
	}
	defer clear(key)
	box, err := aead(key)
	if err != nil {
		return f, err
	}
	f.sealed = box.Seal(nil, f.nonce, secret, f.bound())
	return f, nil
}

// unprotect gives the folder's secret.
func (f *folderFile) unprotect(dir string, passphrase []byte) ([]byte, error) {
	given := len(passphrase) > 0
	switch {
	case f.protection == open && given:
		return nil, event.Invalid("kms_passphrase_unused", "open key folder %s: it is under no passphrase", dir).
			Hint("open it without one, then protect it")
	case f.protection == open:
		return append([]byte(nil), f.secret...), nil
	case !given:
		return nil, refused("kms_passphrase_needed", dir, "it is under a passphrase, and none was given")
	}
	key, err := stretch(passphrase, f.salt, int(f.iterations))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	box, err := aead(key)
	if err != nil {
		return nil, err
	}
	secret, err := box.Open(nil, f.nonce, f.sealed, f.bound())
	if err != nil {
		return nil, refused("kms_passphrase_wrong", dir, "the passphrase is wrong")
	}
	return secret, nil
}

func refused(code, dir, why string) error {
	e := event.Errorf(event.ErrDenied, "open key folder %s: %s", dir, why)
	e.Code = code
	return e
}

// Protect puts the folder under another passphrase, or under none. It changes one small file as a whole; the keys stay
// as they are, and processes that have the folder open go on. Whoever has an old copy of that file and the old
// passphrase can still open copies of keys: against that only a new epoch helps.
func (k *KMS) Protect(ctx context.Context, passphrase []byte) error {
	release, err := k.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx, "protect key folder"); err != nil {
		return err
	}
	if err := k.sameFolder(); err != nil {
		return err
	}
	next, err := protect(k.id, k.secret, passphrase, k.random)
	if err != nil {
		return err
	}
	old, err := k.disk.Open(folderName, false)
	if err != nil {
		return k.broken("protect key folder", err)
	}
	// The old content is overwritten only after the new one is there for good.
	if err := write(k.disk, folderName, next.encode()); err != nil {
		_ = old.Close()
		return k.broken("protect key folder", err)
	}
	noise := make([]byte, k.folderSize)
	if err := fillRandom(k.random, noise); err != nil {
		_ = old.Close()
		return err
	}
	if err := fill(old, noise); err != nil {
		return k.broken("protect key folder", err)
	}
	k.folderSize, k.protected = len(next.encode()), next.protection == byPassphrase
	return nil
}

// fillRandom fills each slice.
func fillRandom(random io.Reader, into ...[]byte) error {
	for _, b := range into {
		if _, err := io.ReadFull(random, b); err != nil {
			return fmt.Errorf("%w: %w", kms.Unavailable("draw random bytes", "the source failed"), err)
		}
	}
	return nil
}
