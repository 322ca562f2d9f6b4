package cli

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

// access says what a command may do to a store that is not there.
type access bool

const (
	existing access = false // the store must be there
	creating access = true  // it is made
)

// database tells whether a store's name is the address of a database.
func database(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://")
}

// shown is a store's name as it may be shown: without a password.
func shown(place string) string {
	if database(place) {
		return postgres.Place(place)
	}
	return place
}

// in is a store's name where a sentence says what is there.
func in(place string) string {
	if database(place) {
		return shown(place)
	}
	return "folder " + place
}

// same tells whether two names are of one store, as far as names can tell.
func same(a, b string) bool {
	if database(a) || database(b) {
		return database(a) && database(b) && postgres.Same(a, b)
	}
	x, err := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err == nil && err2 == nil && x == y
}

// errNoStore is an event.ErrNotFound: whatever is to keep the store is there, and the store is not.
var errNoStore = fmt.Errorf("no store: %w", event.ErrNotFound)

func missing(doing, place, next string) error {
	return &event.Error{Sentinel: errNoStore, Code: event.Code(errNoStore),
		Message: doing + ": there is no store in " + in(place), Next: next}
}

const createStore = "name another with --store, or create it by a first lethe event append or lethe import"

// engine opens what keeps the store in a folder or a database, with the driver it needs; address is where a server of
// this process gives it out. The log on it is not opened.
func (a *app) engine(ctx context.Context, place, address string, how access,
) (e storage.Store, created bool, err error) {
	scheme, _, named := strings.Cut(place, "://")
	switch {
	case database(place):
		return a.schema(ctx, place, how)
	case named:
		return nil, false, event.Errorf(event.ErrUnsupported, "open store: %s:// is not a store's address here", scheme).
			Hint("name a folder, such as --store ./data, a database, such as --store postgres://lethe@localhost/lethe, " +
				"or a server, such as --store http://127.0.0.1:7070")
	}
	return a.folder(ctx, place, address, how)
}

func (a *app) folder(ctx context.Context, dir, address string, how access) (e storage.Store, created bool, err error) {
	_, err = os.Stat(filepath.Join(dir, "events.db"))
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return nil, false, fmt.Errorf("open store: %w", err)
	}
	if absent && how == existing {
		return nil, false, missing("open store", dir, createStore)
	}
	engine, err := sqlite.Open(ctx, dir, &sqlite.Options{Indexed: a.settings.Indexed, Address: address})
	if err != nil {
		return nil, false, err
	}
	return engine, absent, nil
}

// schema opens a store in a database.
func (a *app) schema(ctx context.Context, address string, how access) (e storage.Store, created bool, err error) {
	o := postgres.Options{Indexed: a.settings.Indexed, Clock: a.Clock}
	engine, err := postgres.Open(ctx, address, &o)
	if event.Code(err) == "no_store" {
		if how == existing {
			return nil, false, missing("open store", address, createStore)
		}
		o.Create, created = true, true
		engine, err = postgres.Open(ctx, address, &o)
	}
	if err != nil {
		return nil, false, err
	}
	return engine, created, nil
}
