package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Meter shows on stderr how far a long command is: a bar on a terminal, plain lines elsewhere. It is for one
// goroutine.
type Meter struct {
	out   *Output
	verb  string
	every time.Duration // between two lines, or two pictures of the bar
	begun time.Time
	last  time.Time
	width int  // of the terminal; 0: plain lines
	drawn bool // a bar stands on the terminal
}

// Meter begins one; verb is what is done, such as "import".
func (o *Output) Meter(verb string) *Meter {
	m := &Meter{out: o, verb: verb, begun: o.Clock.Now(), every: 2 * time.Second}
	m.last = m.begun
	if width := Width(o.Stderr); width > 0 && o.Progress == Auto {
		m.width, m.every = width, 100*time.Millisecond
	}
	return m
}

// At tells how far it is: done of total in any unit (total 0: not known), and count of what people count.
func (m *Meter) At(done, total, count int64, unit string) {
	now := m.out.Clock.Now()
	if m.out.Progress == None || now.Sub(m.last) < m.every {
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
		m.out.Say("%s: %s", m.verb, text)
		return
	}
	const cells = 24
	full := int(share * cells)
	bar := strings.Repeat("█", full) + strings.Repeat("░", cells-full)
	fmt.Fprintf(m.out.Stderr, "\r\x1b[K%s", Cut(m.verb+" "+bar+" "+text, m.width-1))
	m.drawn = true
}

// Stop takes the bar away. Stopping twice is fine.
func (m *Meter) Stop() {
	if m.drawn {
		fmt.Fprint(m.out.Stderr, "\r\x1b[K")
		m.drawn = false
	}
}
