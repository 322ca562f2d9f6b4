# `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test build bench bench-growth fuzz fmt-check

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

bench: ## run the Go benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

bench-growth: build ## append from 1 M to 30 M events and see whether it stays as fast (an hour, 40 GB)
	bin/lethe bench growth --store $${STORE:-./data/growth} $(ARGS)

fuzz: ## run every fuzz target for 30 s (FUZZTIME=5m for longer)
	@scripts/fuzz.sh $(or $(FUZZTIME),30s)

fmt-check: ## name the files that gofmt would change
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "$$files"; exit 1; fi
