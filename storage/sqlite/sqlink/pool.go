package sqlink

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"
)

// maxReaders bounds the reading connections; a reader beyond them waits for one.
const maxReaders = 8

// Pool keeps reading connections. They are opened when first needed.
type Pool struct {
	path  string
	slots chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*Conn
	closed bool
}

// NewPool is one of reading connections to a file that is there.
func NewPool(path string) *Pool {
	return &Pool{path: path, slots: make(chan struct{}, maxReaders)}
}

// Take is a connection for one reader, who gives it back.
func (p *Pool) Take(ctx context.Context) (*Conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a reading connection: %w", ctx.Err())
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.slots
		return nil, ErrClosed()
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := openConn(p.path, sqlite.OpenReadOnly, Schema{})
	if err != nil {
		<-p.slots
	}
	return c, err
}

// Give returns a connection; one that failed is closed instead.
func (p *Pool) Give(c *Conn, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if failed || p.closed {
		_ = c.Close() // it failed already, and its error was returned
	} else {
		p.idle = append(p.idle, c)
	}
	<-p.slots
}

// Close waits for readers to finish, then closes every connection.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	for range maxReaders {
		p.slots <- struct{}{}
	}
	var errs []error
	for _, c := range p.idle {
		errs = append(errs, c.Close())
	}
	for range maxReaders { // whoever asks now finds the pool closed instead of waiting
		<-p.slots
	}
	return errors.Join(errs...)
}
