package kmstest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// vaultKey is a key of a transit engine.
type vaultKey struct {
	secrets     [][32]byte // by version, from 1
	created     []int64    // seconds since 1970, by version
	deletable   bool
	exportable  bool
	backup      bool
	derived     bool
	softDeleted bool
}

// transitName is what the engine takes for the name of a key.
var transitName = regexp.MustCompile(`^\w([\w.-]*\w)?$`)

// transit answers for a transit engine; see api-docs/secret/transit.
func (v *Vault) transit(w http.ResponseWriter, c vaultCall, m *vaultMount, rest string) {
	parts := strings.Split(rest, "/")
	if len(parts) < 2 || !transitName.MatchString(parts[1]) {
		VaultErrors(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
		return
	}
	write := c.method == http.MethodPost || c.method == http.MethodPut
	switch kind := parts[0]; {
	case len(parts) == 2 && kind == "keys" && c.method == http.MethodGet:
		m.readKey(w, parts[1])
	case len(parts) == 2 && kind == "keys" && write:
		v.createKey(w, c, m, parts[1])
	case len(parts) == 2 && kind == "keys" && c.method == http.MethodDelete:
		m.deleteKey(w, parts[1])
	case len(parts) == 3 && kind == "keys" && parts[2] == "config" && write:
		v.configKey(w, c, m, parts[1])
	case len(parts) == 3 && kind == "keys" && parts[2] == "rotate" && write:
		m.keys[parts[1]].rotate(v.Clock.Now().Unix())
		w.WriteHeader(http.StatusNoContent)
	case len(parts) == 3 && kind == "keys" && parts[2] == "soft-delete" && c.method == http.MethodDelete:
		m.keys[parts[1]].softDeleted = true
		w.WriteHeader(http.StatusNoContent)
	case len(parts) == 2 && (kind == "encrypt" || kind == "decrypt") && write:
		v.crypt(w, c, m, parts)
	case len(parts) == 2 && (kind == "keys" || kind == "encrypt" || kind == "decrypt"):
		VaultErrors(w, http.StatusMethodNotAllowed, "1 error occurred:\n\t* unsupported operation\n\n")
	default:
		VaultErrors(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
	}
}

func (m *vaultMount) readKey(w http.ResponseWriter, name string) {
	key := m.keys[name]
	if key == nil {
		VaultErrors(w, http.StatusNotFound)
		return
	}
	vaultWrite(w, http.StatusOK, map[string]any{"data": key.describe(name)})
}

func (key *vaultKey) describe(name string) map[string]any {
	versions := map[string]int64{}
	for i, at := range key.created {
		versions[strconv.Itoa(i+1)] = at
	}
	return map[string]any{
		"name": name, "type": "aes256-gcm96", "derived": key.derived, "exportable": key.exportable,
		"allow_plaintext_backup": key.backup, "deletion_allowed": key.deletable, "keys": versions,
		"latest_version": len(versions), "min_available_version": 0, "min_decryption_version": 1,
		"min_encryption_version": 0, "supports_encryption": true, "supports_decryption": true,
		"supports_derivation": true, "supports_signing": false, "imported_key": false, "auto_rotate_period": 0,
		"soft_deleted": key.softDeleted,
	}
}

func (key *vaultKey) rotate(now int64) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails, as documented
	key.secrets, key.created = append(key.secrets, secret), append(key.created, now)
}

func (v *Vault) createKey(w http.ResponseWriter, c vaultCall, m *vaultMount, name string) {
	if m.keys[name] == nil {
		key := &vaultKey{
			derived: c.truth("derived"), exportable: c.truth("exportable"), backup: c.truth("allow_plaintext_backup"),
		}
		key.rotate(v.Clock.Now().Unix())
		m.keys[name] = key
	}
	v.wrote(w, m, name)
}

// wrote answers a write.
func (v *Vault) wrote(w http.ResponseWriter, m *vaultMount, name string) {
	if v.Classic {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	m.readKey(w, name)
}

func (v *Vault) configKey(w http.ResponseWriter, c vaultCall, m *vaultMount, name string) {
	key := m.keys[name]
	if key == nil {
		VaultErrors(w, http.StatusBadRequest, fmt.Sprintf("no existing key named %s could be found", name))
		return
	}
	if _, ok := c.body["deletion_allowed"]; ok {
		key.deletable = c.truth("deletion_allowed")
	}
	key.exportable = key.exportable || c.truth("exportable")
	key.backup = key.backup || c.truth("allow_plaintext_backup")
	v.wrote(w, m, name)
}

func (m *vaultMount) deleteKey(w http.ResponseWriter, name string) {
	key := m.keys[name]
	switch {
	case key == nil:
		VaultErrors(w, http.StatusBadRequest, "error deleting policy "+name+": could not delete key; not found")
	case !key.deletable:
		VaultErrors(w, http.StatusBadRequest,
			"error deleting policy "+name+": deletion is not allowed for this key")
	default:
		for i := range key.secrets {
			clear(key.secrets[i][:])
		}
		delete(m.keys, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

type vaultItem struct {
	Plaintext  *string `json:"plaintext,omitempty"`
	Ciphertext *string `json:"ciphertext,omitempty"`
	AAD        string  `json:"associated_data,omitempty"`
	Error      string  `json:"error,omitempty"`
	KeyVersion int     `json:"key_version,omitempty"`
	Reference  string  `json:"reference"`
}

// crypt encrypts or decrypts a batch. A key that is not there is made by encrypting; see the rights of
// api-docs/secret/transit#encrypt-data. When an item fails, the status is 400 and all results come with it.
func (v *Vault) crypt(w http.ResponseWriter, c vaultCall, m *vaultMount, parts []string) {
	var items []vaultItem
	if json.Unmarshal(c.body["batch_input"], &items) != nil || len(items) == 0 {
		VaultErrors(w, http.StatusBadRequest, "missing batch input to process")
		return
	}
	encrypt, key := parts[0] == "encrypt", m.keys[parts[1]]
	switch {
	case key == nil && encrypt:
		key = &vaultKey{}
		key.rotate(v.Clock.Now().Unix())
		m.keys[parts[1]] = key
	case key == nil:
		VaultErrors(w, http.StatusBadRequest, "encryption key not found")
		return
	case key.softDeleted:
		VaultErrors(w, http.StatusBadRequest, "key is soft-deleted and must be restored before use")
		return
	}
	results, status := make([]vaultItem, len(items)), http.StatusOK
	for i, item := range items {
		var err error
		if encrypt {
			results[i], err = key.encrypt(item)
		} else {
			results[i], err = key.decrypt(item)
		}
		if err != nil {
			results[i], status = vaultItem{Error: err.Error()}, http.StatusBadRequest
		}
	}
	vaultWrite(w, status, map[string]any{"data": map[string]any{"batch_results": results}})
}

func (key *vaultKey) encrypt(item vaultItem) (vaultItem, error) {
	if item.Plaintext == nil {
		return item, fmt.Errorf("missing plaintext to encrypt")
	}
	plain, err := base64.StdEncoding.DecodeString(*item.Plaintext)
	if err != nil {
		return item, err
	}
	aad, err := base64.StdEncoding.DecodeString(item.AAD)
	if err != nil {
		return item, err
	}
	version := len(key.secrets)
	box := gcm(key.secrets[version-1][:]).Seal(nil, nil, plain, aad)
	text := fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(box))
	return vaultItem{Ciphertext: &text, KeyVersion: version}, nil
}

func (key *vaultKey) decrypt(item vaultItem) (vaultItem, error) {
	if item.Ciphertext == nil {
		return item, fmt.Errorf("missing ciphertext to decrypt")
	}
	rest, ok := strings.CutPrefix(*item.Ciphertext, "vault:v")
	number, box, _ := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	if !ok || err != nil || version < 1 || version > len(key.secrets) {
		return item, fmt.Errorf("invalid ciphertext: version is too new")
	}
	sealed, err := base64.StdEncoding.DecodeString(box)
	if err != nil {
		return item, err
	}
	aad, err := base64.StdEncoding.DecodeString(item.AAD)
	if err != nil {
		return item, err
	}
	plain, err := gcm(key.secrets[version-1][:]).Open(nil, nil, sealed, aad)
	if err != nil {
		return item, fmt.Errorf("cipher: message authentication failed")
	}
	text := base64.StdEncoding.EncodeToString(plain)
	return vaultItem{Plaintext: &text}, nil
}
