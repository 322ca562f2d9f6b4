#!/bin/sh
# Follows the primary as its synchronous replica, or goes on as what it became by then.
# Wants PRIMARY (host), PGPASSWORD of role replication, and PGDATA, whose parent is there.
set -eu

if [ ! -e "$PGDATA" ]; then
	# A copy that was interrupted is no data directory.
	new=$PGDATA.new
	rm -rf "$new"
	pg_basebackup --dbname "host=$PRIMARY port=${PRIMARY_PORT:-5432} user=replication application_name=replica" \
		--pgdata "$new" --wal-method=stream --checkpoint=fast --write-recovery-conf
	# Once promoted it must not wait for a replica of the server it followed. The last line wins.
	echo "synchronous_standby_names = ''" >>"$new/postgresql.auto.conf"
	mv "$new" "$PGDATA"
fi
exec postgres "$@"
