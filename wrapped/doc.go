// Package wrapped is the records of a keystore as bytes: what stands in them, and how they are wrapped.
//
// It is given keys and nonces, and neither asks nor stores: package keyring does. A record of a person is read so:
//
//	plain, err := wrapped.Open(keys.Ring(s.KRID), wrapped.KeyringAAD(store, &s), s.Record, "keyring "+s.KRID.String())
//	known, err := r.Decode(plain, directory, false)     // r is a Keyring with KRID, Version and Epoch of s
//
// and written by Keyring.Encode and Seal. Plaintexts and the keys of a Keyring are the caller's to overwrite. Groups,
// classes and kinds stand in records as numbers; the Register in the store's own keyring gives them names. Bytes are in
// docs/format/keyring.md.
package wrapped
