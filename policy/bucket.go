package policy

import (
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// period is a length of time as calendars count it, and to what its end is rounded up.
type period struct {
	years, months, days int
	granularity         Granularity // empty: no fixed end
}

// maxYears bounds periods.
const maxYears = 200

// readPeriod reads PnYnMnWnD of ISO 8601: at least one part, each at most once, in this order, more than nothing.
func readPeriod(s string) (p period, ok bool) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return p, false
	}
	units := "YMWD"
	total := 0
	for rest != "" {
		n, digits := 0, 0
		for digits < len(rest) && isDigit(rest[digits]) && digits < 5 {
			n = 10*n + int(rest[digits]-'0')
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return p, false
		}
		unit := strings.IndexByte(units, rest[digits])
		if unit < 0 {
			return p, false
		}
		days := p.add(units[unit], n)
		total, units, rest = total+days, units[unit+1:], rest[digits+1:]
	}
	return p, total > 0 && total <= maxYears*366
}

// add adds n units and says how many days that is about.
func (p *period) add(unit byte, n int) int {
	switch unit {
	case 'Y':
		p.years += n
		return n * 366
	case 'M':
		p.months += n
		return n * 31
	case 'W':
		p.days += 7 * n
		return 7 * n
	}
	p.days += n
	return n
}

// parsePeriod reads the period of a class that was checked.
func parsePeriod(r Retention) (period, error) {
	if r.Triggered != "" {
		return period{}, nil
	}
	p, ok := readPeriod(r.Period)
	if !ok {
		return p, event.Invalid("policy_invalid", "read period: it is not one of ISO 8601")
	}
	p.granularity = r.Granularity
	if p.granularity == "" {
		p.granularity = Month
	}
	return p, nil
}

// Bucket is the last day, as the decimal number yyyymmdd in UTC, on which a value of a retention class is kept that
// counts from a time: that time and the class's period, rounded up to the end of a day, month or year. It is 0 if there
// is no fixed end, as for the empty class. Errors are event.ErrInvalid: retention_unknown, and retention_out_of_range
// outside the years 1 to 9999. The day may be over: who stores something asks BucketAt.
func (p *Policy) Bucket(class string, from time.Time) (int64, error) {
	if class == "" {
		return 0, nil
	}
	c, ok := p.periods[class]
	if !ok {
		return 0, event.Invalid("retention_unknown", "find retention period: class %s is not declared", class).
			Hint("declare it in the policy")
	}
	if c.granularity == "" {
		return 0, nil
	}
	if y := from.UTC().Year(); y < 1 || y > 9999 {
		return 0, outOfRange(class)
	}
	last := c.end(from.UTC())
	if last.Year() > 9999 {
		return 0, outOfRange(class)
	}
	return dayNumber(last), nil
}

// BucketAt is Bucket for what is stored now: event.ErrInvalid with code retention_passed if the last day is over.
func (p *Policy) BucketAt(class string, from, now time.Time) (int64, error) {
	bucket, err := p.Bucket(class, from)
	if err == nil && Passed(bucket, now) {
		return 0, event.Invalid("retention_passed", "find retention period: of class %s, it is over", class).
			Hint("what is past its period is not stored")
	}
	return bucket, err
}

func outOfRange(class string) error {
	return event.Invalid("retention_out_of_range", "find retention period: of class %s, it is outside the years 1 to 9999",
		class)
}

// Passed reports whether the last day of a bucket is over, in UTC. Bucket 0 never passes.
func Passed(bucket int64, now time.Time) bool { return bucket != 0 && bucket < dayNumber(now.UTC()) }

func dayNumber(t time.Time) int64 {
	return int64(t.Year())*10000 + int64(t.Month())*100 + int64(t.Day())
}

// end is the last day of a period. A month that is too short ends with its last day: one month after 31 January is the
// end of February.
func (p period) end(from time.Time) time.Time {
	y, m, d := from.Date()
	first := time.Date(y+p.years, m+time.Month(p.months), 1, 0, 0, 0, 0, time.UTC)
	days := time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	last := first.AddDate(0, 0, min(d, days)-1+p.days)
	switch p.granularity {
	case Month:
		return time.Date(last.Year(), last.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	case Year:
		return time.Date(last.Year(), time.December, 31, 0, 0, 0, 0, time.UTC)
	}
	return last
}
