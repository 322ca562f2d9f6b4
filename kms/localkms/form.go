package localkms

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// The files of the folder, byte by byte as docs/format/localkms.md has them.
const (
	version = 1
	suite   = 1 // AES-256-GCM, HKDF-SHA-256, PBKDF2-HMAC-SHA-512

	kindFolder    = 1
	kindKey       = 2
	kindTombstone = 3

	idSize     = 16
	secretSize = 32
	saltSize   = 16
	nonceSize  = 12
	tagSize    = 16
	checkSize  = 8
	maxFile    = 4096 // far beyond the largest file of version 1
)

// Protections of the folder's secret.
const (
	open         = 0
	byPassphrase = 1
)

// Phases of a tombstone.
const (
	begun = 1 // from here on the key opens nothing; its bytes may still be on disk
	done  = 2
)

// folderFile is the file "folder": whose keys these are, and the secret under which they lie.
type folderFile struct {
	id         [idSize]byte
	protection byte
	secret     []byte // open: the secret
	iterations uint32 // by passphrase, like what follows
	salt       []byte
	nonce      []byte
	sealed     []byte
}

// keyFile is a file NAME.key.
type keyFile struct {
	folder  [idSize]byte
	name    string
	created int64 // µs since 1970 UTC
	nonce   []byte
	sealed  []byte
}

// tombstone is a file NAME.destroyed.
type tombstone struct {
	folder [idSize]byte
	name   string
	phase  byte
	time   int64 // µs since 1970 UTC: when the phase was reached
}

func appendHead(b []byte, kind byte, folder [idSize]byte) []byte {
	return append(append(b, version, suite, kind), folder[:]...)
}

func appendName(b []byte, name string) []byte {
	return append(append(b, byte(len(name))), name...)
}

// appendCheck closes a file with the value by which a damaged one is told from one that does not open.
func appendCheck(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:checkSize]...)
}

// bound is what the passphrase's box is bound to: everything in front of it.
func (f *folderFile) bound() []byte {
	b := append(appendHead(nil, kindFolder, f.id), f.protection)
	return append(binary.BigEndian.AppendUint32(b, f.iterations), f.salt...)
}

func (f *folderFile) encode() []byte {
	if f.protection == open {
		return appendCheck(append(append(appendHead(nil, kindFolder, f.id), open), f.secret...))
	}
	return appendCheck(append(append(f.bound(), f.nonce...), f.sealed...))
}

// bound is what the key's box is bound to: everything in front of it.
func (f *keyFile) bound() []byte {
	b := appendName(appendHead(nil, kindKey, f.folder), f.name)
	return binary.BigEndian.AppendUint64(b, uint64(f.created))
}

func (f *keyFile) encode() []byte {
	return appendCheck(append(append(f.bound(), f.nonce...), f.sealed...))
}

func (f *tombstone) encode() []byte {
	b := append(appendName(appendHead(nil, kindTombstone, f.folder), f.name), f.phase)
	return appendCheck(binary.BigEndian.AppendUint64(b, uint64(f.time)))
}

// parser takes a file apart. After the first failure it gives zeros, and end tells.
type parser struct {
	rest []byte
	err  error
}

func damaged(file, why string) *event.Error {
	e := event.Errorf(event.ErrCorrupt, "read key folder: file %s is damaged: %s", file, why).
		Hint("restore it from a backup of the folder")
	e.Code = "kms_file_damaged"
	return e
}

// begin checks the frame of a file: check value, version, suite, kind.
func begin(file string, b []byte, kind byte) (*parser, [idSize]byte) {
	var id [idSize]byte
	if len(b) < 3+idSize+checkSize || len(b) > maxFile {
		return &parser{err: damaged(file, fmt.Sprintf("it has %d bytes", len(b)))}, id
	}
	body := b[:len(b)-checkSize]
	sum := sha256.Sum256(body)
	switch {
	case b[0] != version || b[1] != suite:
		return &parser{err: event.Errorf(event.ErrFormat,
			"read key folder: file %s has version %d, suite %d; this program knows %d, %d",
			file, b[0], b[1], version, suite).Hint("use a newer program")}, id
	case !bytes.Equal(sum[:checkSize], b[len(body):]):
		return &parser{err: damaged(file, "its check value does not fit")}, id
	case b[2] != kind:
		return &parser{err: damaged(file, "it is a file of another kind")}, id
	}
	copy(id[:], body[3:])
	return &parser{rest: body[3+idSize:]}, id
}

func (p *parser) take(n int) []byte {
	if p.err != nil || len(p.rest) < n {
		if p.err == nil {
			p.err = errShort
		}
		return make([]byte, n)
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

var errShort = fmt.Errorf("parts have other lengths")

// end gives the failure of the whole, also when something is left over.
func (p *parser) end(file string) error {
	if p.err == nil && len(p.rest) > 0 {
		p.err = errShort
	}
	if p.err == errShort {
		return damaged(file, errShort.Error())
	}
	return p.err
}

func parseFolder(file string, b []byte) (folderFile, error) {
	p, id := begin(file, b, kindFolder)
	f := folderFile{id: id, protection: p.take(1)[0]}
	switch f.protection {
	case open:
		f.secret = p.take(secretSize)
	case byPassphrase:
		f.iterations = binary.BigEndian.Uint32(p.take(4))
		f.salt, f.nonce, f.sealed = p.take(saltSize), p.take(nonceSize), p.take(secretSize+tagSize)
	}
	switch err := p.end(file); {
	case err != nil:
		return folderFile{}, err
	case f.protection > byPassphrase:
		return folderFile{}, event.Errorf(event.ErrFormat, "read key folder: file %s has protection %d, which is not known",
			file, f.protection).Hint("use a newer program")
	case f.protection == byPassphrase && (f.iterations < minIterations || f.iterations > maxIterations):
		return folderFile{}, damaged(file, fmt.Sprintf("%d iterations, want %d to %d", f.iterations, minIterations,
			maxIterations))
	}
	return f, nil
}

func parseKey(file string, b []byte) (keyFile, error) {
	p, id := begin(file, b, kindKey)
	f := keyFile{folder: id, name: string(p.take(int(p.take(1)[0])))}
	f.created = int64(binary.BigEndian.Uint64(p.take(8)))
	f.nonce, f.sealed = p.take(nonceSize), p.take(secretSize+tagSize)
	if err := p.end(file); err != nil {
		return keyFile{}, err
	}
	return f, named(file, f.name, keySuffix)
}

func parseTombstone(file string, b []byte) (tombstone, error) {
	p, id := begin(file, b, kindTombstone)
	f := tombstone{folder: id, name: string(p.take(int(p.take(1)[0])))}
	f.phase = p.take(1)[0]
	f.time = int64(binary.BigEndian.Uint64(p.take(8)))
	switch err := p.end(file); {
	case err != nil:
		return tombstone{}, err
	case f.phase != begun && f.phase != done:
		return tombstone{}, damaged(file, "its phase is not known")
	}
	return f, named(file, f.name, tombstoneSuffix)
}

// named refuses a file that was renamed: a key must not answer for another, nor a tombstone.
func named(file, name, suffix string) error {
	if kms.CheckName(name) != nil || name+suffix != file {
		return damaged(file, "it belongs to another name")
	}
	return nil
}
