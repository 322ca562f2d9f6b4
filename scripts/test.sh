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
# So it watches the packages that share memory between goroutines on the memory engine, and of the SQLite engine the
# tests in which callers meet.
racing() {
	local packages=()
	for dir in event ledger log storage/memory follow ingest token wire server client demo; do
		packages+=("./$dir")
	done
	CGO_ENABLED=1 go test -race -timeout 10m "${packages[@]}" . &&
		CGO_ENABLED=1 go test -race -timeout 10m -run "$meeting" ./storage/sqlite
}
meeting='TestConformance/7_events/(CommitConcurrent|PageSnapshot|WaitWakes|WaitEnds|CloseEnds)'

step "tools" scripts/install-test-tools.sh
step "format" formatted
step "vet" go vet ./...
step "tests" go test -timeout 15m ./...
step "tests with the race detector" racing

echo "make test: all passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
