// Package opening finds and opens what keeps a store, with its keys: a folder or a database for the log, a folder or a
// database for the keystore, and the key service that holds the root keys. It chooses the drivers.
//
//	o := opening.Opener{Settings: &settings, Clock: clock, Code: "lethe 1.2.0"}
//	store, err := o.Store(ctx, "./data", opening.Creating)
//	defer store.Close()
//
// A store that holds nothing personal needs no key service: none is asked, and no key folder is made, before somebody
// is first spoken of. engine.go opens logs, keystore.go keystores, service.go key services.
package opening

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/schema/protoschema"
	"github.com/lethe-es/lethe/schema/starlark"
	"github.com/lethe-es/lethe/storage"
)

// Access says what may be done to a store that is not there.
type Access bool

// The kinds of access.
const (
	Existing Access = false // the store must be there
	Creating Access = true  // it is made
)

// Opener opens stores as the settings say.
type Opener struct {
	Settings *setting.Settings
	Clock    event.Clock
	Code     string // name and version of this program, for the record of uses
}

// Place is where a store is, and how it is opened.
type Place struct {
	Name    string // folder or address of the log
	Keys    string // folder or address of the keystore; empty: as the settings say
	Address string // where a server of this process gives the store out; empty: it does not
}

// Store is an open store of this process.
type Store struct {
	*lethe.Store
	Engine  storage.Store
	Created bool // it was not there before
	service Service
}

// Close closes the store, its keystore and its key service.
func (s *Store) Close() error {
	err := s.Store.Close()
	if s.service != nil {
		err = errors.Join(err, s.service.Close())
	}
	return err
}

// Notations are the notations in which schemas may be written.
func Notations() []schema.Notation { return []schema.Notation{jsonschema.New(), protoschema.New()} }

// Languages are the languages in which upcasters may be written.
func Languages() []schema.Language { return []schema.Language{starlark.New()} }

// Store opens the store at a place.
func (o *Opener) Store(ctx context.Context, p Place, how Access) (*Store, error) {
	keys, err := o.Service()
	if err != nil {
		return nil, err
	}
	engine, created, err := o.Engine(ctx, p, how)
	if err != nil {
		return nil, err
	}
	s := &Store{Engine: engine, Created: created, service: keys}
	options := &lethe.Options{Clock: o.Clock, Notations: Notations(), Languages: Languages(), Code: o.Code}
	if keys == nil {
		s.Store, err = lethe.Open(ctx, engine, kms.None, options)
		if err != nil {
			return nil, errors.Join(err, engine.Close())
		}
		return s, nil
	}
	if options.Keystore, err = o.keystore(ctx, p); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	if s.Store, err = lethe.Open(ctx, engine, keys, options); err != nil {
		return nil, errors.Join(err, engine.Close(), options.Keystore.Close(), keys.Close())
	}
	if err := lost(ctx, s.Store, options.Keystore); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// searched is how many of the newest events are searched for persons.
const searched = 1000

// lost refuses a keystore that is new where the log speaks of persons: their keys are elsewhere, and whoever is spoken
// of next would get other ones.
func lost(ctx context.Context, s *lethe.Store, keys storage.Keys) error {
	head, err := keys.KeyHead(ctx)
	if err != nil || head.Store != (event.StoreID{}) {
		return err
	}
	q := lethe.Query{Backward: true, Limit: searched}
	for e, err := range s.As(event.Actor{}).Query(ctx, q) {
		if err != nil {
			return fmt.Errorf("open keystore: %w", err)
		}
		personal := len(e.Boxes) > 0 || event.IsKRID(e.Stream.ID)
		for _, r := range e.Relations {
			personal = personal || event.IsKRID(r.ID)
		}
		if personal {
			return &event.Error{Sentinel: event.ErrUnavailable, Code: "keystore_new",
				Message: "open keystore: it is new, but the log speaks of persons, and their keys are not here",
				Next:    "name where they are with --keys, restore them, or read sealed with --kms none"}
		}
	}
	return nil
}

// Trust is whom the machine trusts, and those of the setting ca_file; nil: only the former.
func (o *Opener) Trust() (*tls.Config, error) {
	if o.Settings.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.Settings.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, event.Invalid("malformed_certificate", "read certificates: file %s holds none in PEM", o.Settings.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
