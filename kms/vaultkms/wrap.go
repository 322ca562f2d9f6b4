package vaultkms

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/lethe-es/lethe/kms"
)

// batchItem is an item of a request; see api-docs/secret/transit#encrypt-data and #decrypt-data. Bytes are in base64.
type batchItem struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	AAD        string `json:"associated_data,omitempty"`
}

// batchResult is an item of an answer.
type batchResult struct {
	Plaintext  string `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
	Error      string `json:"error"`
}

// strict refuses bytes that have another text as well: a wrapped item has one form.
func strict() *base64.Encoding { return base64.StdEncoding.Strict() }

// isCiphertext tells whether a text is what Vault gives for one item, "vault:v", version of the key, ":", and in base64
// nonce, box and tag. By hand: a text may have millions of characters.
func isCiphertext(text string) bool {
	rest, ok := strings.CutPrefix(text, "vault:v")
	version, box, _ := strings.Cut(rest, ":")
	if !ok || version == "" || len(version) > 9 || version[0] == '0' || strings.Trim(version, "0123456789") != "" {
		return false
	}
	if strings.ContainsAny(box, "\r\n") { // which decoding skips
		return false
	}
	b, err := strict().DecodeString(box)
	return err == nil && len(b) > 12+16
}

// Wrap encrypts a batch. Vault makes a key that it does not have, if the caller's rights allow it: so the key is looked
// for before, and the note of its destruction afterwards. Between the two nobody can have destroyed it through Lethe.
func (k *KMS) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckWrap(name, items); err != nil {
		return nil, err
	}
	what := "wrap under root key " + name
	key, there, err := k.key(ctx, what, name)
	if err == nil && !there {
		err = k.absent(ctx, what, name)
	}
	if err == nil {
		err = key.fit()
	}
	if err != nil {
		return nil, err
	}
	input := make([]batchItem, len(items))
	for i, item := range items {
		input[i] = batchItem{Plaintext: strict().EncodeToString(item.Bytes), AAD: strict().EncodeToString(item.AAD)}
	}
	results, a, err := k.batch(ctx, what, "encrypt/"+name, input)
	if err != nil {
		return nil, err
	}
	if err := k.notEnding(ctx, what, name); err != nil {
		return nil, err
	}
	if len(results) != len(items) {
		return nil, k.refused(ctx, what, name, a)
	}
	wrapped := make([][]byte, len(items))
	for i, r := range results {
		switch {
		case r.Error != "" || a.status != http.StatusOK:
			return nil, k.refused(ctx, what, name, a)
		case !isCiphertext(r.Ciphertext):
			return nil, malformed(what, a)
		}
		wrapped[i] = []byte(r.Ciphertext)
	}
	return wrapped, nil
}

// Unwrap decrypts a batch.
func (k *KMS) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	if err := kms.CheckUnwrap(name, items); err != nil {
		return nil, err
	}
	what := "unwrap under root key " + name
	input := make([]batchItem, len(items))
	for i, item := range items {
		if !isCiphertext(string(item.Bytes)) {
			return nil, k.notOpened(ctx, what, name, i)
		}
		input[i] = batchItem{Ciphertext: string(item.Bytes), AAD: strict().EncodeToString(item.AAD)}
	}
	results, a, err := k.batch(ctx, what, "decrypt/"+name, input)
	switch {
	case err != nil:
		return nil, err
	case len(results) != len(items):
		return nil, k.refused(ctx, what, name, a)
	}
	opened := make([][]byte, len(items))
	for i, r := range results {
		if r.Error != "" {
			return nil, k.notOpened(ctx, what, name, i)
		}
		if opened[i], err = strict().DecodeString(r.Plaintext); err != nil || len(opened[i]) == 0 {
			return nil, malformed(what, a)
		}
	}
	if a.status != http.StatusOK {
		return nil, malformed(what, a)
	}
	return opened, nil
}

// batch makes a batch call. No results and no error: Vault refused the request as a whole. A batch in which an item
// fails comes with status 400 and the results of all items.
func (k *KMS) batch(ctx context.Context, what, path string, input []batchItem) ([]batchResult, answer, error) {
	a, err := k.ask(ctx, call{http.MethodPost, k.mount + "/" + path, map[string]any{"batch_input": input}, what})
	// Some versions of Vault answer 500 when an item does not open.
	broken := err != nil && a.status == http.StatusInternalServerError
	if err != nil && !broken {
		return nil, a, err
	}
	var data struct {
		Results []batchResult `json:"batch_results"`
	}
	if len(a.Data) > 0 && json.Unmarshal(a.Data, &data) != nil {
		return nil, a, malformed(what, a)
	}
	if broken && !unauthentic(data.Results) {
		return nil, a, err
	}
	if len(data.Results) != len(input) && (len(data.Results) > 0 || a.status == http.StatusOK) {
		return nil, a, malformed(what, a)
	}
	return data.Results, a, nil
}

func unauthentic(results []batchResult) bool {
	for _, r := range results {
		if strings.Contains(r.Error, "message authentication failed") {
			return true
		}
	}
	return false
}

// absent is the error of a key that is not there.
func (k *KMS) absent(ctx context.Context, what, name string) error {
	if err := k.notEnding(ctx, what, name); err != nil {
		return err
	}
	return kms.Missing(name)
}

// notOpened is the error of an item that does not open, if that is all that is wrong.
func (k *KMS) notOpened(ctx context.Context, what, name string, item int) error {
	key, there, err := k.key(ctx, what, name)
	switch {
	case err != nil:
		return err
	case !there:
		return k.absent(ctx, what, name)
	}
	state, err := k.State(ctx, name)
	switch {
	case err != nil:
		return err
	case state == kms.Destroyed:
		return kms.Gone(name)
	case key.SoftDeleted:
		return softDeleted(what)
	}
	return kms.NotOpened(name, item)
}

// refused is the error of a request that Vault did not take as a whole: it looks why.
func (k *KMS) refused(ctx context.Context, what, name string, a answer) error {
	key, there, err := k.key(ctx, what, name)
	switch {
	case err != nil:
		return err
	case !there:
		return k.absent(ctx, what, name)
	case key.SoftDeleted:
		return softDeleted(what)
	}
	return k.judge(what, a)
}

func softDeleted(what string) error {
	return kms.Unavailable(what, "the key is soft-deleted in OpenBao").
		Hint("restore it there, or let Lethe destroy it: a key that can be restored is not destroyed")
}
