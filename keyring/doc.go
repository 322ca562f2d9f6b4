// Package keyring keeps the keys of persons: it makes them, finds them, and knows which are gone.
//
// A person is known to the log by a KRID only. What the KRID stands for, and every key under which the person's values
// are sealed, lies in one record of the keystore, the keyring:
//
//	root key of an epoch      in the key service (package kms), never here
//	└ 260 keys of the epoch   wrapped by it as one item; in memory under a lease
//	  ├ keyrings              one record per person: references, standing, group keys by generation
//	  ├ retention keys        one per retention class and period
//	  ├ lookup tokens         by which a reference finds its KRID
//	  └ suppression tokens    by which an erased reference is known again
//
// The key for a person's group of data in one period is HKDF-Extract over both the period's retention key and a
// generation of the person's group key; whoever destroys either ends it. Bytes are in docs/format/keyring.md.
//
// # What can be relied on
//
// Nothing is handed out before it is durable: a KRID, a generation or a retention key that a caller has seen is in the
// keystore. Whoever loses a race takes what the winner stored. Absent is not erased: a record, group, generation or
// retention key that is not there is event.ErrCorrupt with code key_missing, and no keyring is ever made anew; only a
// tombstone reads as erased. A key service that does not answer is event.ErrUnavailable with code kms_unavailable, once
// the lease is over.
//
// # What is in memory
//
// Keys of live epochs for Options.Lease after the service last unwrapped them, and the keyrings used most recently for
// Options.TTL. They are overwritten when they are evicted, when the lease ends (at the next call), and by Close. The
// expanded AES keys inside crypto/aes are dropped but not overwritten, since the standard library offers no way to.
package keyring
