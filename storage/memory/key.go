package memory

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Keystore implements storage.Keystore: maps under one lock. Safe for concurrent use.
type Keystore struct {
	mu         sync.RWMutex
	head       storage.KeyHead
	keyrings   map[event.KRID]storage.Keyring
	order      []event.KRID       // in which they came
	places     map[event.KRID]int // in order
	retentions map[storage.RetentionID]storage.RetentionKey
	lookups    map[storage.LookupToken]storage.Lookup
	uses       []storage.Use // by number
	used       uint64        // the highest number that was given
	closed     bool
}

var _ storage.Keystore = (*Keystore)(nil)

// NewKeys makes an empty keystore.
func NewKeys() *Keystore {
	return &Keystore{
		keyrings:   map[event.KRID]storage.Keyring{},
		places:     map[event.KRID]int{},
		retentions: map[storage.RetentionID]storage.RetentionKey{},
		lookups:    map[storage.LookupToken]storage.Lookup{},
	}
}

// Close makes every later call event.ErrUnavailable. Closing twice is fine.
func (k *Keystore) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}

// read locks for reading if the call may go on; otherwise nothing is locked.
func (k *Keystore) read(ctx context.Context) error {
	k.mu.RLock()
	if err := k.usable(ctx); err != nil {
		k.mu.RUnlock()
		return err
	}
	return nil
}

// usable says whether a call may go on. It wants mu.
func (k *Keystore) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("use keystore: %w", err)
	}
	if k.closed {
		return event.Errorf(event.ErrUnavailable, "use keystore: it was closed").Hint("open it again")
	}
	return nil
}

// KeyHead implements storage.Keys.
func (k *Keystore) KeyHead(ctx context.Context) (storage.KeyHead, error) {
	if err := k.read(ctx); err != nil {
		return storage.KeyHead{}, err
	}
	defer k.mu.RUnlock()
	head := k.head
	head.Epochs = slices.Clone(head.Epochs)
	for i := range head.Epochs {
		head.Epochs[i].Record = kept(head.Epochs[i].Record)
	}
	return head, nil
}

// Keyrings implements storage.Keys.
func (k *Keystore) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	found := make([]storage.Keyring, len(krids))
	for i, id := range krids {
		found[i] = k.keyrings[id]
		found[i].Record = kept(found[i].Record)
	}
	return found, nil
}

// Lookups implements storage.Keys.
func (k *Keystore) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	found := make([]storage.Lookup, len(tokens))
	for i, token := range tokens {
		found[i] = k.lookups[token]
	}
	return found, nil
}

// Retentions implements storage.Keys.
func (k *Keystore) Retentions(ctx context.Context, ids []storage.RetentionID) ([]storage.RetentionKey, error) {
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	found := make([]storage.RetentionKey, len(ids))
	for i, id := range ids {
		found[i] = k.retentions[id]
		found[i].Record = kept(found[i].Record)
	}
	return found, nil
}

// ScanKeyrings implements storage.Keys.
func (k *Keystore) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	if q.Limit < 1 {
		return nil, event.Invalid("malformed_limit", "scan keyrings: limit %d is below 1", q.Limit)
	}
	from := 0
	if !q.After.IsZero() {
		last, ok := k.places[q.After]
		if !ok {
			return nil, event.Invalid("malformed_after", "scan keyrings: %s is not there", q.After)
		}
		from = last + 1
	}
	var found []storage.Keyring
	for _, id := range k.order[from:] {
		r := k.keyrings[id]
		if (q.Before == 0 || r.Epoch < q.Before) && (!q.Live || r.State == storage.KeyLive) {
			r.Record = kept(r.Record)
			if found = append(found, r); len(found) == q.Limit {
				break
			}
		}
	}
	return found, nil
}

// ChangeKeys implements storage.Keys.
func (k *Keystore) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.usable(ctx); err != nil {
		return nil, err
	}
	for i := range changes {
		if err := changes[i].Check(); err != nil {
			return nil, err
		}
	}
	outcomes := make([]storage.KeyOutcome, len(changes))
	for i := range changes {
		if outcomes[i] = k.refusal(&changes[i]); outcomes[i] == (storage.KeyOutcome{}) {
			k.change(&changes[i])
			outcomes[i].Stored = true
		}
	}
	return outcomes, nil
}

// refusal is what is in the way of a change; zero: nothing. It wants mu.
func (k *Keystore) refusal(c *storage.KeyChange) (o storage.KeyOutcome) {
	if c.Keyring != nil {
		if now := k.keyrings[c.Keyring.KRID]; !c.Keyring.Follows(now.Version, now.State) {
			now.Record = kept(now.Record)
			return storage.KeyOutcome{Keyring: &now}
		}
	}
	if c.Retention != nil {
		if now := k.retentions[c.Retention.RetentionID]; !c.Retention.Follows(now.Version, now.State) {
			now.Record = kept(now.Record)
			return storage.KeyOutcome{Retention: &now}
		}
	}
	for _, l := range c.Add {
		if now, ok := k.lookups[l.Token]; ok {
			return storage.KeyOutcome{Lookup: &now}
		}
	}
	if c.Epoch != nil {
		var now storage.Epoch
		if i, ok := k.epoch(c.Epoch.Number); ok {
			now = k.head.Epochs[i]
		}
		if !c.Epoch.Follows(now.Version, now.State) {
			now.Record = kept(now.Record)
			return storage.KeyOutcome{Epoch: &now}
		}
	}
	if own := k.head.Store; c.Store != own && c.Store != (event.StoreID{}) && own != (event.StoreID{}) {
		return storage.KeyOutcome{Store: own}
	}
	return storage.KeyOutcome{}
}

// epoch is where an epoch lies, or belongs.
func (k *Keystore) epoch(number uint32) (int, bool) {
	return slices.BinarySearchFunc(k.head.Epochs, number, func(e storage.Epoch, n uint32) int {
		return int(int64(e.Number) - int64(n))
	})
}

// change stores a change that nothing is in the way of. What it replaces is overwritten. It wants mu.
func (k *Keystore) change(c *storage.KeyChange) {
	if c.Keyring != nil {
		clear(k.keyrings[c.Keyring.KRID].Record)
		r := *c.Keyring
		r.Record = kept(r.Record)
		if _, there := k.places[r.KRID]; !there {
			k.places[r.KRID] = len(k.order)
			k.order = append(k.order, r.KRID)
		}
		k.keyrings[r.KRID] = r
	}
	if c.Retention != nil {
		clear(k.retentions[c.Retention.RetentionID].Record)
		r := *c.Retention
		r.Record = kept(r.Record)
		k.retentions[r.RetentionID] = r
	}
	for _, l := range slices.Concat(c.Add, c.Replace) {
		k.lookups[l.Token] = l
	}
	for _, token := range c.Remove {
		delete(k.lookups, token)
	}
	if c.Epoch != nil {
		e := *c.Epoch
		e.Record = kept(e.Record)
		i, ok := k.epoch(e.Number)
		if ok {
			clear(k.head.Epochs[i].Record)
			k.head.Epochs[i] = e
		} else {
			k.head.Epochs = slices.Insert(k.head.Epochs, i, e)
		}
	}
	if c.Store != (event.StoreID{}) {
		k.head.Store = c.Store
	}
	k.head.Applied = max(k.head.Applied, c.Applied)
}

// ScrubKeys implements storage.Keys. Changes left nothing behind but what the garbage collector has not reused yet.
func (k *Keystore) ScrubKeys(ctx context.Context) (storage.Residue, error) {
	if err := k.read(ctx); err != nil {
		return storage.Residue{}, err
	}
	k.mu.RUnlock()
	return storage.Residue{}, nil
}

// KeySizes implements storage.Keystore.
func (k *Keystore) KeySizes(ctx context.Context) ([]storage.Size, error) {
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	sizes := []storage.Size{
		{Part: "keyrings"}, {Part: "lookups"}, {Part: "retentions"}, {Part: "uses"}, {Part: "other"},
	}
	for part, b := range k.parts {
		i := slices.IndexFunc(sizes, func(z storage.Size) bool { return z.Part == part })
		sizes[i].Bytes += int64(len(b))
	}
	return sizes, nil
}

// Dump is every byte the keystore keeps, as copies, as Store.Dump is.
func (k *Keystore) Dump() [][]byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var all [][]byte
	for _, b := range k.parts {
		all = append(all, bytes.Clone(b))
	}
	return all
}

// parts yields all that is kept, piece by piece, with the part of KeySizes it belongs to. It wants mu.
func (k *Keystore) parts(yield func(part string, b []byte) bool) {
	record := func(name []byte, version uint64, epoch uint32, state storage.KeyState, record []byte) []byte {
		b := binary.BigEndian.AppendUint64(bytes.Clone(name), version)
		return append(append(binary.BigEndian.AppendUint32(b, epoch), byte(state)), record...)
	}
	for id, r := range k.keyrings {
		if !yield("keyrings", record(id[:], r.Version, r.Epoch, r.State, r.Record)) {
			return
		}
	}
	for id, r := range k.retentions {
		name := binary.BigEndian.AppendUint64([]byte(id.Class), uint64(id.Bucket))
		if !yield("retentions", record(name, r.Version, r.Epoch, r.State, r.Record)) {
			return
		}
	}
	for _, l := range k.lookups {
		b := append(append(l.Token[:], byte(l.State)), l.KRID[:]...)
		if !yield("lookups", binary.BigEndian.AppendUint64(b, uint64(l.Until))) {
			return
		}
	}
	for i := range k.uses {
		b := binary.BigEndian.AppendUint64(nil, k.uses[i].Number)
		if !yield("uses", storage.AppendUse(b, &k.uses[i])) {
			return
		}
	}
	for _, e := range k.head.Epochs {
		name := binary.BigEndian.AppendUint64([]byte(e.Name), uint64(e.Created))
		if !yield("other", record(name, e.Version, e.Number, e.State, e.Record)) {
			return
		}
	}
	yield("other", binary.BigEndian.AppendUint64(k.head.Store[:], uint64(k.head.Applied)))
}
