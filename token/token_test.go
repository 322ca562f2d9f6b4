package token_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/token"
)

func mint(t testing.TB, seed byte) token.Secret {
	t.Helper()
	s, err := token.Mint(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// base62 is what the page says, by other means than the code: math/big has the digits in the order 0-9 a-z A-Z.
func base62(n *big.Int, width int) string {
	text := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, n.Text(62))
	return strings.Repeat("0", width-len(text)) + text
}

// TestExample lays the text out by hand, from the page and not from the code.
func TestExample(t *testing.T) {
	random := make([]byte, 40)
	for i := range random {
		random[i] = byte(7 * i)
	}
	bits := new(big.Int).Rsh(new(big.Int).SetBytes(random[:8]), 4)
	id := ""
	for i := range 12 {
		five := new(big.Int).Rsh(bits, uint(55-5*i)).Uint64() & 31
		id += "0123456789abcdefghjkmnpqrstvwxyz"[five : five+1]
	}
	secret := base62(new(big.Int).SetBytes(random[8:]), 43)
	before := "lethe_" + id + "_" + secret
	sum := crc32.ChecksumIEEE([]byte(before))
	text := before + base62(big.NewInt(int64(sum)), 6)

	got, err := token.Mint(bytes.NewReader(random))
	if err != nil || got.Reveal() != text || got.ID() != id {
		t.Errorf("the page gives %s, the code %s of id %s (%v)", text, got.Reveal(), got.ID(), err)
	}
	var page strings.Builder
	line := func(left, right string) { fmt.Fprintf(&page, "%-66s  %s\n", left, right) }
	line(fmt.Sprintf("%015x", bits), "60 random bits")
	line(id, "id")
	line(hex.EncodeToString(random[8:]), "secret, 32 random bytes")
	line(secret, "in base 62")
	line(fmt.Sprintf("%08x", sum), "CRC-32 of "+before[:len("lethe_")+13]+"…")
	line(base62(big.NewInt(int64(sum)), 6), "in base 62")
	fmt.Fprintf(&page, "\n%s\n\n", text)
	line(fmt.Sprintf("%x", sha256.Sum256(random[8:])), "SHA-256 of the secret: what is kept")
	pagetest.Compare(t, "../docs/format/token.md", "", page.String())
}

// form is the pattern of docs/format/token.md.
var form = regexp.MustCompile(`^lethe_[0-9a-hjkmnp-tv-z]{12}_[0-9A-Za-z]{49}$`)

func TestMintedParses(t *testing.T) {
	seen := map[string]bool{}
	for seed := range 200 {
		s := mint(t, byte(seed))
		text := s.Reveal()
		if !form.MatchString(text) || seen[text] || seen[s.ID()] {
			t.Errorf("minted %q of id %q", text, s.ID())
		}
		seen[text], seen[s.ID()] = true, true
		parsed, err := token.Parse(text)
		if err != nil || parsed.Reveal() != text || parsed.ID() != s.ID() {
			t.Errorf("parsed %q as %q (%v)", text, parsed.Reveal(), err)
		}
	}
	for _, random := range [][]byte{make([]byte, 40), bytes.Repeat([]byte{0xff}, 40)} {
		s, err := token.Mint(bytes.NewReader(random))
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := token.Parse(s.Reveal()); err != nil || parsed.Reveal() != s.Reveal() {
			t.Errorf("parsed %q as %q (%v)", s.Reveal(), parsed.Reveal(), err)
		}
	}
	if s, err := token.Mint(bytes.NewReader(make([]byte, 39))); err == nil || s.Reveal() != "" {
		t.Error("a token was minted of too little randomness")
	}
}

func refused(t *testing.T, text string) {
	t.Helper()
	s, err := token.Parse(text)
	var e *event.Error
	if !errors.Is(err, event.ErrInvalid) || event.Code(err) != "token_malformed" || !errors.As(err, &e) || e.Next == "" {
		t.Errorf("parsed %q: %v", text, err)
	}
	if s.Reveal() != "" || s.ID() != "" {
		t.Errorf("of a text that was refused came %q", s.Reveal())
	}
}

// TestParseRefusesEveryError changes, leaves out, doubles and swaps every character.
func TestParseRefusesEveryError(t *testing.T) {
	text := mint(t, 1).Reveal()
	for i := range text {
		for _, c := range []byte("0z_Z!\x00\xff") {
			if text[i] != c {
				refused(t, text[:i]+string(c)+text[i+1:])
				refused(t, text[:i]+string([]byte{c})+text[i+1:])
			}
		}
		refused(t, text[:i])
		refused(t, text[:i]+text[i+1:])
		refused(t, text[:i]+text[i:i+1]+text[i:])
		if i > 0 && text[i] != text[i-1] {
			refused(t, text[:i-1]+text[i:i+1]+text[i-1:i]+text[i+1:])
		}
	}
	for _, other := range []string{
		"", " ", "lethe_", "Bearer " + text, " " + text, text + " ", text + "\n",
		strings.ToUpper(text), strings.ToLower(text),
	} {
		refused(t, other)
	}
}

// TestParseRefusesForged are texts whose checksum fits and whose parts do not.
func TestParseRefusesForged(t *testing.T) {
	const id = "0123456789ab"
	largest := new(big.Int).Lsh(big.NewInt(1), 256)
	fits := base62(new(big.Int).Sub(largest, big.NewInt(1)), 43)
	signed := func(before string) string {
		return before + base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(before)))), 6)
	}
	if s, err := token.Parse(signed("lethe_" + id + "_" + fits)); err != nil || s.ID() != id {
		t.Errorf("the largest secret: %v", err)
	}
	for _, before := range []string{
		"lethe_" + id + "_" + base62(largest, 43), "lethe_" + id + "_" + strings.Repeat("z", 43),
		"lethe_" + id + "-" + fits, "lethe_" + "0123456789aB" + "_" + fits, "lethe_" + "0123456789al" + "_" + fits,
		"lethe_" + "0123456789a_" + "_" + fits, "lethe_" + "01234i6789ab" + "_" + fits,
		"lethe_" + id + "_" + fits[:42] + "_", "lethe_" + id + "_" + fits[:41] + "é", "Lethe_" + id + "_" + fits,
	} {
		refused(t, signed(before))
	}
}

// TestSecretDoesNotPrint prints a secret in every way there is, by itself and as a part of something.
func TestSecretDoesNotPrint(t *testing.T) {
	s := mint(t, 1)
	want, random := "lethe_"+s.ID()+"_…", make([]byte, 40)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(random); err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Shown  token.Secret
		hidden token.Secret
		Ptr    *token.Secret
	}
	part := holder{s, s, &s}
	var out strings.Builder
	for _, verb := range strings.Split("v +v #v s q d x X b o p e c U t T 080.40v", " ") {
		for _, value := range []any{s, &s, part, &part, []token.Secret{s}, map[string]any{"s": s}, fmt.Errorf("%v", s)} {
			fmt.Fprintf(&out, "%"+verb+"\n", value)
		}
	}
	for _, log := range []*slog.Logger{
		slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil)),
	} {
		log.Info("call", "token", s, "part", part)
	}
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for name, secret := range map[string]string{
		"its text": s.Reveal()[19:62], "its bytes": string(random[8:]), "hex": hex.EncodeToString(random[8:16]),
		"HEX": fmt.Sprintf("%X", random[8:16]), "numbers": strings.Trim(fmt.Sprint(random[8:12]), "[]"),
		"Go": strings.Trim(fmt.Sprintf("%#v", random[8:12])[7:], "{}"),
	} {
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, secret) {
				t.Errorf("a secret was printed as %s: %s", name, line)
			}
		}
	}
	for _, got := range []string{
		s.String(), s.GoString(), s.LogValue().String(), fmt.Sprint(s), fmt.Sprintf("%d", s), fmt.Sprintf("%#v", s),
	} {
		if got != want {
			t.Errorf("printed %q instead of %q", got, want)
		}
	}
	if text, err := json.Marshal(s); err != nil || string(text) != `"`+want+`"` {
		t.Errorf("encoded %s, %v", text, err)
	}
	if got := (token.Secret{}); got.Reveal() != "" || got.String() != "lethe__…" {
		t.Errorf("the zero secret is %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for seed := range byte(3) {
		text := mint(f, seed).Reveal()
		f.Add(text)
		f.Add(text[:40])
		f.Add(strings.ToUpper(text))
	}
	f.Add("lethe__")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := token.Parse(text)
		switch {
		case err == nil && (s.Reveal() != text || !form.MatchString(text)):
			t.Errorf("%q came back as %q", text, s.Reveal())
		case err != nil && event.Code(err) != "token_malformed":
			t.Errorf("%q: %v", text, err)
		}
	})
}
