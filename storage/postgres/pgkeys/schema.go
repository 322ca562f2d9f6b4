package pgkeys

import "github.com/lethe-es/lethe/storage/postgres/pglink"

// tables are those of a keystore. All of them begin with key, so that they are told from those of a log in the same
// schema. Columns with keys or what stands for a person have no statistics, which outlive what was erased; records are
// random to whoever has no key, so the database does not try to compress them.
var tables = pglink.Tables{
	What: "keystore", Format: "keystore_format",
	Hint: "check the address, or let a command that may make one make it, as the owner of its tables",
	Wanted: []pglink.Grant{
		{"SELECT", "", "keystore_format keystore key_epoch keyring key_lookup key_retention"},
		{"SELECT", "", "key_uses key_use key_segment key_run"},
		{"INSERT", "", "key_epoch keyring key_lookup key_retention key_use key_segment key_run"},
		{"DELETE", "", "key_lookup key_use key_segment key_run"},
		{"UPDATE", "one store applied", "keystore"},
		{"UPDATE", "version state created name record", "key_epoch"},
		{"UPDATE", "version epoch state record", "keyring"},
		{"UPDATE", "krid state until", "key_lookup"},
		{"UPDATE", "version epoch state record", "key_retention"},
		{"UPDATE", "one pruned indexed", "key_uses"},
		{"USAGE", "", "key_segment_n"},
	},
	Steps: []string{`
CREATE TABLE keystore (
	one boolean PRIMARY KEY DEFAULT true CHECK (one), store bytea, applied bigint NOT NULL DEFAULT 0
);
INSERT INTO keystore DEFAULT VALUES;
CREATE TABLE key_epoch (
	number bigint PRIMARY KEY, version bigint NOT NULL, created bigint NOT NULL, state smallint NOT NULL,
	name text NOT NULL, record bytea
);
CREATE TABLE keyring (
	krid uuid PRIMARY KEY, version bigint NOT NULL, epoch bigint NOT NULL, state smallint NOT NULL, record bytea
);
CREATE TABLE key_lookup (token uuid PRIMARY KEY, krid uuid, until bigint, state smallint);
CREATE TABLE key_retention (
	class text COLLATE "C" NOT NULL, bucket bigint NOT NULL, version bigint NOT NULL, epoch bigint NOT NULL,
	state smallint NOT NULL, record bytea, PRIMARY KEY (class, bucket)
);
CREATE TABLE key_uses (
	one boolean PRIMARY KEY DEFAULT true CHECK (one), pruned bigint NOT NULL DEFAULT 0,
	indexed bigint NOT NULL DEFAULT 0
);
INSERT INTO key_uses DEFAULT VALUES;
CREATE TABLE key_use (number bigint PRIMARY KEY, at bigint NOT NULL, record bytea NOT NULL);
CREATE INDEX key_use_at ON key_use (at);
CREATE TABLE key_segment (
	n bigint PRIMARY KEY, level int NOT NULL, first bigint NOT NULL, last bigint NOT NULL, uses bigint NOT NULL
);
CREATE SEQUENCE key_segment_n;
CREATE TABLE key_run (
	segment bigint NOT NULL, term bigint NOT NULL, first bigint NOT NULL, postings bytea NOT NULL,
	PRIMARY KEY (segment, term, first)
);
ALTER TABLE key_epoch ALTER COLUMN record SET STATISTICS 0, ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE keyring ALTER COLUMN krid SET STATISTICS 0, ALTER COLUMN record SET STATISTICS 0,
	ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE key_lookup ALTER COLUMN token SET STATISTICS 0, ALTER COLUMN krid SET STATISTICS 0;
ALTER TABLE key_retention ALTER COLUMN record SET STATISTICS 0, ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE key_use ALTER COLUMN record SET STATISTICS 0, ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE key_run ALTER COLUMN term SET STATISTICS 0, ALTER COLUMN postings SET STATISTICS 0,
	ALTER COLUMN postings SET STORAGE PLAIN
`},
}
