package log

import (
	"fmt"

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
	case l.truncate > 0 && l.truncate <= s.Truncated && s.Pruned < s.Truncated:
		return &unfinished{stream: l.stream, before: s.Truncated}
	case l.truncate > 0 && l.truncate <= s.Truncated:
		return event.Invalid("malformed_version", "truncate %s: it is truncated before %d already", l.stream, s.Truncated)
	}
	return nil
}

// unfinished says that a truncation was recorded but not done: whoever asks for it again shall have it finished.
type unfinished struct {
	stream event.StreamID
	before event.Version
}

func (e *unfinished) Error() string {
	return fmt.Sprintf("truncate %s: truncating before %d is not finished", e.stream, e.before)
}

func (l *lifecycle) apply(s *storage.StreamState) {
	s.Closed = s.Closed || l.close
	s.Truncated = max(s.Truncated, l.truncate)
}
