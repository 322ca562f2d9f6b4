package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
)

// patient outlasts every trouble of these tests.
func patient() *client.Options { return &client.Options{Retry: 10 * time.Minute} }

// TestLostAnswers: whatever message is cut off, an append that was acknowledged is there once, where it was said to be.
func TestLostAnswers(t *testing.T) {
	for name, transport := range map[string]func() http.RoundTripper{
		"HTTP 1.1": func() http.RoundTripper { return nil },
		"h2c":      func() http.RoundTripper { return h2c() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, nil)
			p := newProxy(t, w.address)
			o := patient()
			o.Transport = transport()
			c := open(t, "http://"+p.address, o)
			p.cuts(5, 1)
			const callers, each = 8, 30
			placed := make([][]log.Placed, callers)
			var appending sync.WaitGroup
			for n := range callers {
				appending.Go(func() { placed[n] = appendThrough(t, c, n, each) })
			}
			appending.Wait()
			p.cuts(0, 0)
			compare(t, w.all(t), placed)
		})
	}
}

// appendThrough appends one by one, each expecting the version that the last one gave.
func appendThrough(t *testing.T, c *client.Client, caller, each int) (placed []log.Placed) {
	mine := stream(fmt.Sprint(caller))
	session := c.As(clerk())
	for n := range each {
		d := event.Draft{Type: fmt.Sprint("T", n)}
		var res log.Result
		var err error
		if n%5 == 4 {
			o := session.AppendEach(t.Context(), []log.Request{{Writes: []log.Write{
				{Stream: mine, Expected: event.At(event.Version(n)), Events: []event.Draft{d}}}}})[0]
			res, err = o.Result, o.Err
		} else {
			res, err = session.Append(t.Context(), mine, event.At(event.Version(n)), d)
		}
		if err != nil || res.Repeated || res.Events[0].Version != event.Version(n+1) {
			t.Errorf("caller %d, append %d: %+v, %v", caller, n, res, err)
			return placed
		}
		placed = append(placed, res.Events[0])
	}
	return placed
}

// compare holds that the log is what was acknowledged, no more and no less.
func compare(t *testing.T, all []event.Event, placed [][]log.Placed) {
	t.Helper()
	byPosition := map[event.Position]log.Placed{}
	for _, list := range placed {
		for _, p := range list {
			byPosition[p.Position] = p
		}
	}
	if len(all) != len(byPosition) {
		t.Errorf("%d events in the log, %d acknowledged", len(all), len(byPosition))
	}
	for _, e := range all {
		want := log.Placed{ID: e.ID, Stream: e.Stream, Position: e.Position, Version: e.Version}
		if byPosition[e.Position] != want {
			t.Errorf("%s was acknowledged as %+v", e, byPosition[e.Position])
		}
	}
}

// TestSubscriptionResumes: nothing is lost and nothing comes twice, whatever message is cut off.
func TestSubscriptionResumes(t *testing.T) {
	w := newWorld(t, nil, nil)
	p := newProxy(t, w.address)
	c := open(t, "http://"+p.address, patient())
	p.cuts(6, 2)
	const total = 400
	var appending sync.WaitGroup
	appending.Go(func() {
		for n := range total {
			_, err := w.store.As(clerk()).Append(t.Context(), stream(fmt.Sprint(n%3)), event.Any, event.Draft{Type: "A"})
			if err != nil {
				t.Error(err)
			}
		}
	})
	want := event.Position(0)
	for e, err := range c.As(clerk()).Subscribe(t.Context(), nil, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if want++; e.Position != want {
			t.Fatalf("saw %d, want %d", e.Position, want)
		}
		if want == total {
			break
		}
	}
	appending.Wait()
}

// TestServerRestarts: appends and a subscription go on over servers that come and go.
func TestServerRestarts(t *testing.T) {
	w := newWorld(t, nil, nil)
	p := newProxy(t, w.address)
	c := open(t, "http://"+p.address, patient())
	const callers, each, restarts = 4, 60, 5
	placed := make([][]log.Placed, callers)
	var running sync.WaitGroup
	for n := range callers {
		running.Go(func() { placed[n] = appendThrough(t, c, n, each) })
	}
	following := make(chan event.Position)
	running.Go(func() {
		defer close(following)
		want := event.Position(0)
		for e, err := range c.As(clerk()).Subscribe(t.Context(), nil, event.Cursor{}) {
			if want++; err != nil || e.Position != want {
				t.Errorf("saw %s, want %d: %v", e, want, err)
				return
			}
			if following <- want; want == callers*each {
				return
			}
		}
	})
	for position := range following {
		if position%(callers*each/restarts) != 0 || position == callers*each {
			continue
		}
		stop := w.stop
		if position%2 == 0 {
			p.point("") // it vanishes; otherwise it drains
		}
		go stop()
		w.serve(t, server.Options{NoTokens: true})
		p.point(w.address)
	}
	running.Wait()
	compare(t, w.all(t), placed)
}

// TestRetryGivesUp: after Options.Retry, and with the class that says whether it may have been done.
func TestRetryGivesUp(t *testing.T) {
	w := newWorld(t, nil, nil)
	p := newProxy(t, w.address)
	for _, test := range []struct {
		name   string
		broken func()
		class  error
	}{
		{"cut", func() { p.cuts(1, 3) }, event.ErrUnknown},
		{"down", func() { p.point("") }, event.ErrUnknown},
	} {
		for _, retry := range []time.Duration{-1, 5 * time.Second} {
			t.Run(fmt.Sprint(test.name, retry), func(t *testing.T) {
				p.cuts(0, 0)
				p.point(w.address)
				clock := &hurried{now: time.Unix(1e9, 0)}
				c := open(t, "http://"+p.address, &client.Options{Clock: clock, Retry: retry})
				test.broken()
				_, err := c.As(clerk()).Append(t.Context(), stream("1"), event.Any, event.Draft{Type: "A"})
				gaveUp(t, "append", err, test.class)
				each := c.As(clerk()).AppendEach(t.Context(), []log.Request{
					{Writes: []log.Write{{Stream: stream("1"), Expected: event.Any, Events: []event.Draft{{Type: "A"}}}}}})
				gaveUp(t, "append each", each[0].Err, test.class)
				gaveUp(t, "close stream", c.As(clerk()).CloseStream(t.Context(), stream("1")), test.class)
				_, err = c.Head(t.Context())
				gaveUp(t, "head", err, event.ErrUnavailable)
				_, err = c.Streams(t.Context(), storage.StreamQuery{Limit: 1})
				gaveUp(t, "streams", err, event.ErrUnavailable)
				for _, err := range c.As(clerk()).Batches(t.Context(), nil, c.Cursor(0)) {
					gaveUp(t, "subscription", err, event.ErrUnavailable)
				}
				waited(t, clock, retry)
			})
		}
	}
}

func gaveUp(t *testing.T, what string, err, class error) {
	t.Helper()
	other := event.ErrUnknown
	if errors.Is(class, event.ErrUnknown) {
		other = event.ErrUnavailable
	}
	if !errors.Is(err, class) || errors.Is(err, other) || event.Code(err) != event.Code(class) {
		t.Errorf("%s: %v, want %v", what, err, class)
	}
}

// waited compares the pauses of five calls that are repeated, each as long as the client retries.
func waited(t *testing.T, clock *hurried, retry time.Duration) {
	t.Helper()
	var sum time.Duration
	for _, d := range clock.paused {
		sum += d
	}
	if want := 5 * max(retry, 0); sum != want {
		t.Errorf("waited %s in all, want %s", sum, want)
	}
}

// TestNobodyAnswers: what cannot have been done is event.ErrUnavailable, also for an append.
func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t, nil, nil)
	reached := false
	refusing := roundTripper(func(r *http.Request) (*http.Response, error) {
		if !reached {
			reached = true
			return w.direct.RoundTrip(r)
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	clock := &hurried{now: time.Unix(1e9, 0)}
	c := open(t, "http://127.0.0.1:1", &client.Options{Transport: refusing, Clock: clock, Retry: time.Second})
	_, err := c.As(clerk()).Append(t.Context(), stream("1"), event.Any, event.Draft{Type: "A"})
	gaveUp(t, "append", err, event.ErrUnavailable)
	gaveUp(t, "close stream", c.As(clerk()).CloseStream(t.Context(), stream("1")), event.ErrUnavailable)
	if len(clock.paused) < 4 {
		t.Errorf("paused %v: even what is done once is tried again when nobody heard of it", clock.paused)
	}
}

// TestCallersEndAlone: appends that travel together have contexts of their own.
func TestCallersEndAlone(t *testing.T) {
	w := newWorld(t, nil, nil)
	arrived, release := make(chan string, 100), make(chan struct{})
	held := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/lethe.v1.LogService/Head" {
			arrived <- r.URL.Path
			select {
			case <-release:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		return w.direct.RoundTrip(r)
	})
	c := open(t, "http://localhost", &client.Options{Transport: held})
	const callers = 6
	errs := make([]chan error, callers)
	cancels := make([]context.CancelFunc, callers)
	begin := func(n int) {
		ctx, cancel := context.WithCancel(t.Context())
		errs[n], cancels[n] = make(chan error, 1), cancel
		go func() {
			_, err := c.As(clerk()).Append(ctx, stream(fmt.Sprint(n)), event.Any, event.Draft{Type: "A"})
			errs[n] <- err
		}()
	}
	begin(0)
	begin(1)
	<-arrived
	<-arrived // both lanes are taken
	for n := 2; n < callers; n++ {
		begin(n)
	}
	cancels[0]()
	if err := <-errs[0]; !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnknown) {
		t.Errorf("an append that was under way: %v", err)
	}
	<-arrived // the lane took what waited, some of it at least
	cancels[2]()
	if err := <-errs[2]; !errors.Is(err, context.Canceled) {
		t.Errorf("an append that waited: %v", err)
	}
	close(release)
	for _, n := range []int{1, 3, 4, 5} {
		if err := <-errs[n]; err != nil {
			t.Errorf("append %d: %v", n, err)
		}
		cancels[n]()
	}
	if all := w.all(t); len(all) < 4 {
		t.Errorf("%d events", len(all))
	}
}

// TestRefusedTogether: where a message of several is refused as a whole, each is sent alone.
func TestRefusedTogether(t *testing.T) {
	w := newWorld(t, nil, nil)
	together := make(chan struct{}, 1000)
	strict := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/lethe.v1.LogService/AppendEach" {
			together <- struct{}{}
			return &http.Response{StatusCode: http.StatusRequestEntityTooLarge, Body: http.NoBody, Request: r}, nil
		}
		return w.direct.RoundTrip(r)
	})
	c := open(t, "http://localhost", &client.Options{Transport: strict})
	for len(together) == 0 {
		var appending sync.WaitGroup
		for n := range 30 {
			appending.Go(func() {
				_, err := c.As(clerk()).Append(t.Context(), stream(fmt.Sprint(n)), event.Any, event.Draft{Type: "A"})
				if err != nil {
					t.Error(err)
				}
			})
		}
		appending.Wait()
	}
	if n := len(w.all(t)); n%30 != 0 {
		t.Errorf("%d events", n)
	}
}
