package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe/event"
)

// manner is what it means to make a call again whose answer was lost.
type manner int

const (
	asking     manner = iota // nothing: it only asks
	repeatable               // it is done once all the same
	once                     // it might be done twice: it is not made again
)

// Pauses between tries double from the first to the longest; at least half of each is waited, the rest is jitter.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 2 * time.Second
)

// try makes a call until it is answered, for as long as the client's options say.
func (b *backend) try(ctx context.Context, m manner, call func(context.Context) verdict) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	until := b.clock.Now().Add(b.retry)
	lost := false
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		v := call(ctx)
		if v.err == nil {
			return nil
		}
		lost = lost || v.lost
		if v.again && (m != once || !lost) && b.pause(ctx, pause, until) {
			continue
		}
		if ended := ctx.Err(); v.again && ended != nil {
			v.err = ended
		}
		if m == asking || !lost || v.settled {
			return v.err
		}
		return unknown(ctx, v.err)
	}
}

// unknown is what a call came to that may have been done.
func unknown(ctx context.Context, cause error) error {
	coded := event.Errorf(event.ErrUnknown, "no answer came, it may be done or not: %s", cause.Error()).
		Hint("retry with the same event ids, or look whether it is done")
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%w (%w)", coded, ended)
	}
	return coded
}

// open is nil as long as neither the caller nor the client has ended.
func (b *backend) open(ctx context.Context) error {
	select {
	case <-b.closed:
		return event.Errorf(event.ErrUnavailable, "reach %s: the client is closed", b.host)
	default:
		return ctx.Err()
	}
}

// pause waits before the next try. It is false when there is none.
func (b *backend) pause(ctx context.Context, most time.Duration, until time.Time) bool {
	left := until.Sub(b.clock.Now())
	if left <= 0 {
		return false
	}
	select {
	case <-b.clock.After(min(b.jitter(most), left)):
		return ctx.Err() == nil
	case <-ctx.Done():
	case <-b.closed:
	}
	return false
}

// jitter is between half of d and d, so that many clients do not come back at once.
func (b *backend) jitter(d time.Duration) time.Duration {
	var n [8]byte
	if _, err := io.ReadFull(b.rand, n[:]); err != nil {
		return d
	}
	return d/2 + time.Duration(binary.BigEndian.Uint64(n[:])%uint64(d/2+1))
}

// ask makes a unary call of a generated client.
func ask[Q, A any](ctx context.Context, b *backend, m manner,
	rpc func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q,
) (*A, error) {
	var answer *A
	err := b.try(ctx, m, func(ctx context.Context) verdict {
		got, err := rpc(ctx, connect.NewRequest(q))
		if err != nil {
			return b.judge(ctx, err)
		}
		answer = got.Msg
		return verdict{}
	})
	return answer, err
}
