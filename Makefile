# `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test build generate bench bench-growth fuzz fmt-check

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CLI     := github.com/lethe-es/lethe/internal/cli
LDFLAGS := -s -w -X $(CLI).version=$(VERSION) -X $(CLI).commit=$(COMMIT)

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## see it work: loan applications, a report, proofs (ARGS="--store ./data" keeps the store)
	@go run ./examples/loans $(ARGS)

test: ## run every test, as continuous integration does
	@scripts/test.sh

build: ## build bin/lethe: one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/lethe ./cmd/lethe

generate: ## write the code and the OpenAPI document that are made from the protobuf sources in api
	@scripts/generate.sh

bench: build ## measure this machine: appends, scans, streams, followers, then the Go benchmarks
	bin/lethe bench append --clients 64 $(ARGS)
	bin/lethe bench append --batch 1000 $(ARGS)
	bin/lethe bench read $(ARGS)
	bin/lethe bench stream $(ARGS)
	bin/lethe bench follow $(ARGS)
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

bench-growth: build ## does a store stay as fast as it grows? (EVENTS=30000000 for the long run)
	bin/lethe bench growth --events $(or $(EVENTS),3000000) $(ARGS)

fuzz: ## run every fuzz target for 30 s (FUZZTIME=5m for longer)
	@scripts/fuzz.sh $(or $(FUZZTIME),30s)

fmt-check: ## name the files that gofmt would change
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "$$files"; exit 1; fi
