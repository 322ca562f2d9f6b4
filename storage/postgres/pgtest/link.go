package pgtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/lethe-es/lethe/event"
)

// link is one connection through a proxy: a caller, a server, and two pumps between them. Only the pump that writes to
// a side closes it, between two messages; so a cut never tears a message that was counted.
type link struct {
	line   *Line
	caller *net.TCPConn
	deaf   bool          // it was accepted while the proxy hung: there is no server
	gone   chan struct{} // closed when the link is cut
	once   sync.Once

	mu         sync.Mutex
	server     *net.TCPConn      // nil until it is dialled
	broken     bool              // both sides are closed, or will be as soon as they are open
	statements map[string]string // query texts by the names of prepared statements
	faults     []fault           // injected and not yet answered by the server
}

// cut lets no further message pass.
func (l *link) cut() { l.once.Do(func() { close(l.gone) }) }

// breakNow closes both sides, whatever is on its way.
func (l *link) breakNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	_ = l.caller.Close()
	if l.server != nil {
		_ = l.server.Close()
	}
}

func (l *link) open() error {
	if l.deaf {
		return nil
	}
	conn, err := net.Dial("tcp", l.line.target)
	if err != nil {
		return fmt.Errorf("dial server: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = conn.(*net.TCPConn)
	if l.broken {
		return errors.Join(net.ErrClosed, l.server.Close())
	}
	return nil
}

// carry returns when both sides are done.
func (l *link) carry() {
	if l.deaf {
		var ending sync.WaitGroup
		ending.Go(func() {
			<-l.gone
			_ = l.caller.CloseRead() // ends the copy
		})
		_, _ = io.Copy(io.Discard, l.caller)
		ending.Wait()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(pump{l.caller, l.server, true}) })
	both.Go(func() { l.pump(pump{l.server, l.caller, false}) })
	both.Wait()
}

// pump is one direction.
type pump struct {
	from, to *net.TCPConn
	asks     bool // from caller to server
}

// message is one of the protocol, as bytes with its head, and the time at which it came.
type message struct {
	bytes    []byte
	came     time.Time
	farewell bool // nothing follows it
}

func (l *link) pump(p pump) {
	queue := make(chan message, 256)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(queue)
		l.receive(p, queue)
		// An orderly end: data that nobody read would make the system reset the connection.
		_, _ = io.Copy(io.Discard, p.from)
	})
	l.send(p, queue)
	_ = p.to.CloseWrite()
	reading.Wait()
}

// receive cuts the stream into messages, until it ends or the link is cut.
func (l *link) receive(p pump, queue chan<- message) {
	stream := bufio.NewReader(p.from)
	first := p.asks
	for {
		bytes, err := readMessage(stream, first)
		if err != nil {
			return
		}
		code := request(bytes, first)
		if code == encryptTLS || code == encryptGSSAPI {
			if _, err := p.from.Write([]byte("N")); err != nil {
				return
			}
			continue
		}
		farewell := code == cancelRequest || p.asks && !first && bytes[0] == 'X'
		first = false
		select {
		case queue <- message{bytes, event.SystemClock{}.Now(), farewell}:
		case <-l.gone:
			return
		}
	}
}

// readMessage reads a type and a length that counts itself and what follows; only a caller's first message has no type.
func readMessage(stream *bufio.Reader, first bool) ([]byte, error) {
	const most = 1 << 30 // the server's own limit
	head := make([]byte, 5)
	if first {
		head = head[:4]
	}
	if _, err := io.ReadFull(stream, head); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[len(head)-4:]))
	if length < 4 || length > most {
		return nil, fmt.Errorf("read message: its length is %d", length)
	}
	whole := append(head, make([]byte, length-4)...)
	_, err := io.ReadFull(stream, whole[len(head):])
	return whole, err
}

// What a first message may be instead of the start of a session. The answer to the last two is a single byte, which is
// no message, and the real first message follows.
const (
	cancelRequest = 80877102
	encryptTLS    = 80877103
	encryptGSSAPI = 80877104
)

// request is the code of a first message, and 0 for any other.
func request(bytes []byte, first bool) uint32 {
	if !first || len(bytes) < 8 {
		return 0
	}
	return binary.BigEndian.Uint32(bytes[4:])
}

// send passes messages on until there are no more, or the link is cut. Messages that have come but not passed by then
// are lost.
func (l *link) send(p pump, queue <-chan message) {
	for {
		var m message
		select {
		case <-l.gone:
			return
		case next, open := <-queue:
			if !open {
				if l.line.silent() {
					<-l.gone
				}
				return
			}
			m = next
		}
		if !l.wait(m) {
			return
		}
		v := l.line.judge(l, m)
		if v == stop {
			return
		}
		if v == swallow {
			continue
		}
		if _, err := p.to.Write(l.changed(p, m.bytes)); err != nil {
			l.cut()
			return
		}
		if v == last {
			return
		}
	}
}

// wait lets the delay of a message pass. It tells whether the link is still there.
func (l *link) wait(m message) bool {
	late := l.line.lateness() - event.SystemClock{}.Now().Sub(m.came)
	if late <= 0 {
		return true
	}
	select {
	case <-l.gone:
		return false
	case <-event.SystemClock{}.After(late):
		return true
	}
}
