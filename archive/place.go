package archive

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// ParsePlace is the Place of a store that is named as on the command line: a folder as an absolute path, the address
// of a database without its passwords. A server is event.ErrUnsupported. Whether anything is there is not looked at.
func ParsePlace(store string) (string, error) {
	scheme, _, ok := strings.Cut(store, "://")
	switch {
	case !ok:
		path, err := filepath.Abs(store)
		if err != nil {
			return "", fmt.Errorf("name place: %w", err)
		}
		return path, nil
	case scheme == "http" || scheme == "https":
		return "", event.Errorf(event.ErrUnsupported, "copy store: a server's store is not copied through the server").
			Hint("run it where the server runs, on the folder or database it keeps the store in")
	}
	u, err := url.Parse(store)
	if err != nil { // which repeats the text, and that may hold a password
		return "", event.Invalid("malformed_address", "copy store: an address that begins %s:// cannot be read", scheme).
			Hint("name a folder, or a database such as postgres://lethe@db.example.org/bank")
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := u.Query()
	for name := range query {
		if strings.Contains(strings.ToLower(name), "password") {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
