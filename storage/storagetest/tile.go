package storagetest

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// TilesStored holds that tiles come back as asked for, and that one that is not there is an error of the whole call.
func TilesStored(t *testing.T, open Open) {
	e := open(t)
	var tiles []storage.Tile
	ids := []storage.TileID{{Level: 0, N: 0}, {Level: 0, N: 1}, {Level: 1, N: 0}, {Level: 6, N: 1 << 40}}
	for i, id := range ids {
		tiles = append(tiles, storage.Tile{ID: id, Hashes: bytes.Repeat([]byte{byte(i), 255, 0, 1}, 2048)})
	}
	for _, b := range [][]storage.Tile{tiles[:1], tiles[1:]} {
		if _, err := e.Store.Commit(t.Context(), storage.Probe{}, give(storage.Batch{Tiles: b})); err != nil {
			t.Fatalf("commit tiles: %v", err)
		}
	}
	for range 2 {
		asked := []storage.TileID{tiles[3].ID, tiles[0].ID, tiles[2].ID, tiles[1].ID, tiles[0].ID}
		got, err := e.Store.Tiles(t.Context(), asked)
		if err != nil {
			t.Fatalf("tiles: %v", err)
		}
		same(t, "tiles", [][]byte{
			tiles[3].Hashes, tiles[0].Hashes, tiles[2].Hashes, tiles[1].Hashes, tiles[0].Hashes,
		}, got)
		if none, err := e.Store.Tiles(t.Context(), nil); err != nil || len(none) > 0 {
			t.Errorf("no tiles: %d, %v", len(none), err)
		}
		for _, unknown := range []storage.TileID{
			{Level: 0, N: 2}, {Level: 2, N: 0}, {Level: 255, N: 0},
			{Level: 0, N: math.MaxUint64}, {Level: 0, N: 1 << 63},
		} {
			got, err := e.Store.Tiles(t.Context(), []storage.TileID{tiles[0].ID, unknown})
			if !errors.Is(err, event.ErrNotFound) || got != nil {
				t.Errorf("tile %d/%d that is not stored: %d tiles, %v", unknown.Level, unknown.N, len(got), err)
			}
		}
		e.Reopen(t)
	}
}
