// Package host gives a server what it needs of the machine: a socket, TLS, a log, traces.
//
//	door := host.Door{Listen: "127.0.0.1:7070"}
//	socket, err := door.Open(ctx)
//	… // stores are opened, with socket.Address for their lock files
//	err = srv.Serve(ctx, socket, socket.TLS)
//
// A door to other machines opens only with TLS and tokens; who lacks one of them is told which. What must be known
// before the first call is known when Open returns: the address, also of port 0, and that the certificate is good.
package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// Door is where a server shall listen, and how.
type Door struct {
	Listen    string // HOST:PORT; no HOST: every address of the machine; port 0: any that is free
	Cert, Key string // PEM files; empty: no TLS
	NoTokens  bool   // every caller may do everything
	File      string // gets the address (Announce); one that an earlier door left behind is removed; may be empty
}

// Socket is an open door. What connects before it is served waits.
type Socket struct {
	net.Listener
	TLS     *tls.Config // nil: none
	Address string      // http(s)://host:port, by which callers on this machine reach it
	Local   bool        // nobody else does

	file string
}

// Open listens. Faults are event.ErrInvalid; an address that is taken is event.ErrUnavailable.
func (d Door) Open(ctx context.Context) (*Socket, error) {
	at, local, err := d.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.guard(local); err != nil {
		return nil, err
	}
	s := &Socket{Local: local, file: d.File}
	if err := s.withdraw(); err != nil {
		return nil, err
	}
	if d.Cert != "" {
		pair, err := tls.LoadX509KeyPair(d.Cert, d.Key)
		if err != nil {
			return nil, event.Invalid("malformed_certificate", "read certificate %s with key %s: %s", d.Cert, d.Key, told(err)).
				Hint("give the PEM files of a certificate and of its key")
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if s.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", at); err != nil {
		return nil, event.Errorf(event.ErrUnavailable, "listen on %s: %s", d.Listen, told(err)).
			Hint("stop what listens there, or give another --listen")
	}
	s.Address = s.reach(d.Listen)
	return s, nil
}

// resolve finds the address to listen on, and whether only this machine reaches it. A name is looked up here once: what
// was judged is what is listened on.
func (d Door) resolve(ctx context.Context) (at string, local bool, err error) {
	host, port, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return "", false, event.Invalid("malformed_address", "listen: want HOST:PORT, such as 127.0.0.1:7070")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false, event.Invalid("malformed_address", "listen: port %d is not from 0 to 65535", n)
	}
	if host == "" {
		return d.Listen, false, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return "", false, event.Invalid("malformed_address", "listen: host %s is not known", host).
			Hint("give an address of this machine, or 127.0.0.1")
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { // IPv4 first
		return a.Unmap().BitLen() - b.Unmap().BitLen()
	})
	ip := found[0].Unmap()
	return net.JoinHostPort(ip.String(), port), ip.IsLoopback(), nil
}

// guard refuses a door to other machines without TLS or tokens.
func (d Door) guard(local bool) error {
	switch {
	case (d.Cert == "") != (d.Key == ""):
		return event.Invalid("usage", "listen on %s: a certificate goes with its key", d.Listen).
			Hint("give both --tls-cert and --tls-key")
	case local:
		return nil
	case d.Cert == "" && d.NoTokens:
		return exposed(d.Listen, "TLS and tokens: both are missing").
			Hint("give --tls-cert and --tls-key and leave --no-tokens away, or listen on 127.0.0.1")
	case d.Cert == "":
		return exposed(d.Listen, "TLS and tokens: TLS is missing").
			Hint("give --tls-cert and --tls-key, or listen on 127.0.0.1")
	case d.NoTokens:
		return exposed(d.Listen, "TLS and tokens: tokens are off").
			Hint("leave --no-tokens away, or listen on 127.0.0.1")
	}
	return nil
}

func exposed(listen, missing string) *event.Error {
	return event.Invalid("exposed_listener", "listen on %s: it is reached from beyond this machine, which needs %s",
		listen, missing)
}

// reach is the address of the socket for callers on this machine: by the name in the certificate, where there is one.
func (s *Socket) reach(listen string) string {
	scheme, host := "http", "127.0.0.1"
	at := s.Addr().(*net.TCPAddr)
	if !at.IP.IsUnspecified() {
		host, _, _ = net.SplitHostPort(listen)
	}
	if s.TLS != nil {
		scheme = "https"
		for _, name := range s.TLS.Certificates[0].Leaf.DNSNames {
			if !strings.HasPrefix(name, "*") {
				host = name
				break
			}
		}
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(at.Port))
}

// told is what the system says of a failure, without the call that it came from.
func told(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

// Announce writes the address into the file of the door, whole or not at all, for programs that wait for it.
func (s *Socket) Announce() error {
	if s.file == "" {
		return nil
	}
	begun := s.file + ".new"
	err := os.WriteFile(begun, []byte(s.Address+"\n"), 0o644)
	if err == nil {
		err = os.Rename(begun, s.file)
	}
	if err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	return nil
}

func (s *Socket) withdraw() error {
	if s.file == "" {
		return nil
	}
	if err := os.Remove(s.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove address: %w", err)
	}
	return nil
}

// Shut closes the socket, which may be closed already, and takes the file with the address away.
func (s *Socket) Shut() error {
	err := s.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, s.withdraw())
}
