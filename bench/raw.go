package bench

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Raw is what the disk gives to whoever only writes: the same bytes to a file that has its place already, and one
// sync for each commit of the same size.
type Raw struct {
	RawEventsPer      float64 `json:"raw_events_per_second"`
	RawCommitsPer     float64 `json:"raw_commits_per_second"`
	RawBytesPerCommit int     `json:"raw_bytes_per_commit"`
	RatioToRaw        float64 `json:"ratio_to_raw"` // events_per_second / raw_events_per_second
}

const (
	rawSize = 64 << 20        // of the file that is written round and round
	rawTime = 2 * time.Second // most that it takes
)

// raw measures the disk right after a store was measured on it, so that both meet it in the same mood.
func (b *Bench) raw(duration time.Duration, eventsPerCommit, bytesPerEvent float64) (*Raw, error) {
	size := max(1, int(math.Round(eventsPerCommit*bytesPerEvent)))
	path := filepath.Join(b.Folder, "bench.raw")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	commits, elapsed, err := b.writeRaw(f, size, min(duration, rawTime))
	if err = errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		return nil, err
	}
	persec := per(float64(commits), elapsed.Seconds())
	return &Raw{RawEventsPer: persec * eventsPerCommit, RawCommitsPer: persec, RawBytesPerCommit: size}, nil
}

func (b *Bench) writeRaw(f *os.File, size int, limit time.Duration) (commits int, elapsed time.Duration, err error) {
	room := max(rawSize, size)
	if err := makeRoom(f, room); err != nil {
		return 0, 0, fmt.Errorf("make room: %w", err)
	}
	buf := make([]byte, size)
	begin, at := b.Clock.Now(), 0
	for elapsed < limit {
		buf[0]++
		if _, err := f.WriteAt(buf, int64(at)); err != nil {
			return 0, 0, err
		}
		if err := datasync(f); err != nil {
			return 0, 0, err
		}
		if at += size; at+size > room {
			at = 0
		}
		commits++
		elapsed = b.Clock.Now().Sub(begin)
	}
	return commits, elapsed, nil
}

// makeRoom writes a file full, which more than reserves its place: a later sync has no metadata to write.
func makeRoom(f *os.File, size int) error {
	block := make([]byte, 1<<20)
	for at := 0; at < size; at += len(block) {
		for i := range block {
			block[i] = byte(at>>20 + i*131)
		}
		if _, err := f.WriteAt(block, int64(at)); err != nil {
			return err
		}
	}
	return f.Sync()
}
