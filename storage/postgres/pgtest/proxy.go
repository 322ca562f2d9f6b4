package pgtest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Line is a proxy between a caller and a server that knows where each message of PostgreSQL's protocol begins and
// ends, in order to cut between any two of them. Messages are counted in both directions and over all connections
// together, in the order in which they pass; a caller's first message, which has no type, is one of them. A
// goodbye is not counted, nor a request to cancel another connection's query: nobody waits until they have passed, so
// that it would depend on chance what they are counted with.
//
// A cut connection ends as if the other side had closed it: what passed before arrives, nothing after it does.
type Line struct {
	listener net.Listener
	address  string // of callers
	target   string // host:port of the server
	running  sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]bool
	count  int
	cutAt  int // 0: nowhere
	after  bool
	refuse bool
	hang   bool
	delay  time.Duration
	answer *answer // nil: none is armed
}

// Proxy starts a proxy to the server at an address of this package, and ends it and its connections with the test.
// It speaks no TLS.
func Proxy(t testing.TB, address string) *Line {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil || target.Port() == "" {
		t.Fatal("start proxy: its target is not a URL such as postgres://user@host:port/database")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	n := &Line{listener: listener, target: target.Host, links: map[*link]bool{}}
	query := target.Query()
	query.Set("sslmode", "disable")
	target.Host, target.RawQuery = listener.Addr().String(), query.Encode()
	n.address = target.String()
	n.running.Go(n.accept)
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Errorf("end proxy: %v", err)
		}
		n.breakAll()
		n.running.Wait()
	})
	return n
}

// Address is the target's address through the proxy.
func (n *Line) Address() string { return n.address }

// CutAt counts from 0 again, and cuts every connection, once, before or after the message of this number passes; the
// first is 1, and 0 cuts nowhere. New connections are accepted after that.
func (n *Line) CutAt(number int, after bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count, n.cutAt, n.after = 0, number, after
}

// Count is how many messages passed since CutAt, or since the start.
func (n *Line) Count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count
}

// CutAll cuts every open connection now.
func (n *Line) CutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutLinks(func(*link) bool { return true })
}

// Refuse makes the proxy reset new connections at once, or accept them again. Open ones are left alone.
func (n *Line) Refuse(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = on
}

// Hang makes every connection, open or new, swallow what it is sent, as a network does that loses every packet: nobody
// is told. Swallowed messages are not counted. When it ends, the connections that were open meanwhile are cut, since
// they have lost messages.
func (n *Line) Hang(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hang && !on {
		n.cutLinks(func(*link) bool { return true })
	}
	n.hang = on
}

// Delay makes each message arrive this much later in either direction. Messages on their way at the same time share
// the delay, as on a long line.
func (n *Line) Delay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

func (n *Line) lateness() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.delay
}

// silent tells whether not even the end of a connection gets through.
func (n *Line) silent() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hang
}

// cutLinks is called with the lock held.
func (n *Line) cutLinks(which func(*link) bool) {
	for l := range n.links {
		if which(l) {
			l.cut()
		}
	}
}

func (n *Line) breakAll() {
	n.mu.Lock()
	n.refuse = true // what was accepted meanwhile
	links := slices.Collect(maps.Keys(n.links))
	n.mu.Unlock()
	for _, l := range links {
		l.cut()
		l.breakNow() // without the lock: links take theirs first, then the line's
	}
}

func (n *Line) accept() {
	for {
		caller, err := n.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		n.running.Go(func() { n.serve(caller.(*net.TCPConn)) })
	}
}

// serve carries one connection. While the proxy hangs, the server does not learn of it.
func (n *Line) serve(caller *net.TCPConn) {
	l := &link{line: n, caller: caller, gone: make(chan struct{}), statements: map[string]string{}}
	if !n.admit(l) {
		_ = caller.SetLinger(0) // a reset instead of an orderly end
		_ = caller.Close()
		return
	}
	defer n.leave(l)
	if err := l.open(); err != nil {
		return
	}
	l.carry()
}

func (n *Line) admit(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse {
		return false
	}
	l.deaf = n.hang
	n.links[l] = true
	return true
}

func (n *Line) leave(l *link) {
	n.mu.Lock()
	delete(n.links, l)
	n.mu.Unlock()
	l.breakNow()
}

// verdict is what happens to a message.
type verdict int

const (
	forward verdict = iota
	swallow
	last // forward it, the connection is cut after it
	stop // the connection is cut before it
)

// judge counts a message that is about to pass.
func (n *Line) judge(l *link, m message) verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-l.gone:
		return stop
	default:
	}
	if n.hang || l.deaf {
		return swallow
	}
	if m.farewell {
		return forward
	}
	if n.count++; n.count != n.cutAt {
		return forward
	}
	n.cutAt = 0
	n.cutLinks(func(*link) bool { return true })
	if n.after {
		return last
	}
	n.count--
	return stop
}

// String names the two ends, without user and password.
func (n *Line) String() string { return fmt.Sprintf("proxy %s to %s", n.listener.Addr(), n.target) }
