package setting

import (
	"fmt"
	"os"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// Bearer is the token for a server; empty: none is set. A flag goes before the environment, and that before the file of
// settings. Faults are event.ErrInvalid, or errors of the file system: exposed_token for a file that others may read.
func (s *Settings) Bearer() (string, error) {
	source := s.Source(TokenFile)
	fromFlag, fromEnvironment := strings.HasPrefix(source, "flag "), strings.HasPrefix(source, "environment ")
	switch {
	case s.TokenFile == "" || s.Token != "" && !fromFlag && !fromEnvironment:
		return s.Token, checkBearer(s.Token, s.Source(Token))
	case s.Token != "" && fromEnvironment:
		return "", event.Invalid("usage", "find token: %sTOKEN and %sTOKEN_FILE are both set", envPrefix, envPrefix).
			Hint("leave one of them away")
	}
	text, err := Secret("token", s.TokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(text)
	return token, checkBearer(token, "file "+s.TokenFile)
}

// Secret reads a file with a secret: what says what it is, such as token. Faults are errors of the file system, and
// event.ErrInvalid with code exposed_token for a file that others may read.
func Secret(what, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if others := info.Mode().Perm() & 0o077; others != 0 {
		return "", event.Invalid("exposed_token", "read %s: others than its owner have access to %s, its mode is %04o",
			what, path, info.Mode().Perm()).
			Hint("chmod 600 %s, and make a new %s if somebody may have read it", path, what)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	return string(text), nil
}

// checkBearer refuses what no header of a call could hold.
func checkBearer(token, source string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return event.Invalid("token_malformed", "read %s: it holds more than one token", source).
			Hint("give what lethe token create printed, and nothing else")
	}
	return nil
}
