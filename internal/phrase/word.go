package phrase

import (
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// ParseTime reads the value of a flag: an RFC 3339 time, a date (its begin in UTC), or a duration before now such as
// 24h. An empty text is no time.
func ParseTime(now time.Time, flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, event.Invalid("malformed_time",
		"parse --%s: want 2026-01-31T08:00:00Z, 2026-01-31, or how long ago, such as 24h", flag)
}

// ParseExpiry reads the value of a flag: a date (its begin in UTC), an RFC 3339 time, or a duration from now on.
func ParseExpiry(flag string, now time.Time, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.After(now) {
			return t, nil
		}
	}
	if d, err := ParseAge(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, event.Invalid("malformed_time",
		"parse --%s: want a time to come: 2027-01-31, 2027-01-31T08:00:00Z, 720h or 30d", flag)
}

// ParseAge reads a Go duration, or days such as 90d.
func ParseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if age, err := time.ParseDuration(days + "h"); err == nil && age >= 0 && age < 1<<62/24 {
			return age * 24, nil
		}
	} else if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return age, nil
	}
	return 0, event.Invalid("malformed_age", "parse max age: want a duration such as 720h or 90d, or 0 for no limit")
}

// ParseExpected reads any, none or a version.
func ParseExpected(text string) (event.Expected, error) {
	switch text {
	case "any":
		return event.Any, nil
	case "none":
		return event.None, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return 0, event.Invalid("malformed_version", "parse expected version: want any, none or a version such as 3")
	}
	return event.At(event.Version(v)), nil
}

// ParseVersion reads a version of a stream; 0 is before its first event.
func ParseVersion(text string) (event.Version, error) {
	v, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, event.Invalid("malformed_version", "parse version: want a number, such as 3")
	}
	return event.Version(v), nil
}
