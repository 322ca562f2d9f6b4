package client_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// cut is where a connection is cut.
type cut int

const (
	nowhere      cut = iota
	beforeServer     // what the client sent never arrives
	beforeClient     // it arrives, but nothing comes back
)

// proxy passes bytes on between client and server, and cuts connections between messages as it is told.
type proxy struct {
	address string

	mu     sync.Mutex
	target string // empty: the server is down, connections are cut at once
	choose func() cut
	open   map[net.Conn]bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), target: target, open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.point("")
		running.Wait()
	})
	return p
}

// point sets where the server is now, and cuts what is open.
func (p *proxy) point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for conn := range p.open {
		_ = conn.Close()
	}
}

// cuts has about one in n messages cut, either way; n below 1: none.
func (p *proxy) cuts(n int, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	random := rand.New(rand.NewPCG(seed, seed))
	p.choose = func() cut {
		if n < 1 || random.IntN(n) > 0 {
			return nowhere
		}
		return cut(1 + random.IntN(2))
	}
}

func (p *proxy) next() cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.choose == nil {
		return nowhere
	}
	return p.choose()
}

// keep registers a connection; false: the server is down.
func (p *proxy) keep(conn net.Conn) (target string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return p.target, p.target != ""
}

func (p *proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

func (p *proxy) carry(conn net.Conn) {
	defer p.drop(conn)
	target, ok := p.keep(conn)
	if !ok {
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if now, _ := p.keep(server); now != target {
		return
	}
	var mute sync.Once
	muted := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() { // what the server says
		defer conn.Close()
		p.pass(server, func(b []byte) bool {
			select {
			case <-muted:
				return false
			default:
			}
			if p.next() != nowhere {
				return false
			}
			_, err := conn.Write(b)
			return err == nil
		})
	})
	both.Go(func() { // what the client says
		p.pass(conn, func(b []byte) bool {
			switch p.next() {
			case beforeServer:
				return false
			case beforeClient:
				mute.Do(func() { close(muted) })
			}
			_, err := server.Write(b)
			return err == nil
		})
		_ = server.Close()
	})
	both.Wait()
}

func (*proxy) pass(from io.Reader, each func([]byte) bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !each(b[:n]) || err != nil {
			return
		}
	}
}
