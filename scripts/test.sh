#!/usr/bin/env bash
# Runs everything that must hold before a change goes in, and ends with one line that says so. The first step that
# fails ends it. Longer runs of the same tests are scaled by variables: see e2e/torture.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
	local name=$1 start=$SECONDS
	shift
	echo "== $name"
	if ! "$@"; then
		echo "make test: FAILED at: $name" >&2
		exit 1
	fi
	echo "   $((SECONDS - start)) s"
}

formatted() {
	local files
	files=$(gofmt -l .)
	[[ -z $files ]] || {
		printf 'not formatted by gofmt:\n%s\n' "$files" >&2
		return 1
	}
}

# The race detector makes code some ten times slower, and SQLite, which is translated from C into Go, a good deal more.
# So it watches the packages that share memory between goroutines on the memory engine, and of the other engines the
# tests in which callers meet.
racing() {
	local packages=()
	for dir in event ledger log storage/memory keyring privacy follow ingest token wire server client demo; do
		packages+=("./$dir")
	done
	CGO_ENABLED=1 go test -race -timeout 10m "${packages[@]}" . &&
		CGO_ENABLED=1 go test -race -timeout 10m -run "$meeting" ./storage/sqlite ./storage/postgres
}
meeting='TestConformance/7_events/(CommitConcurrent|PageSnapshot|WaitWakes|WaitEnds|CloseEnds)|TestTwoStores|TestClaims|TestHang'

# One PostgreSQL server for the whole run; without it each package that needs one starts its own. It is as private as
# those of storage/postgres/pgtest: loopback, password, and PostgreSQL refuses to run as root.
serve_postgres() {
	[[ -z ${LETHE_TEST_POSTGRES:-} ]] || return 0
	local account port password
	bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	[[ -x $bin/postgres ]] || bin=$(dirname "$(command -v postgres)")
	server=$(mktemp -d "${TMPDIR:-/tmp}/lethe-test-XXXXXX") || return
	trap remove_postgres EXIT
	as=()
	if [[ $(id -u) == 0 ]]; then
		account=postgres
		id "$account" >/dev/null 2>&1 || account=nobody
		as=(setpriv "--reuid=$account" "--regid=$(id -g "$account")" --clear-groups)
		chown "$account" "$server" || return
	fi
	password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	(umask 077 && echo "$password" >"$server/password") && chown --reference="$server" "$server/password" &&
		postgres_program initdb -D data -U postgres --pwfile=password --auth=scram-sha-256 --encoding=UTF8 \
			--no-locale --data-checksums --no-sync >/dev/null || return
	for _ in {1..9}; do # the port may be taken
		port=$((10000 + RANDOM % 20000))
		if postgres_program pg_ctl start -w -s -D data -l log -o "-c listen_addresses=127.0.0.1 -c port=$port \
			-c unix_socket_directories= -c max_connections=300 -c shared_buffers=128MB -c fsync=on \
			-c dynamic_shared_memory_type=mmap" 2>/dev/null; then
			PGPASSWORD=$password postgres_program createdb -h 127.0.0.1 -p "$port" -U postgres lethe || return
			export LETHE_TEST_POSTGRES="postgres://postgres:$password@127.0.0.1:$port/lethe?sslmode=disable"
			return 0
		fi
	done
	cat "$server/log" >&2
	return 1
}

postgres_program() {
	(cd "$server" && HOME=$server "${as[@]}" "$bin/$1" "${@:2}")
}

remove_postgres() {
	[[ ! -e $server/data/postmaster.pid ]] || postgres_program pg_ctl stop -s -m immediate -D data
	rm -rf -- "$server"
}

step "tools" scripts/install-test-tools.sh
step "PostgreSQL server" serve_postgres
step "format" formatted
step "vet" go vet ./...
step "tests" go test -timeout 15m ./...
step "tests with the race detector" racing

echo "make test: all passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
