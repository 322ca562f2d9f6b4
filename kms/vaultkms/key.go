package vaultkms

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Notes of a destruction, after the name of the key. Lethe's names have no dot; the names of Vault may.
const (
	ending    = ".ending"
	destroyed = ".destroyed"
)

// transitKey is what Vault says about a key; see api-docs/secret/transit#read-key. Pointers: what is not said is not
// taken for "no".
type transitKey struct {
	Name        string                     `json:"name"`
	Type        string                     `json:"type"`
	Derived     *bool                      `json:"derived"`
	Exportable  *bool                      `json:"exportable"`
	Backup      *bool                      `json:"allow_plaintext_backup"`
	Encrypts    bool                       `json:"supports_encryption"`
	Decrypts    bool                       `json:"supports_decryption"`
	Imported    bool                       `json:"imported"`
	ImportedKey bool                       `json:"imported_key"`
	Convergent  bool                       `json:"convergent_encryption"`
	SoftDeleted bool                       `json:"soft_deleted"`
	Keys        map[string]json.RawMessage `json:"keys"`

	created time.Time
}

// key reads a key; false: the mount is there and the key is not.
func (k *KMS) key(ctx context.Context, what, name string) (transitKey, bool, error) {
	a, err := k.ask(ctx, call{http.MethodGet, k.mount + "/keys/" + name, nil, what})
	switch {
	case err != nil:
		return transitKey{}, false, err
	case a.missing():
		return transitKey{}, false, nil
	case a.status != http.StatusOK:
		return transitKey{}, false, malformed(what, a)
	}
	var key transitKey
	if json.Unmarshal(a.Data, &key) != nil || key.Name != name || len(key.Keys) == 0 {
		return transitKey{}, false, malformed(what, a)
	}
	if key.created, err = firstCreated(key.Keys); err != nil {
		return transitKey{}, false, malformed(what, a)
	}
	return key, true, nil
}

// firstCreated is when the oldest version was made: Vault gives seconds since 1970 for symmetric keys.
func firstCreated(versions map[string]json.RawMessage) (time.Time, error) {
	first, oldest := int64(0), 0
	for version, raw := range versions {
		number, err := strconv.Atoi(version)
		if err != nil || number < 1 {
			return time.Time{}, strconv.ErrSyntax
		}
		var seconds int64
		if err := json.Unmarshal(raw, &seconds); err != nil || seconds <= 0 || seconds > 1<<40 {
			return time.Time{}, strconv.ErrRange
		}
		if oldest == 0 || number < oldest {
			oldest, first = number, seconds
		}
	}
	return time.Unix(first, 0).UTC(), nil
}

// fit refuses a key of which there may be copies, or that does not do what is needed.
func (key transitKey) fit() error {
	is := func(b *bool) bool { return b == nil || *b }
	why := ""
	switch {
	case key.Type != "aes256-gcm96" || !key.Encrypts || !key.Decrypts:
		why = "it is not of type aes256-gcm96"
	case is(key.Derived) || key.Convergent:
		why = "it derives keys"
	case is(key.Exportable):
		why = "it is exportable, so copies of it may be anywhere"
	case is(key.Backup):
		why = "it allows plaintext backup, so copies of it may be anywhere"
	case key.Imported || key.ImportedKey:
		why = "it was imported, so it is known outside of Vault"
	default:
		return nil
	}
	e := event.Errorf(event.ErrConflict, "use root key %s: %s", key.Name, why).
		Hint("such a key cannot be destroyed for certain; Lethe makes its keys itself")
	e.Code = "kms_key_unfit"
	return e
}

// make creates a transit key, unless it is there; see api-docs/secret/transit#create-key.
func (k *KMS) make(ctx context.Context, what, name string) (transitKey, error) {
	a, err := k.ask(ctx, call{http.MethodPost, k.mount + "/keys/" + name, map[string]any{
		"type": "aes256-gcm96", "derived": false, "exportable": false, "allow_plaintext_backup": false,
	}, what})
	if err == nil {
		err = k.judge(what, a)
	}
	if err != nil {
		return transitKey{}, err
	}
	key, there, err := k.key(ctx, what, name)
	switch {
	case err != nil:
		return transitKey{}, err
	case !there:
		return transitKey{}, kms.Unavailable(what, "Vault made the key, and then does not have it").
			Hint("give the address of the active node of the primary cluster")
	}
	return key, key.fit()
}

// Create makes a root key.
func (k *KMS) Create(ctx context.Context, name string) error {
	if err := kms.CheckName(name); err != nil {
		return err
	}
	what := "create root key " + name
	key, there, err := k.key(ctx, what, name)
	if err != nil {
		return err
	}
	if err := k.notEnding(ctx, what, name); err != nil {
		return err
	}
	if there {
		return key.fit()
	}
	if _, err := k.make(ctx, what, name); err != nil {
		return err
	}
	// Somebody else may have destroyed it since it was looked for.
	return k.notEnding(ctx, what, name)
}

// notEnding refuses a key whose destruction was begun.
func (k *KMS) notEnding(ctx context.Context, what, name string) error {
	_, noted, err := k.key(ctx, what, name+ending)
	if err == nil && noted {
		err = kms.Gone(name)
	}
	return err
}

// State looks for the key first: one that is not there was either never there, or its note was made before it went.
func (k *KMS) State(ctx context.Context, name string) (kms.State, error) {
	if err := kms.CheckName(name); err != nil {
		return 0, err
	}
	what := "find root key " + name
	key, there, err := k.key(ctx, what, name)
	if err != nil {
		return 0, err
	}
	begun, noted, err := k.key(ctx, what, name+ending)
	switch {
	case err != nil:
		return 0, err
	case !there && !noted:
		return 0, kms.Missing(name)
	case !there:
		return kms.Destroyed, nil
	case !noted:
		return kms.Live, nil
	}
	// A key beside the note: its destruction was cut off, or somebody made another of that name afterwards. The second
	// only when the destruction is noted as done and the key is younger than its beginning.
	_, done, err := k.key(ctx, what, name+destroyed)
	if err != nil {
		return 0, err
	}
	if done && key.created.After(begun.created) {
		return kms.Destroyed, nil
	}
	return kms.Live, nil
}

// Destroy goes through the steps of the package comment, from where an earlier call was cut off.
func (k *KMS) Destroy(ctx context.Context, name string) (kms.Destruction, error) {
	if err := kms.CheckName(name); err != nil {
		return kms.Destruction{}, err
	}
	what := "destroy root key " + name
	key, there, err := k.key(ctx, what, name)
	if err != nil {
		return kms.Destruction{}, err
	}
	begun, noted, err := k.key(ctx, what, name+ending)
	switch {
	case err != nil:
		return kms.Destruction{}, err
	case !there && !noted:
		return kms.Destruction{}, kms.Missing(name)
	case there && !noted:
		if err := key.fit(); err != nil {
			return kms.Destruction{}, err
		}
		if begun, err = k.make(ctx, what, name+ending); err != nil {
			return kms.Destruction{}, err
		}
	}
	done, finished, err := k.key(ctx, what, name+destroyed)
	if err != nil {
		return kms.Destruction{}, err
	}
	if there && finished && !key.created.After(begun.created) {
		// The note says that it is done, and the key is still there: the note is wrong, and so is its time.
		finished = false
		if err := k.remove(ctx, what, name+destroyed); err != nil {
			return kms.Destruction{}, err
		}
	}
	if there {
		if err := k.remove(ctx, what, name); err != nil {
			return kms.Destruction{}, err
		}
	}
	if !finished {
		if done, err = k.make(ctx, what, name+destroyed); err != nil {
			return kms.Destruction{}, err
		}
	}
	d := kms.Destruction{Effective: done.created.Add(time.Second)}
	if k.horizon > 0 {
		d.RecoverableUntil = d.Effective.Add(k.horizon)
	}
	return d, nil
}

// remove deletes a key and does not believe it before the key cannot be read any more. What Vault says to the deletion
// itself does not count: it refuses to delete what another caller deleted meanwhile. See
// api-docs/secret/transit#delete-key.
func (k *KMS) remove(ctx context.Context, what, name string) error {
	path := k.mount + "/keys/" + name
	var refusal error
	for range 2 { // again: somebody may have made it anew between
		for _, c := range []call{
			{http.MethodPost, path + "/config", map[string]any{"deletion_allowed": true}, what},
			{http.MethodDelete, path, nil, what},
		} {
			a, err := k.ask(ctx, c)
			if err != nil {
				return err
			}
			if refusal = k.judge(what, a); refusal != nil {
				break
			}
		}
		_, there, err := k.key(ctx, what, name)
		if err != nil || !there {
			return err
		}
	}
	if refusal != nil {
		return refusal
	}
	return kms.Unavailable(what, "Vault deleted the key, and still has it").Hint("look who makes it again")
}
