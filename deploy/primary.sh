#!/bin/sh
# Runs once, when the primary's data directory is new: roles, their passwords, the database, and replication.
# Wants REPLICATION_PASSWORD, OWNER_PASSWORD, LETHE_PASSWORD and READER_PASSWORD.
set -eu

administer() { psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username postgres --dbname postgres "$@"; }

administer --file "${DEPLOY:-/deploy}/roles.sql"
# psql reads the passwords from its environment; they are in no command line.
administer <<'SQL'
\getenv replication REPLICATION_PASSWORD
\getenv owner OWNER_PASSWORD
\getenv lethe LETHE_PASSWORD
\getenv reader READER_PASSWORD
SET log_min_error_statement = panic;
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
ALTER ROLE lethe_owner PASSWORD :'owner';
ALTER ROLE lethe PASSWORD :'lethe';
ALTER ROLE lethe_reader PASSWORD :'reader';
-- In force after the restart that ends the initialisation: what is committed until then has no replica to wait for.
ALTER SYSTEM SET synchronous_commit = on;
ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (replica)';
-- What a replica that was away for a while reads when it comes back.
ALTER SYSTEM SET wal_keep_size = '1GB';
SQL
echo "host replication replication all scram-sha-256" >>"$PGDATA/pg_hba.conf"
