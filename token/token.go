// Package token is access tokens: their text, what they allow, and checking them.
//
// A token is opaque: it means what the store it belongs to has noted of it, and nothing else. So it can be taken back
// at any moment, and nobody can make one by himself.
//
//	keeper := token.New(engine, event.SystemClock{}, rand.Reader)
//	secret, _, err := keeper.Create(ctx, token.Grant{Label: "night import", Scope: token.Scope{Append: true}})
//	fmt.Println(secret.Reveal()) // the only time it is seen
//
//	bearer, err := keeper.Check(ctx, text) // on every call; event.ErrDenied says why not
//	filter, some := bearer.Narrow(filter)  // what it may see of what it asks for
//
// # Text
//
//	lethe_<id>_<secret><check>      6 + 12 + 1 + 43 + 6 = 68 characters
//
// id is 60 random bits in 12 characters of 0-9 a-z without i, l, o and u. It names the token in lists and logs. secret
// is 256 random bits as a number in base 62, 43 digits of 0-9 A-Z a-z. check is the CRC-32 (IEEE) of everything before
// it, in 6 such digits: by it a typing error or a cut is told from a token that is not known, without asking the store,
// and a scanner tells a leaked token from a text that looks like one. docs/format/token.md has a worked example.
//
// # What is kept
//
// Of the secret only its SHA-256 is kept. The slow, salted hashes that passwords need protect what can be guessed: 256
// random bits cannot, however fast each guess is, and no two tokens share them. A plain hash is enough, and costs a
// call nothing. It is compared in constant time.
//
// # Printing
//
// A [Secret] prints, logs and encodes as lethe_<id>_…, however it is printed. [Secret.Reveal] is the one way to the
// text: to search for it finds every place where it can get out.
package token

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// The form: a prefix by which people and scanners know it, and the lengths of the parts.
const (
	prefix      = "lethe_"
	idChars     = 12
	secretChars = 43 // the least digits that hold 256 bits
	checkChars  = 6  // the least digits that hold 32 bits

	secretAt = len(prefix) + idChars + 1
	checkAt  = secretAt + secretChars
	size     = checkAt + checkChars
)

// idAlphabet has no letter that is taken for another character when it is read out or typed.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// Secret is a token as its holder has it. The zero Secret is none.
type Secret struct {
	id string
	// key gives the 256 bits. It is a function, because fmt goes around the methods of what stands in a field that is
	// not exported: of bytes, and even of a pointer to bytes, it prints the content under some verb.
	key func() [32]byte
}

func newSecret(id string, key [32]byte) Secret {
	return Secret{id: id, key: func() [32]byte { return key }}
}

// Mint makes a token of 40 bytes of randomness.
func Mint(rand io.Reader) (Secret, error) {
	var b [8 + 32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return Secret{}, fmt.Errorf("mint token: read randomness: %w", err)
	}
	return newSecret(idOf([8]byte(b[:8])), [32]byte(b[8:])), nil
}

// idOf takes the upper 60 bits, five to a character.
func idOf(b [8]byte) string {
	n := bigEndian(b[:])
	var id [idChars]byte
	for i := range id {
		id[i] = idAlphabet[n>>59]
		n <<= 5
	}
	return string(id[:])
}

// Parse reads the text of a token, strictly: what it accepts is what Reveal gives. Anything else is event.ErrInvalid
// with code token_malformed. Whether the token is good for anything, only its store knows: see [Keeper.Check].
func Parse(text string) (Secret, error) {
	id, key, cause := parse(text)
	if cause != "" {
		return Secret{}, malformed(event.ErrInvalid, "parse", cause)
	}
	return newSecret(strings.Clone(id), key), nil
}

// parse is Parse without anything on the heap, since every call comes through here; cause says what is wrong.
func parse(text string) (id string, key [32]byte, cause string) {
	switch {
	case !strings.HasPrefix(text, prefix):
		return "", key, "it does not begin with " + prefix
	case len(text) != size:
		return "", key, "it is cut off, or something follows it"
	}
	var check [checkChars]byte
	number{checksum(text[:checkAt])}.put(check[:])
	if string(check[:]) != text[checkAt:] {
		return "", key, "its checksum does not fit: a character is wrong"
	}
	id = text[len(prefix) : secretAt-1]
	n, ok := parseNumber(text[secretAt:checkAt])
	if !ok || text[secretAt-1] != '_' || strings.Trim(id, idAlphabet) != "" {
		return "", key, "its id or its secret has another form"
	}
	return id, n.bytes(), ""
}

func malformed(kind error, verb, cause string) error {
	return &event.Error{
		Sentinel: kind, Code: "token_malformed", Message: verb + " token: " + cause,
		Next: "give it whole, as it was shown when it was created",
	}
}

// checksum is CRC-32 over a text; the one of hash/crc32 wants bytes, which would have to be copied.
func checksum(s string) uint64 {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc32.IEEETable[byte(crc)^s[i]] ^ crc>>8
	}
	return uint64(^crc)
}

// ID names the token. It is no secret.
func (s Secret) ID() string { return s.id }

// Reveal is the whole text: for its holder, at the one moment it is shown, and for the header of a call. It is empty
// for the zero Secret.
func (s Secret) Reveal() string {
	if s.key == nil {
		return ""
	}
	b := make([]byte, size)
	copy(b, prefix+s.id+"_")
	numberOf(s.key()).put(b[secretAt:checkAt])
	number{checksum(string(b[:checkAt]))}.put(b[checkAt:])
	return string(b)
}

// hash is what is kept of the secret.
func (s Secret) hash() [32]byte {
	key := s.key()
	return sha256.Sum256(key[:])
}

// String shows the id.
func (s Secret) String() string { return prefix + s.id + "_…" }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format prints String whatever the verb: those for numbers would go around it.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, so that a Secret does not get out within something that is encoded.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
