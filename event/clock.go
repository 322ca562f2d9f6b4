package event

import "time"

// Clock is the only source of time in Lethe, so that a test can step, stop or turn it back.
// Nothing is ordered or resumed by it: it dates what happens, and paces retries.
type Clock interface {
	Now() time.Time
	// After sends once on the returned channel when d has passed on this clock.
	After(d time.Duration) <-chan time.Time
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now is the machine's time.
func (SystemClock) Now() time.Time { return time.Now() }

// After is time.After.
func (SystemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Micros is t in microseconds since 1970 UTC, the only resolution that is stored, hashed or compared:
// a clock that is finer than the store would make every proof of a stored event fail.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the UTC time of Micros.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
