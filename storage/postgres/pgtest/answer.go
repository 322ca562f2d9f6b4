package pgtest

import (
	"crypto/rand"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// answer is an error that waits for its query.
type answer struct {
	code, message string
	when          func(query string) bool
}

// fault is an answer on its way: the server was sent something that it must refuse, and its refusal, in which the mark
// stands, becomes the answer.
type fault struct {
	answer
	mark string
}

// Answer makes the server refuse the next query for which when is true, with this SQLSTATE and message, once. It does
// so when the query is sent, prepared, or run as a statement prepared before. The query is not executed.
//
// The server refuses it itself, because the proxy spoils the query on its way; the proxy only changes what the refusal
// says. Therefore all follows as after any error: the transaction has failed, and the rest of a pipeline is skipped.
// The severity is ERROR and the connection stays; for what ends a connection there is CutAt. A later call replaces
// an answer that nobody got. The function may be called from several goroutines, and not call the proxy.
func (n *Line) Answer(code, message string, when func(query string) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = &answer{code, message, when}
}

// take disarms the answer if it is meant for this query.
func (n *Line) take(query string) (fault, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answer == nil || !n.answer.when(query) {
		return fault{}, false
	}
	f := fault{*n.answer, "refused_" + strings.ToLower(rand.Text())}
	n.answer = nil
	return f, true
}

// changed is what passes instead of a message: mostly the message itself.
func (l *link) changed(p pump, whole []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.asks {
		return l.asked(whole)
	}
	return l.answered(whole)
}

// asked spoils a message whose query the armed answer is meant for. A first message has a zero where others have
// their type.
func (l *link) asked(whole []byte) []byte {
	body := whole[min(5, len(whole)):]
	switch whole[0] {
	case 'Q':
		var m pgproto3.Query
		if m.Decode(body) == nil {
			return l.spoiled(whole, m.String, func(mark string) pgproto3.FrontendMessage {
				return &pgproto3.Query{String: mark}
			})
		}
	case 'P':
		var m pgproto3.Parse
		if m.Decode(body) == nil {
			l.statements[m.Name] = m.Query
			return l.spoiled(whole, m.Query, func(mark string) pgproto3.FrontendMessage {
				return &pgproto3.Parse{Name: m.Name, Query: mark}
			})
		}
	case 'B':
		var m pgproto3.Bind
		if m.Decode(body) == nil {
			return l.spoiled(whole, l.statements[m.PreparedStatement], func(mark string) pgproto3.FrontendMessage {
				return &pgproto3.Bind{DestinationPortal: m.DestinationPortal, PreparedStatement: mark}
			})
		}
	}
	return whole
}

// spoiled takes a mark instead of a query, which is a syntax error, or of a statement's name, which nobody prepared.
// The server names both in its refusal.
func (l *link) spoiled(whole []byte, query string, with func(mark string) pgproto3.FrontendMessage) []byte {
	f, meant := l.line.take(query)
	if !meant {
		return whole
	}
	spoiled, err := with(f.mark).Encode(nil)
	if err != nil {
		panic("pgtest: a short message cannot be encoded")
	}
	l.faults = append(l.faults, f)
	return spoiled
}

// answered puts the answer into a refusal that an injected fault has caused.
func (l *link) answered(whole []byte) []byte {
	if whole[0] != 'E' || len(l.faults) == 0 {
		return whole
	}
	var refusal pgproto3.ErrorResponse
	if refusal.Decode(whole[5:]) != nil {
		return whole
	}
	for i, f := range l.faults {
		if !strings.Contains(refusal.Message, f.mark) {
			continue
		}
		l.faults = append(l.faults[:i], l.faults[i+1:]...)
		said := &pgproto3.ErrorResponse{
			Severity: refusal.Severity, SeverityUnlocalized: refusal.SeverityUnlocalized,
			Code: f.code, Message: f.message,
		}
		changed, err := said.Encode(nil)
		if err != nil {
			panic("pgtest: a short message cannot be encoded")
		}
		return changed
	}
	return whole
}
