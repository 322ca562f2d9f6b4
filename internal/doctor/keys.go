package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
)

// Keys is the keystore of a store.
type Keys struct {
	Store   storage.Keystore // nil: there is none
	Service kms.KMS          // that holds the root keys; nil: none is named, and no epoch is tried
	Options keyring.Options  // clock and randomness
}

// KeyReport is what was found of a keystore.
type KeyReport struct {
	Checks   []storage.Check
	Unusable error // why the keys cannot be used, where that is no damage: a key service that is away; nil: they can
}

// Damaged tells whether something is wrong that no key service mends.
func (r *KeyReport) Damaged() bool {
	return slices.ContainsFunc(r.Checks, func(c storage.Check) bool {
		return !c.OK && (c.Name != "epochs" || r.Unusable == nil)
	})
}

// ExamineKeys looks at the keystore of an engine's store: whether it is that store's, whether the key service gives out
// every live epoch, and whether everybody the log speaks of has a keyring, or a tombstone. It opens nothing personal,
// and reads the log once. progress may be nil.
func ExamineKeys(ctx context.Context, engine storage.Store, k Keys, progress Progress) (*KeyReport, error) {
	head, err := engine.Head(ctx)
	if err != nil {
		return nil, err
	}
	if k.Options.Store = head.Store; progress == nil {
		progress = func(event.Position, event.Position) {}
	}
	x := &keyExam{Keys: k, engine: engine, head: &head, progress: progress}
	if k.Store != nil {
		if own, err := x.own(ctx); err != nil || !own {
			return &x.report, err
		}
		if err := x.epochs(ctx); err != nil {
			return nil, err
		}
		if x.keys.Store != (event.StoreID{}) {
			if err := x.keyrings(ctx); err != nil {
				return nil, err
			}
		}
	} else {
		x.add("keystore", true, "there is none yet")
	}
	return &x.report, x.aliases(ctx)
}

// ExamineServerKeys asks a server about the keys of its store. What they lie in is asked where it lies.
func ExamineServerKeys(ctx context.Context, c *client.Client) (*KeyReport, error) {
	answer, err := c.Keys.Status(ctx, connect.NewRequest(new(lethev1.KeyStatusRequest)))
	x := new(keyExam)
	switch {
	case errors.Is(err, event.ErrUnsupported), errors.Is(err, event.ErrDenied):
		x.add("epochs", true, "not tried: the server does not tell [%s]", event.Code(err))
		return &x.report, nil
	case err != nil:
		return nil, err
	}
	m := answer.Msg
	if fault := m.GetFault(); fault != "" {
		x.report.Unusable = &event.Error{Sentinel: event.ErrUnavailable, Code: fault,
			Message: "open epochs: the server's " + m.GetService() + " does not give out their keys",
			Next:    "see to the key service where the server runs"}
		x.add("epochs", false, "%s does not give out their keys: %s", m.GetService(), fault)
		return &x.report, nil
	}
	var list []keyring.EpochStatus
	for _, e := range m.GetEpochs() {
		state := keyring.Erased
		if e.GetState() == "live" {
			state = keyring.Live
		}
		list = append(list, keyring.EpochStatus{Number: e.GetNumber(), State: state, Open: e.GetOpen()})
	}
	x.opened(list, m.GetService())
	return &x.report, nil
}

// keyExam gathers checks of a keystore.
type keyExam struct {
	Keys
	engine   storage.Store
	head     *storage.Head
	keys     storage.KeyHead
	progress Progress
	anybody  bool // the log speaks of somebody
	report   KeyReport
}

func (x *keyExam) add(name string, ok bool, format string, args ...any) {
	x.report.Checks = append(x.report.Checks, storage.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// own tells whether the keystore is the store's.
func (x *keyExam) own(ctx context.Context) (bool, error) {
	var err error
	if x.keys, err = x.Store.KeyHead(ctx); err != nil {
		return false, err
	}
	if engine, ok := x.Store.(storage.Examiner); ok {
		checks, err := engine.Examine(ctx)
		if err != nil {
			return false, err
		}
		for _, c := range checks {
			x.add("keystore "+c.Name, c.OK, "%s", c.Detail)
		}
	}
	switch x.keys.Store {
	case event.StoreID{}:
		x.add("keystore", true, "new: no key was ever made in it")
	case x.head.Store:
		x.add("keystore", true, "of this store; epochs: %d", len(x.keys.Epochs))
	default:
		x.add("keystore", false, "it belongs to store %s, and the log is of store %s", x.keys.Store, x.head.Store)
		return false, nil
	}
	return true, nil
}

// epochs has the key service give out the keys of every live epoch.
func (x *keyExam) epochs(ctx context.Context) error {
	if len(x.keys.Epochs) == 0 {
		return nil
	}
	if x.Service == nil {
		x.add("epochs", true, "%d; not tried: no key service is named, see --kms", len(x.keys.Epochs))
		return nil
	}
	keeper, err := keyring.Open(ctx, x.Store, x.Service, x.Options)
	if err != nil {
		return err
	}
	defer keeper.Close()
	status, err := keeper.Status(ctx)
	switch {
	case err == nil:
		x.opened(status.Epochs, status.Service)
	case ctx.Err() != nil:
		return ctx.Err()
	case damage(err):
		x.add("epochs", false, "%v", err)
	default:
		x.report.Unusable = err
		x.add("epochs", false, "their keys cannot be used now: %s", event.Code(err))
	}
	return nil
}

// opened says which live epochs the key service gave out.
func (x *keyExam) opened(list []keyring.EpochStatus, service string) {
	live, closed := 0, []string(nil)
	for _, e := range list {
		if e.State != keyring.Live {
			continue
		}
		if live++; !e.Open {
			closed = append(closed, fmt.Sprint(e.Number))
		}
	}
	if len(closed) > 0 {
		x.add("epochs", false, "%s does not give out the keys of epoch %s", service, strings.Join(closed, ", "))
		return
	}
	x.add("epochs", true, "%d live, all opened by %s; %d destroyed", live, service, len(list)-live)
}

// scanned is how many keyrings, or events, are read at a time.
const scanned = 1000

// keyrings looks whether an epoch that is live wraps every keyring.
func (x *keyExam) keyrings(ctx context.Context) error {
	live, destroyed := 0, 0
	var lost missing
	for q := (storage.KeyringQuery{Limit: scanned}); ; {
		found, err := x.Store.ScanKeyrings(ctx, q)
		if err != nil {
			return err
		}
		for i := range found {
			r := &found[i]
			switch {
			case r.State != storage.KeyLive:
				destroyed++
				continue
			case r.KRID != keyring.OfStore(x.head.Store):
				live++
			}
			if !x.wraps(r.Epoch) {
				lost.add(r.KRID)
			}
		}
		if len(found) < scanned {
			break
		}
		q.After = found[len(found)-1].KRID
	}
	if lost.count > 0 {
		x.add("keyrings", false, "%d are under an epoch that is not live: %s", lost.count, lost.some())
		return nil
	}
	x.add("keyrings", true, "%d live, %d destroyed; each under a live epoch", live, destroyed)
	return nil
}

func (x *keyExam) wraps(epoch uint32) bool {
	return slices.ContainsFunc(x.keys.Epochs, func(e storage.Epoch) bool {
		return e.Number == epoch && e.State == storage.KeyLive
	})
}

// aliases looks everybody up of whom the log speaks.
func (x *keyExam) aliases(ctx context.Context) error {
	known := make(map[event.KRID]bool) // who was looked up lately
	var lost missing
	q := storage.Query{From: 1, To: uint64(x.head.Position), Limit: scanned}
	for x.head.Position > 0 {
		page, err := x.engine.Page(ctx, q)
		if damage(err) {
			x.add("aliases", false, "position %d: %v", q.From, err)
			return nil
		}
		if err != nil {
			return err
		}
		fresh, err := x.spoken(page.Records, known)
		if err != nil {
			x.add("aliases", false, "%v", err)
			return nil
		}
		if err := x.look(ctx, fresh, known, &lost); err != nil {
			return err
		}
		x.progress(event.Position(page.Scanned), x.head.Position)
		if page.Done || page.Scanned == 0 {
			break
		}
		q.From = page.Scanned + 1
	}
	if lost.count > 0 {
		x.add("aliases", false, "%d of whom the log speaks have neither a keyring nor a tombstone: %s", lost.count,
			lost.some())
		return nil
	}
	if !x.anybody {
		x.add("aliases", true, "the log speaks of no person")
		return nil
	}
	x.add("aliases", true, "everybody of whom the log speaks has a keyring or a tombstone")
	return nil
}

// spoken are the persons of events that were not seen lately.
func (x *keyExam) spoken(records []storage.Record, known map[event.KRID]bool) (fresh []event.KRID, err error) {
	see := func(id string) {
		if !event.IsKRID(id) {
			return
		}
		krid, err := event.ParseKRID(id)
		if err == nil && !known[krid] {
			known[krid], x.anybody = true, true
			fresh = append(fresh, krid)
		}
	}
	for i := range records {
		if records[i].Body == nil { // truncated
			continue
		}
		e, err := records[i].Event()
		if err != nil {
			return nil, fmt.Errorf("position %d: %w", records[i].Position, err)
		}
		see(e.Stream.ID)
		for _, r := range e.Relations { // whose data it holds is related, too
			see(r.ID)
		}
		if e.Stream.Kind == event.SystemKind {
			named(e.Data, see)
		}
	}
	return fresh, nil
}

// named finds those that a record of Lethe's own names, such as a guardian.
func named(data []byte, see func(id string)) {
	length := len(event.KRID{}.String())
	for part := range bytes.SplitSeq(data, []byte{'"'}) {
		if len(part) == length {
			see(string(part))
		}
	}
}

// remembered bounds what is known of who was looked up before; beyond it everybody is looked up again.
const remembered = 1 << 16

func (x *keyExam) look(ctx context.Context, fresh []event.KRID, known map[event.KRID]bool, lost *missing) error {
	if len(fresh) == 0 {
		return nil
	}
	found := make([]storage.Keyring, len(fresh))
	if x.Store != nil {
		var err error
		if found, err = x.Store.Keyrings(ctx, fresh); err != nil {
			return err
		}
	}
	for i := range found {
		if found[i].Version == 0 {
			lost.add(fresh[i])
		}
	}
	if len(known) > remembered {
		clear(known)
	}
	return nil
}

// missing counts persons, each once as long as they are few, and remembers some.
type missing struct {
	count int
	names []event.KRID
	seen  map[event.KRID]bool
}

// Of those that are missing, so many are named, and so many counted once.
const (
	mostNamed   = 5
	mostCounted = 1 << 20
)

func (m *missing) add(krid event.KRID) {
	if m.seen == nil {
		m.seen = make(map[event.KRID]bool)
	}
	if m.seen[krid] {
		return
	}
	if len(m.seen) < mostCounted {
		m.seen[krid] = true
	}
	if m.count++; len(m.names) < mostNamed {
		m.names = append(m.names, krid)
	}
}

func (m *missing) some() string {
	names := make([]string, len(m.names))
	for i, krid := range m.names {
		names[i] = krid.String()
	}
	text := strings.Join(names, ", ")
	if m.count > len(names) {
		text += ", …"
	}
	return text
}
