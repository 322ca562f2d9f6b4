package pgkeys

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// Each statement answers as of one moment; the first column is the place of what was asked for, from 1.
const (
	keyringColumns = `k.krid, k.version, k.epoch, k.state, k.record`
	keyringsQuery  = `SELECT u.n, ` + keyringColumns + `
		FROM unnest($1::uuid[]) WITH ORDINALITY u(krid, n) JOIN keyring k ON k.krid = u.krid`
	lookupsQuery = `SELECT u.n, l.token, l.krid, l.until, l.state
		FROM unnest($1::uuid[]) WITH ORDINALITY u(token, n) JOIN key_lookup l ON l.token = u.token`
	retentionsQuery = `SELECT u.n, r.class, r.bucket, r.version, r.epoch, r.state, r.record
		FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY u(class, bucket, n)
		JOIN key_retention r ON r.class = u.class AND r.bucket = u.bucket`
	epochColumns = `e.number, e.version, e.created, e.state, e.name, e.record`
)

// each reads rows with what scan reads, and the place in their first column, from 0.
func each[V any](rows pgx.Rows, scan func(rows pgx.Rows, place *int64) (V, error), take func(place int, v V)) error {
	defer rows.Close()
	for rows.Next() {
		var place int64
		v, err := scan(rows, &place)
		if err != nil {
			return err
		}
		take(int(place-1), v)
	}
	return rows.Err()
}

func headOf(b []byte, applied int64) (store event.StoreID, position event.Position, err error) {
	if b != nil && copy(store[:], b) != len(store) {
		return store, 0, event.Errorf(event.ErrCorrupt, "read keystore: its row is damaged").Hint("restore a backup")
	}
	return store, event.Position(applied), nil
}

// readHead reads rows of the keystore's own columns, each with those of an epoch or NULL.
func readHead(rows pgx.Rows) (head storage.KeyHead, err error) {
	defer rows.Close()
	for rows.Next() {
		var store, record []byte
		var applied int64
		var number, version, created *int64
		var state *int16
		var name *string
		if err := rows.Scan(&store, &applied, &number, &version, &created, &state, &name, &record); err != nil {
			return head, err
		}
		if head.Store, head.Applied, err = headOf(store, applied); err != nil {
			return head, err
		}
		if number != nil {
			head.Epochs = append(head.Epochs, storage.Epoch{
				Number: uint32(*number), Version: uint64(*version), Created: *created, State: storage.KeyState(*state),
				Name: *name, Record: record,
			})
		}
	}
	return head, rows.Err()
}

func scanKeyring(rows pgx.Rows, place *int64) (k storage.Keyring, err error) {
	var version, epoch int64
	var state int16
	err = rows.Scan(place, (*[16]byte)(&k.KRID), &version, &epoch, &state, &k.Record)
	k.Version, k.Epoch, k.State = uint64(version), uint32(epoch), storage.KeyState(state)
	return k, err
}

// scanLookup reads what is NULL where it is what it mostly is: there are as many rows as references to people.
func scanLookup(rows pgx.Rows, place *int64) (l storage.Lookup, err error) {
	var krid pgtype.UUID
	var until *int64
	var state *int16
	if err = rows.Scan(place, (*[16]byte)(&l.Token), &krid, &until, &state); err != nil {
		return l, err
	}
	if l.State = storage.KeyLive; state != nil {
		l.State = storage.KeyState(*state)
	}
	if l.KRID = event.KRID(krid.Bytes); until != nil {
		l.Until = *until
	}
	return l, nil
}

func scanRetention(rows pgx.Rows, place *int64) (r storage.RetentionKey, err error) {
	var version, epoch int64
	var state int16
	err = rows.Scan(place, &r.Class, &r.Bucket, &version, &epoch, &state, &r.Record)
	r.Version, r.Epoch, r.State = uint64(version), uint32(epoch), storage.KeyState(state)
	return r, err
}

func scanEpoch(rows pgx.Rows, place *int64) (e storage.Epoch, err error) {
	var number, version int64
	var state int16
	err = rows.Scan(place, &number, &version, &e.Created, &state, &e.Name, &e.Record)
	e.Number, e.Version, e.State = uint32(number), uint64(version), storage.KeyState(state)
	return e, err
}

func uuids[T ~[16]byte](list []T) pgtype.FlatArray[pgtype.UUID] {
	ids := make(pgtype.FlatArray[pgtype.UUID], len(list))
	for i := range list {
		ids[i] = pgtype.UUID{Bytes: list[i], Valid: true}
	}
	return ids
}

func retentionArgs(ids []storage.RetentionID) []any {
	classes, buckets := make([]string, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		if buckets[i] = id.Bucket; pglink.Storable(id.Class) { // no other is stored
			classes[i] = id.Class
		}
	}
	return []any{classes, buckets}
}

// stored is a record as it is stored: NULL if there is nothing in it.
func stored(record []byte) []byte {
	if len(record) == 0 {
		return nil
	}
	return record
}

// mostBytes bounds the records of one statement: a value of PostgreSQL is smaller than 1 GB.
const mostBytes = 32 << 20

// queue queues what a plan changes.
func (p *plan) queue(b *pgx.Batch) {
	if p.moved {
		var store []byte
		if p.store != nobody {
			store = p.store[:]
		}
		b.Queue(`UPDATE keystore SET store = $1, applied = $2`, store, int64(p.applied))
	}
	p.queueKeyrings(b)
	p.queueLookups(b)
	for key := range p.retentions.changed {
		r := p.retentions.now[key]
		b.Queue(`INSERT INTO key_retention VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (class, bucket) DO UPDATE SET
			version = excluded.version, epoch = excluded.epoch, state = excluded.state, record = excluded.record`,
			r.Class, r.Bucket, int64(r.Version), int64(r.Epoch), int16(r.State), stored(r.Record))
	}
	for key := range p.epochs.changed {
		e := p.epochs.now[key]
		b.Queue(`INSERT INTO key_epoch VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (number) DO UPDATE SET
			version = excluded.version, created = excluded.created, state = excluded.state, name = excluded.name,
			record = excluded.record`,
			int64(e.Number), int64(e.Version), e.Created, int16(e.State), e.Name, stored(e.Record))
	}
}

func (p *plan) queueKeyrings(b *pgx.Batch) {
	var krids []event.KRID
	var versions, epochs []int64
	var states []int16
	var records [][]byte
	bytes := 0
	send := func() {
		if len(krids) > 0 {
			b.Queue(`INSERT INTO keyring
				SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bytea[])
				ON CONFLICT (krid) DO UPDATE SET version = excluded.version, epoch = excluded.epoch, state = excluded.state,
				record = excluded.record`, uuids(krids), versions, epochs, states, records)
		}
		krids, versions, epochs, states, records, bytes = nil, nil, nil, nil, nil, 0
	}
	for krid := range p.keyrings.changed {
		k := p.keyrings.now[krid]
		krids, versions, epochs = append(krids, krid), append(versions, int64(k.Version)), append(epochs, int64(k.Epoch))
		states, records = append(states, int16(k.State)), append(records, stored(k.Record))
		if bytes += len(k.Record); bytes >= mostBytes {
			send()
		}
	}
	send()
}

func (p *plan) queueLookups(b *pgx.Batch) {
	var removed, tokens []storage.LookupToken
	var krids pgtype.FlatArray[pgtype.UUID]
	var until []*int64
	var states []*int16
	for token := range p.lookups.changed {
		l, there := p.lookups.now[token]
		if !there {
			removed = append(removed, token)
			continue
		}
		tokens, krids = append(tokens, token), append(krids, pgtype.UUID{Bytes: l.KRID, Valid: !l.KRID.IsZero()})
		until, states = append(until, nil), append(states, nil)
		if l.Until != 0 {
			until[len(until)-1] = &l.Until
		}
		if state := int16(l.State); l.State != storage.KeyLive {
			states[len(states)-1] = &state
		}
	}
	if len(tokens) > 0 {
		b.Queue(`INSERT INTO key_lookup SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[])
			ON CONFLICT (token) DO UPDATE SET krid = excluded.krid, until = excluded.until, state = excluded.state`,
			uuids(tokens), krids, until, states)
	}
	if len(removed) > 0 {
		b.Queue(`DELETE FROM key_lookup WHERE token = ANY($1)`, uuids(removed))
	}
}
