#!/usr/bin/env bash
# Installs what the tests need besides Go, where it is missing:
#
#   scripts/install-test-tools.sh            strace (makes system calls fail), gcc (Go's race detector is linked with it),
#                                            curl, node and npm (foreign clients of the server)
#   scripts/install-test-tools.sh make       make
#
# It asks apt-get, as root or through sudo without a password. Where that is not possible it says what to install.
set -euo pipefail

declare -A package_of=([strace]="strace" [gcc]="gcc libc6-dev" [curl]="curl" [node]="nodejs" [npm]="npm" [make]="make")

missing=()
for tool in "${@:-strace gcc curl node npm}"; do
	for name in $tool; do
		if [[ -z ${package_of[$name]:-} ]]; then
			echo "install-test-tools: $name is none of: ${!package_of[*]}" >&2
			exit 2
		fi
		command -v "$name" >/dev/null || missing+=("$name")
	done
done
if ((${#missing[@]} == 0)); then
	exit 0
fi

packages=()
for name in "${missing[@]}"; do
	read -ra more <<<"${package_of[$name]}"
	packages+=("${more[@]}")
done

refuse() {
	echo "install-test-tools: the tests need ${missing[*]}, and $1; install ${packages[*]} and run this again" >&2
	exit 1
}

command -v apt-get >/dev/null || refuse "there is no apt-get to install it with"
as_root=()
if [[ $(id -u) != 0 ]]; then
	if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
		refuse "only root may install it"
	fi
	as_root=(sudo -n)
fi

echo "installing ${packages[*]}" >&2
install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" >&2
}
# The lists of a fresh machine are often empty: they are fetched when the first try finds nothing.
if ! install 2>/dev/null; then
	"${as_root[@]}" apt-get update -qq >&2 || refuse "apt-get cannot reach its servers"
	install || refuse "apt-get could not install it"
fi
for name in "${missing[@]}"; do
	command -v "$name" >/dev/null || refuse "$name is still missing after apt-get installed it"
done
