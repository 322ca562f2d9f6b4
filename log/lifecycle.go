package log

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// lifecycle is what a system request does to a stream besides recording it.
type lifecycle struct {
	stream   event.StreamID
	close    bool
	truncate event.Version // events below it are to be pruned; 0: not a truncation
}

func (l *lifecycle) check(s *storage.StreamState) error {
	switch {
	case s.Version == 0:
		return event.Errorf(event.ErrNotFound, "find stream %s: it has no events", l.stream)
	case l.close && s.Closed:
		return event.Errorf(event.ErrClosed, "close %s: it is closed already", l.stream)
	case l.truncate > s.Version+1:
		return event.Invalid("malformed_version", "truncate %s: version %d is beyond its end at %d",
			l.stream, l.truncate, s.Version)
	case l.truncate > 0 && l.truncate <= s.Truncated:
		return event.Invalid("malformed_version", "truncate %s: it is truncated before %d already", l.stream, s.Truncated)
	}
	return nil
}

func (l *lifecycle) apply(s *storage.StreamState) {
	s.Closed = s.Closed || l.close
	s.Truncated = max(s.Truncated, l.truncate)
}
