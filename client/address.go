package client

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// address is where a store is.
type address struct {
	base   string // scheme and host, without a path
	host   string // with its port, for messages
	name   string // of the store; empty: the server's only one
	secure bool   // TLS
	local  bool   // this machine itself
}

// parseAddress reads http(s)://host:port[/name].
func parseAddress(text string) (address, error) {
	malformed := event.Invalid("malformed_address", "parse address: want http(s)://host:port, and /name of the store "+
		"where the server has several")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return address{}, malformed
	}
	if u.User != nil {
		return address{}, event.Invalid("malformed_address", "parse address: it holds a user or a password").
			Hint("give the token apart from the address")
	}
	name := strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	if u.RawQuery != "" || u.Fragment != "" || name != "" && !wire.StoreName(name) {
		return address{}, malformed
	}
	return address{
		base: u.Scheme + "://" + u.Host, host: u.Host, name: name, secure: u.Scheme == "https", local: loopback(u.Hostname()),
	}, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// guard refuses a token that is none, and one that everybody on the way could read.
func (a *address) guard(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return event.Invalid("malformed_token", "send token to %s: it holds characters that no token has", a.host).
			Hint("look for a line end or a quotation mark that came along")
	}
	if token == "" || a.secure || a.local {
		return nil
	}
	return event.Invalid("insecure_token", "send token to %s: over plain http everybody on the way can read it", a.host).
		Hint("use https; plain http is for this machine itself")
}
