package torture_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// cutter is a network that breaks: a proxy of TCP which forwards message by message, a message being what one read
// gives, and cuts the connection before or after some of them. Where it leads to may change while it works.
type cutter struct {
	listener net.Listener
	target   atomic.Pointer[string]
	cut      func(message int) (before, after bool)
	messages atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

// newCutter begins to forward. cut is asked about each message, counted from 0 over all connections and both
// directions.
func newCutter(target string, cut func(message int) (before, after bool)) (*cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cutter{listener: l, cut: cut, conns: make(map[net.Conn]struct{})}
	c.lead(target)
	c.work.Go(c.accept)
	return c, nil
}

func (c *cutter) address() string { return "http://" + c.listener.Addr().String() }

func (c *cutter) lead(target string) { c.target.Store(&target) }

func (c *cutter) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", *c.target.Load())
		if err != nil {
			reset(in)
			continue
		}
		if !c.keep(in, out) {
			return
		}
		c.work.Go(func() { c.forward(in, out) })
		c.work.Go(func() { c.forward(out, in) })
	}
}

// keep remembers connections for close; false: it is closed already.
func (c *cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		if c.conns == nil {
			reset(conn)
			continue
		}
		c.conns[conn] = struct{}{}
	}
	return c.conns != nil
}

func (c *cutter) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

func (c *cutter) forward(from, to net.Conn) {
	defer c.forget(from)
	defer reset(from)
	defer reset(to)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			before, after := c.cut(int(c.messages.Add(1) - 1))
			if before {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil || after {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reset closes a connection. What was written is sent; what the other side still sends meets a closed door.
func reset(conn net.Conn) { _ = conn.Close() }

func (c *cutter) close() error {
	err := c.listener.Close()
	c.mu.Lock()
	for conn := range c.conns {
		reset(conn)
	}
	c.conns = nil
	c.mu.Unlock()
	c.work.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
