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
	info, err := os.Stat(s.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	if others := info.Mode().Perm() & 0o077; others != 0 {
		return "", event.Invalid("exposed_token", "read token: others than its owner have access to %s, its mode is %04o",
			s.TokenFile, info.Mode().Perm()).Hint("chmod 600 %s, and make a new token if somebody may have read it", s.TokenFile)
	}
	text, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	return token, checkBearer(token, "file "+s.TokenFile)
}

// checkBearer refuses what no header of a call could hold.
func checkBearer(token, source string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return event.Invalid("token_malformed", "read %s: it holds more than one token", source).
			Hint("give what lethe token create printed, and nothing else")
	}
	return nil
}
