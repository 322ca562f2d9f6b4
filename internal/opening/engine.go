package opening

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// Remote tells whether a store's name is the address of a server.
func Remote(place string) bool {
	return strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://")
}

// Database tells whether a store's name is the address of a database.
func Database(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://")
}

// Shown is a store's name as it may be shown: without a password.
func Shown(place string) string {
	if Database(place) {
		return postgres.Place(place)
	}
	return place
}

// in is a store's name where a sentence says what is there.
func in(place string) string {
	if Database(place) {
		return Shown(place)
	}
	return "folder " + place
}

// Same tells whether two names are of one store, as far as names can tell.
func Same(a, b string) bool {
	if Database(a) || Database(b) {
		return Database(a) && Database(b) && postgres.Same(a, b)
	}
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err == nil && err2 == nil && x == y
}

// ErrNoStore is an event.ErrNotFound: whatever is to keep the store is there, and the store is not.
var ErrNoStore = fmt.Errorf("no store: %w", event.ErrNotFound)

// Missing is an ErrNoStore that says what was done, where, and what to do next.
func Missing(doing, place, next string) error {
	return &event.Error{Sentinel: ErrNoStore, Code: event.Code(ErrNoStore),
		Message: doing + ": there is no store in " + in(place), Next: next}
}

const createStore = "name another with --store, or create it by a first lethe event append or lethe import"

// Engine opens what keeps the store, with the driver it needs. The log on it is not opened.
func (o *Opener) Engine(ctx context.Context, p Place, how Access) (e storage.Store, created bool, err error) {
	scheme, _, named := strings.Cut(p.Name, "://")
	switch {
	case Database(p.Name):
		return o.schema(ctx, p.Name, how)
	case named:
		return nil, false, event.Errorf(event.ErrUnsupported, "open store: %s:// is not a store's address here", scheme).
			Hint("name a folder, such as --store ./data, a database, such as --store postgres://lethe@localhost/lethe, " +
				"or a server, such as --store http://127.0.0.1:7070")
	}
	return o.folder(ctx, p, how)
}

func (o *Opener) folder(ctx context.Context, p Place, how Access) (e storage.Store, created bool, err error) {
	_, err = os.Stat(filepath.Join(p.Name, "events.db"))
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return nil, false, fmt.Errorf("open store: %w", err)
	}
	if absent && how == Existing {
		return nil, false, Missing("open store", p.Name, createStore)
	}
	engine, err := sqlite.Open(ctx, p.Name, &sqlite.Options{Indexed: o.Settings.Indexed, Address: p.Address})
	if err != nil {
		return nil, false, err
	}
	return engine, absent, nil
}

// schema opens a store in a database.
func (o *Opener) schema(ctx context.Context, address string, how Access) (e storage.Store, created bool, err error) {
	opts := postgres.Options{Indexed: o.Settings.Indexed, Clock: o.Clock}
	engine, err := postgres.Open(ctx, address, &opts)
	if event.Code(err) == "no_store" {
		if how == Existing {
			return nil, false, Missing("open store", address, createStore)
		}
		opts.Create, created = true, true
		engine, err = postgres.Open(ctx, address, &opts)
	}
	if err != nil {
		return nil, false, err
	}
	return engine, created, nil
}
