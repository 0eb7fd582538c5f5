# Batholith. `make` or `make help` lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What scripts/deps.sh installs for the tests goes before what the machine has.
export PATH := $(CURDIR)/.tools/python/bin:$(PATH)

# The race detector needs cgo; the binary itself is made without.
GO        ?= go
PACKAGES  ?= ./...
TESTFLAGS ?= -race -timeout 25m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## make bin/batholith, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/batholith ./cmd/batholith

.PHONY: test
test: deps format vet ## run every test; installs what they need
	$(GO) test $(TESTFLAGS) $(PACKAGES)

.PHONY: deps
deps: ## install what the tests need: C compiler, node, AWS SDKs and CLI
	@scripts/deps.sh

.PHONY: format
format: ## fail when a file is not gofmt'ed
	@files=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):" $$files >&2; exit 1; fi

# With -race, vet and test share one build of the dependencies.
.PHONY: vet
vet: ## run go vet
	$(GO) vet -race $(PACKAGES)

.PHONY: bench
bench: ## measure against floors that are measured in the same run
	$(GO) run ./internal/bench

SEEDS ?= 200

.PHONY: sim
sim: ## simulate the engine through kills, freezes and outages, SEEDS times each
	BATHOLITH_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 24h ./internal/engine

.PHONY: lint
lint: ## run golangci-lint, when it is installed
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
	else echo "golangci-lint is not installed; nothing was linted" >&2; exit 1; fi

.PHONY: generate
generate: ## make the generated files again
	$(GO) generate ./...

.PHONY: clean
clean: ## remove what was built and installed here
	rm -rf bin .tools tests/sdk/node_modules tests/programs/node_modules
