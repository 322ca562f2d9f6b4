package ledger_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/ledger"
)

// testKey is the note key pair of a name and the Ed25519 seed that repeats one byte.
func testKey(t testing.TB, name string, seedByte byte) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey := testKeyText(t, name, seedByte)
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func testKeyText(t testing.TB, name string, seedByte byte) (skey, vkey string) {
	t.Helper()
	seed := bytes.Repeat([]byte{seedByte}, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	private := base64.StdEncoding.EncodeToString(append([]byte{1}, seed...))
	return "PRIVATE+KEY+" + name + "+" + hash + "+" + private, vkey
}

// TestC2SPExample: the body of the example in the C2SP tlog-checkpoint specification.
func TestC2SPExample(t *testing.T) {
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	c, err := ledger.ParseCheckpoint(text)
	if err != nil || c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || c.Root[0] != 0x0a {
		t.Fatalf("parsed %+v: %v", c, err)
	}
	if again, err := ledger.FormatCheckpoint(c); err != nil || again != text {
		t.Errorf("formatted %q: %v", again, err)
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	signer, verifier := testKey(t, "loans/3", 7)
	rapid.Check(t, func(t *rapid.T) {
		want := ledger.Checkpoint{
			Origin: ledger.Origin(rapid.StringMatching(`[a-z.]{1,20}`).Draw(t, "name"), rapid.Uint64().Draw(t, "n")),
			Size:   rapid.Uint64Max(ledger.MaxSize).Draw(t, "size"),
			Root:   ledger.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root")),
		}
		msg, err := ledger.Sign(want, signer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ledger.OpenCheckpoint(msg, note.VerifierList(verifier))
		if err != nil || got != want {
			t.Fatalf("opened %+v, want %+v: %v", got, want, err)
		}
		if got.Tree() != (ledger.Tree{Size: want.Size, Root: want.Root}) {
			t.Fatal("another tree")
		}
	})
}

func TestSignedCheckpointBitFlips(t *testing.T) {
	signer, verifier := testKey(t, "loans/3", 7)
	c := ledger.Checkpoint{Origin: "loans/3", Size: 1234, Root: ledger.Hash{1}}
	msg, err := ledger.Sign(c, signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(msg) * 8 {
		flipped := bytes.Clone(msg)
		flipped[i/8] ^= 1 << (i % 8)
		got, err := ledger.OpenCheckpoint(flipped, note.VerifierList(verifier))
		if err == nil {
			t.Errorf("bit %d: opened as %+v", i, got)
		} else if !errors.Is(err, ledger.ErrMismatch) && !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("bit %d: untyped error %v", i, err)
		}
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	signer, verifier := testKey(t, "loans/3", 7)
	_, stranger := testKey(t, "loans/3", 8)
	c := ledger.Checkpoint{Origin: "loans/3", Size: 5, Root: ledger.Hash{1}}
	msg, err := ledger.Sign(c, signer)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ledger.FormatCheckpoint(c)
	if err != nil {
		t.Fatal(err)
	}
	extended, err := note.Sign(&note.Note{Text: text + "extension\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		msg   []byte
		known note.Verifiers
		want  error
	}{
		"another key":    {msg, note.VerifierList(stranger), ledger.ErrMismatch},
		"no key":         {msg, note.VerifierList(), ledger.ErrMismatch},
		"no verifiers":   {msg, nil, ledger.ErrMismatch},
		"cut":            {msg[:len(msg)-1], note.VerifierList(verifier), ledger.ErrMalformed},
		"nothing":        {nil, note.VerifierList(verifier), ledger.ErrMalformed},
		"extension line": {extended, note.VerifierList(verifier), ledger.ErrMalformed},
	} {
		if _, err := ledger.OpenCheckpoint(c.msg, c.known); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckpointsThatAreNone(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, text := range map[string]string{
		"empty":                    "",
		"no origin":                "\n1\n" + root + "\n",
		"origin with a space":      "a b\n1\n" + root + "\n",
		"origin with a plus":       "a+b\n1\n" + root + "\n",
		"origin with a control":    "a\x01\n1\n" + root + "\n",
		"origin not UTF-8":         "a\xff\n1\n" + root + "\n",
		"leading zero":             "a\n01\n" + root + "\n",
		"sign":                     "a\n+1\n" + root + "\n",
		"negative":                 "a\n-1\n" + root + "\n",
		"beyond the largest tree":  "a\n72057594037927937\n" + root + "\n",
		"beyond 64 bits":           "a\n18446744073709551616\n" + root + "\n",
		"short root":               "a\n1\n" + root[4:] + "\n",
		"no padding":               "a\n1\n" + root[:43] + "\n",
		"stray bits in the base64": "a\n1\n" + root[:42] + "B=\n",
		"carriage return":          "a\n1\n" + root + "\r\n",
		"no last newline":          "a\n1\n" + root,
		"extension":                "a\n1\n" + root + "\nx\n",
		"blank line":               "a\n1\n" + root + "\n\n",
	} {
		if c, err := ledger.ParseCheckpoint(text); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	signer, _ := testKey(t, "a", 1)
	for _, c := range []ledger.Checkpoint{{}, {Origin: "a\nb"}, {Origin: "a", Size: ledger.MaxSize + 1}} {
		if _, err := ledger.Sign(c, signer); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("signed %+v: %v", c, err)
		}
	}
}

// brokenSigner is a key store that is away.
type brokenSigner struct {
	note.Signer
	err error
}

func (s brokenSigner) Sign([]byte) ([]byte, error) { return nil, s.err }

func TestSignerFails(t *testing.T) {
	signer, _ := testKey(t, "a", 1)
	away := errors.New("key store is away")
	if _, err := ledger.Sign(ledger.Checkpoint{Origin: "a"}, brokenSigner{signer, away}); !errors.Is(err, away) {
		t.Errorf("signed without a key: %v", err)
	}
}

// TestErrorCodes: the codes are what scripts match on.
func TestErrorCodes(t *testing.T) {
	for want, err := range map[string]error{
		"malformed": ledger.ErrMalformed, "unknown_format": ledger.ErrUnknownFormat,
		"verification_failed": ledger.ErrMismatch,
	} {
		var coded interface{ ErrorCode() string }
		if !errors.As(err, &coded) || coded.ErrorCode() != want {
			t.Errorf("code of %v is not %s", err, want)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	text, err := ledger.FormatCheckpoint(ledger.Checkpoint{Origin: "loans/3", Size: 1234, Root: ledger.Hash{1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("a\n0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ledger.ParseCheckpoint(text)
		if err != nil {
			if !errors.Is(err, ledger.ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again, err := ledger.FormatCheckpoint(c); err != nil || again != text {
			t.Fatalf("not canonical: %q, %q, %v", text, again, err)
		}
	})
}
