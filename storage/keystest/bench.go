package keystest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Bench measures an engine: persons that come to be, with a record of the usual size and one lookup each, keyrings that
// are read and wrapped anew, and uses as a scan of the log and as readers record them. An operation is one person or
// use, so -benchtime=1000000x makes a keystore of a million.
func Bench(b *testing.B, open Open) {
	for _, size := range []int{64, 1000} {
		b.Run(fmt.Sprintf("mint, batches of %d", size), func(b *testing.B) { benchMint(b, open(b), size) })
	}
	b.Run("mint, 64 callers with one person each", func(b *testing.B) { benchCallers(b, open(b).Keys) })
	b.Run("wrap anew", func(b *testing.B) { benchRewrap(b, open(b).Keys) })
	b.Run("record uses of 1000 persons", func(b *testing.B) { benchUses(b, open(b), 1000) })
	b.Run("record uses of 3 persons", func(b *testing.B) { benchUses(b, open(b), 3) })
}

// benchRecord is how many bytes a usual keyring record has.
const benchRecord = 145

func newPersons(n int) []storage.KeyChange {
	changes := make([]storage.KeyChange, n)
	for i := range changes {
		r := ring(person())
		r.Record = make([]byte, benchRecord)
		copy(r.Record, marker())
		changes[i] = storage.KeyChange{Keyring: &r, Add: []storage.Lookup{live(r.KRID)}}
	}
	return changes
}

func benchMint(b *testing.B, e *Engine, size int) {
	for left := b.N; left > 0; left -= size {
		b.StopTimer()
		changes := newPersons(min(size, left))
		b.StartTimer()
		stored(b, e.Keys, changes)
	}
	b.StopTimer()
	if _, err := e.Keys.ScrubKeys(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "persons/s")
	b.ReportMetric(float64(e.Bytes(b))/float64(b.N), "B/person")
}

// stored applies changes that nothing is in the way of.
func stored(b *testing.B, s storage.Keystore, changes []storage.KeyChange) {
	for i, o := range change(b, s, changes...) {
		if !o.Stored {
			b.Fatalf("change %d was refused", i)
		}
	}
}

func benchCallers(b *testing.B, s storage.Keystore) {
	changes := newPersons(b.N)
	next := make(chan storage.KeyChange, b.N)
	for _, c := range changes {
		next <- c
	}
	close(next)
	b.ResetTimer()
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for c := range next {
				if _, err := s.ChangeKeys(b.Context(), []storage.KeyChange{c}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "persons/s")
}

func benchRewrap(b *testing.B, s storage.Keystore) {
	for left := b.N; left > 0; left -= 1000 {
		stored(b, s, newPersons(min(1000, left)))
	}
	b.ResetTimer()
	for q := (storage.KeyringQuery{Before: 2, Limit: 1000}); ; {
		page, err := s.ScanKeyrings(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		changes := make([]storage.KeyChange, len(page))
		for i := range page {
			q.After = page[i].KRID
			page[i].Version, page[i].Epoch = page[i].Version+1, 2
			changes[i].Keyring = &page[i]
		}
		stored(b, s, changes)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "persons/s")
}

func benchUses(b *testing.B, e *Engine, persons int) {
	krids := make([]event.KRID, 100_000)
	for i := range krids {
		krids[i] = person()
	}
	for i := range b.N {
		b.StopTimer()
		u := use(i, krids[i*persons%(len(krids)-persons):][:persons]...)
		b.StartTimer()
		record(b, e.Keys, u)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uses/s")
	b.ReportMetric(float64(e.Bytes(b))/float64(b.N*persons), "B/entry")
}
