package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// meter shows on stderr how far a long command is: a bar on a terminal, plain lines elsewhere. It is for one
// goroutine.
type meter struct {
	app   *app
	verb  string
	every time.Duration // between two lines, or two pictures of the bar
	begun time.Time
	last  time.Time
	width int  // of the terminal; 0: plain lines
	drawn bool // a bar stands on the terminal
}

// meter begins; verb is what is done, such as "import".
func (a *app) meter(verb string) *meter {
	m := &meter{app: a, verb: verb, begun: a.Clock.Now(), every: 2 * time.Second}
	m.last = m.begun
	if width := terminal(a.Stderr); width > 0 && a.settings.Progress == "auto" {
		m.width, m.every = width, 100*time.Millisecond
	}
	return m
}

// at tells how far it is: done of total in any unit (total 0: not known), and count of what people count.
func (m *meter) at(done, total, count int64, unit string) {
	now := m.app.Clock.Now()
	if m.app.settings.Progress == "none" || now.Sub(m.last) < m.every {
		return
	}
	m.last = now
	elapsed := now.Sub(m.begun)
	text := fmt.Sprintf("%s %s, %s/s", humanize.Comma(count), unit,
		humanize.Comma(int64(float64(count)/elapsed.Seconds())))
	share := 0.0
	if total > 0 && done > 0 {
		share = min(float64(done)/float64(total), 1)
		left := time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second)
		text = fmt.Sprintf("%.0f %%, %s, %s left", 100*share, text, left)
	}
	if m.width == 0 {
		m.app.say("%s: %s", m.verb, text)
		return
	}
	const cells = 24
	full := int(share * cells)
	bar := strings.Repeat("█", full) + strings.Repeat("░", cells-full)
	fmt.Fprintf(m.app.Stderr, "\r\x1b[K%s", cut(m.verb+" "+bar+" "+text, m.width-1))
	m.drawn = true
}

// stop takes the bar away. Stopping twice is fine.
func (m *meter) stop() {
	if m.drawn {
		fmt.Fprint(m.app.Stderr, "\r\x1b[K")
		m.drawn = false
	}
}
