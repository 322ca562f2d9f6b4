package cli

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/progress"

	"github.com/lethe-es/lethe/event"
)

// meter shows on stderr how far a long command is: a bar on a terminal, plain lines elsewhere. It is for one
// goroutine.
type meter struct {
	app   *app
	verb  string
	begun time.Time
	last  time.Time // of the last plain line

	bar     progress.Writer // nil: plain lines, or nothing
	tracker *progress.Tracker
	ended   chan struct{}
	silent  bool
}

// plainEvery is the time between two plain lines.
const plainEvery = 2 * time.Second

// meter begins; verb is what is done, such as "import".
func (a *app) meter(verb string) *meter {
	m := &meter{app: a, verb: verb, begun: a.Clock.Now(), silent: a.settings.Progress == "none"}
	m.last = m.begun
	if width := terminal(a.Stderr); width > 0 && a.settings.Progress == "auto" {
		m.startBar(width)
	}
	return m
}

func (m *meter) startBar(width int) {
	m.bar = progress.NewWriter()
	m.bar.SetOutputWriter(m.app.Stderr)
	m.bar.SetTrackerLength(max(10, min(30, width-60)))
	m.bar.SetUpdateFrequency(200 * time.Millisecond)
	m.bar.SetTrackerPosition(progress.PositionRight)
	style := progress.StyleDefault
	style.Visibility = progress.StyleVisibility{ETA: true, Percentage: true, Tracker: true}
	m.bar.SetStyle(style)
	m.tracker = &progress.Tracker{Message: m.verb}
	m.bar.AppendTracker(m.tracker)
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		m.bar.Render()
	}()
}

// at tells how far it is: done of total in any unit (total 0: not known), and count of what people count.
func (m *meter) at(done, total, count int64, unit string) {
	if m.silent {
		return
	}
	now := m.app.Clock.Now()
	elapsed := now.Sub(m.begun).Seconds()
	text := humanize.Comma(count) + " " + unit
	if elapsed > 0 {
		text += ", " + humanize.Comma(int64(float64(count)/elapsed)) + "/s"
	}
	if m.bar != nil {
		m.tracker.UpdateTotal(total)
		m.tracker.SetValue(min(done, max(total-1, 0))) // the end is told by stop
		m.tracker.UpdateMessage(m.verb + ": " + text)
		return
	}
	if now.Sub(m.last) < plainEvery {
		return
	}
	m.last = now
	if total > 0 && done > 0 {
		left := time.Duration(elapsed * float64(total-done) / float64(done) * float64(time.Second))
		text += fmt.Sprintf(", %d %%, %s left", done*100/total, left.Round(time.Second))
	}
	m.app.say("%s: %s", m.verb, text)
}

// stop ends the bar. Stopping twice is fine.
func (m *meter) stop() {
	if m.bar == nil {
		return
	}
	m.tracker.MarkAsDone()
	clock := event.SystemClock{}
	for {
		m.bar.Stop() // has no effect before rendering has begun, so it is repeated
		select {
		case <-m.ended:
			m.bar = nil
			m.silent = true
			return
		case <-clock.After(time.Millisecond):
		}
	}
}
