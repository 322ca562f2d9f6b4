// Package api is the contract of Lethe's doors: protobuf sources (lethe/v1) and what is generated from them, to be
// spoken as gRPC, gRPC-Web or Connect, of which plain JSON over HTTP is a part.
//
// The sources are the truth, comments and needed permissions included; make generate writes everything else, and tests
// compare the two. Programs in Go use package client instead; docs/api.md is for programs in any other language.
package api

import "embed"

// Sources are the protobuf files, by the paths under which they import each other.
//
//go:embed lethe/v1/*.proto
var Sources embed.FS

// OpenAPI is the OpenAPI 3.1 document of the JSON face. Package openapi makes it from Sources.
//
//go:embed openapi.json
var OpenAPI []byte
