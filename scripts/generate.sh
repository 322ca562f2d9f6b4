#!/usr/bin/env bash
# Writes everything that is made from the protobuf sources in api/lethe/v1: the Go code beside them, and the document of
# the JSON face. What it writes is committed; a second run changes nothing. The generators' versions stand in tools/.
set -euo pipefail
cd "$(dirname "$0")/.."

export GOBIN=$PWD/tools/bin
for module in buf protobuf; do
	(cd "tools/$module" && go install tool)
done

cd api
PATH=$GOBIN:$PATH buf lint
PATH=$GOBIN:$PATH buf generate
go test -count=1 -timeout 5m ./openapi -args -update
