#!/usr/bin/env bash
# Runs every fuzz target for a while each: scripts/fuzz.sh [30s] [./event …]. What it finds lies in the package's
# testdata/fuzz, and from then on is a test like any other.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:-30s}
shift || true
packages=("${@:-./...}")

targets=0
while read -r package name; do
	targets=$((targets + 1))
	echo "== $package $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$package"
done < <(
	for package in $(go list "${packages[@]}"); do
		go test -list '^Fuzz' "$package" | grep '^Fuzz' | sed "s|^|$package |" || true
	done
)
if ((targets == 0)); then
	echo "fuzz: there is no fuzz target in ${packages[*]}" >&2
	exit 1
fi
echo "fuzz: $targets targets ran $duration each and found nothing"
