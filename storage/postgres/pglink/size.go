package pglink

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/storage"
)

// Sizes adds up what the relations of a schema take, in the order of parts. Those whose names begin with key are a
// keystore's; the others are a log's. partOf says what a table, index or sequence belongs to; what it does not name is
// "other". What the server keeps beside them (write-ahead log, replicas) is not counted.
func Sizes(ctx context.Context, q Querier, schema string, keys bool, partOf map[string]string, parts []string,
) ([]storage.Size, error) {
	// Of a table what lies beside it (free space map, visibility map, long values) is the table's.
	rows, err := q.Query(ctx, `SELECT c.relname::text,
			CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'i', 'S') AND (c.relname LIKE 'key%') = $2`, schema, keys)
	if err != nil {
		return nil, err
	}
	bytes := make(map[string]int64)
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		part, ok := partOf[name]
		if !ok {
			part = "other"
		}
		bytes[part] += n
		return nil
	})
	if err != nil {
		return nil, err
	}
	sizes := make([]storage.Size, 0, len(parts))
	for _, part := range parts {
		sizes = append(sizes, storage.Size{Part: part, Bytes: bytes[part]})
	}
	return sizes, nil
}
