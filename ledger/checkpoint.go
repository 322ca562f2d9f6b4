package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is the head of a log at some size, to be signed: C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string // which log; see Origin
	Size   uint64
	Root   Hash
}

// Origin is the origin line of a store's log: name/incarnation. A restored store is another incarnation and so
// another log.
func Origin(name string, incarnation uint64) string {
	return name + "/" + strconv.FormatUint(incarnation, 10)
}

// Tree is the tree the checkpoint speaks of.
func (c Checkpoint) Tree() Tree { return Tree{Size: c.Size, Root: c.Root} }

// FormatCheckpoint is the text of a checkpoint, three lines. ErrMalformed for an origin that cannot also be the
// name of a key (empty, not UTF-8, with spaces, control characters or '+') and for a size above MaxSize.
func FormatCheckpoint(c Checkpoint) (string, error) {
	if !validOrigin(c.Origin) || c.Size > MaxSize {
		return "", fmt.Errorf("format checkpoint of size %d with origin of %d bytes: %w",
			c.Size, len(c.Origin), ErrMalformed)
	}
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:])), nil
}

func validOrigin(s string) bool {
	refused := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' }
	return s != "" && utf8.ValidString(s) && strings.IndexFunc(s, refused) < 0
}

// ParseCheckpoint reads what FormatCheckpoint writes and nothing else: extension lines, which C2SP allows but
// nobody can audit, are refused with every other fault as ErrMalformed.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 {
		return Checkpoint{}, fmt.Errorf("parse checkpoint of %d bytes: want three lines: %w", len(text), ErrMalformed)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: size is no number: %w", ErrMalformed)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) {
		return Checkpoint{}, fmt.Errorf("parse checkpoint: root is not 32 bytes in base64: %w", ErrMalformed)
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: Hash(root)}
	if again, err := FormatCheckpoint(c); err != nil || again != text {
		return Checkpoint{}, fmt.Errorf("parse checkpoint of %d bytes: not canonical: %w", len(text), ErrMalformed)
	}
	return c, nil
}

// Sign makes the signed note of a checkpoint (C2SP signed-note). By C2SP the signer's name should be the origin.
func Sign(c Checkpoint, signer note.Signer) ([]byte, error) {
	text, err := FormatCheckpoint(c)
	if err != nil {
		return nil, err
	}
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint %s at %d: %w", c.Origin, c.Size, err)
	}
	return msg, nil
}

// OpenCheckpoint reads a signed note that at least one of the verifiers vouches for. ErrMismatch if none does or a
// signature of theirs is wrong, ErrMalformed for everything else. The caller compares Origin with the log it
// means: one key may sign for several.
func OpenCheckpoint(msg []byte, verifiers note.Verifiers) (Checkpoint, error) {
	opened, err := note.Open(msg, verifiers)
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return Checkpoint{}, fmt.Errorf("open checkpoint: signed by no known key: %w", ErrMismatch)
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("open checkpoint: wrong signature: %w", ErrMismatch)
	case err != nil:
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w: %w", ErrMalformed, err)
	}
	return ParseCheckpoint(opened.Text)
}
