#!/usr/bin/env bash
# Installs what the tests need besides Go, where it is missing:
#
#   scripts/install-test-tools.sh            strace (makes system calls fail), gcc (Go's race detector is linked with it),
#                                            curl, node and npm (foreign clients of the server),
#                                            postgres (servers that tests start themselves)
#   scripts/install-test-tools.sh make       make
#
# It asks apt-get, as root or through sudo without a password. Where that is not possible it says what to install.
set -euo pipefail

declare -A package_of=([strace]="strace" [gcc]="gcc libc6-dev" [curl]="curl" [node]="nodejs" [npm]="npm" [make]="make"
	[postgres]="postgresql")

# Debian keeps PostgreSQL's server out of PATH.
present() {
	command -v "$1" >/dev/null && return
	[[ $1 == postgres ]] && compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null
}

missing=()
for tool in "${@:-strace gcc curl node npm postgres}"; do
	for name in $tool; do
		if [[ -z ${package_of[$name]:-} ]]; then
			echo "install-test-tools: $name is none of: ${!package_of[*]}" >&2
			exit 2
		fi
		present "$name" || missing+=("$name")
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

# PostgreSQL's package would make a cluster and start it with the machine. A file that is there already is left alone.
no_cluster() {
	local file=/etc/postgresql-common/createcluster.conf
	[[ " ${missing[*]} " == *" postgres "* && ! -e $file ]] || return 0
	"${as_root[@]}" mkdir -p "${file%/*}"
	echo "create_main_cluster = false" | "${as_root[@]}" tee "$file" >/dev/null
}

echo "installing ${packages[*]}" >&2
install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" >&2
}
no_cluster
# The lists of a fresh machine are often empty: they are fetched when the first try finds nothing.
if ! install 2>/dev/null; then
	"${as_root[@]}" apt-get update -qq >&2 || refuse "apt-get cannot reach its servers"
	install || refuse "apt-get could not install it"
fi
for name in "${missing[@]}"; do
	present "$name" || refuse "$name is still missing after apt-get installed it"
done
