package sqlite

import (
	"context"
	"errors"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// models is the file of what is not the log: followers' checkpoints and access tokens. It is a file of its own, so
// that noting how far a follower came or when a token was used does not wait for appends, nor appends for it.
type models struct {
	mu     sync.Mutex
	c      *sqlink.Conn
	failed error // a failed sync ends all writing
	fill   sqlink.Fill
	closed bool
	tokens tokens
	life   storage.Life // the log's: in another than Live nothing changes here
}

var modelsSchema = sqlink.Schema{Steps: []string{`
CREATE TABLE cursor (
	follower TEXT PRIMARY KEY, revision INTEGER NOT NULL, position TEXT NOT NULL, note BLOB
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE token (
	id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, may_read INTEGER NOT NULL,
	may_append INTEGER NOT NULL, may_admin INTEGER NOT NULL, kinds TEXT, created INTEGER NOT NULL,
	expires INTEGER NOT NULL, revoked INTEGER NOT NULL, used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE token ADD COLUMN may_open INTEGER NOT NULL DEFAULT 0;
`}}

func openModels(path string, life storage.Life) (*models, error) {
	c, err := sqlink.Open(path, modelsSchema)
	if err != nil {
		return nil, err
	}
	m := &models{c: c, life: life}
	if m.tokens.all, err = loadTokens(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return m, nil
}

// close waits for the call that uses the connection.
func (m *models) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.tokens.close()
	return m.c.Close()
}

// use runs do with the connection.
func (m *models) use(ctx context.Context, do func(*sqlink.Conn) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return sqlink.ErrClosed()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(m.c)
}

// write is use for a call that changes something: nothing is decided any more once the disk has failed or the log has
// ended to live here.
func (m *models) write(ctx context.Context, do func(*sqlink.Conn) error) error {
	return m.use(ctx, func(c *sqlink.Conn) error {
		if m.failed != nil {
			return m.failed
		}
		if err := m.life.Check(""); err != nil {
			return err
		}
		return do(c)
	})
}

// become follows the log into another state. Whoever was changing something is waited for: it is stored when become
// returns, and nothing follows it.
func (m *models) become(life storage.Life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life = life
}

// commit runs do in a transaction, which is durable on return; bytes is about what do writes. It wants mu.
func (m *models) commit(bytes int, do func() error) error {
	err := m.c.MoveLog(&m.fill)
	if err == nil {
		err = m.c.Transaction(do)
		m.fill.Add(bytes)
	}
	if errors.Is(err, event.ErrFailed) {
		m.failed = sqlink.ErrFailedBefore()
	}
	return err
}
