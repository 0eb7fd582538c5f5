# Batholith. `make` or `make help` lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What scripts/deps.sh installs for the tests goes before what the machine has.
export PATH := $(CURDIR)/.tools/python/bin:$(PATH)

# The race detector needs cgo; the binary itself is made without. SQLite's engine is C that was translated to Go: watched by the race detector it
# takes ten times as long, and what would be found there is not ours to mend. Only a package without instances of generic code may be left out: the
# linker keeps one copy of each, and an unwatched one hides synchronisation from the detector, which then reports races that are none.
GO        ?= go
PACKAGES  ?= ./...
TESTFLAGS ?= -timeout 20m
RACE      := -race -gcflags=modernc.org/sqlite/lib=-race=false

# Tests of the real program, which is built without the race detector and runs in a process of its own. They wait more than they compute.
PROGRAM := /tests/(crash|days|evidence|ledger|power|programs|sdk)$$
# Packages that try a part of their random cases with the race detector (internal/raced), and all of them without it.
RANDOM  := /internal/(dispatch|engine|limit)$$

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## make bin/batholith, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/batholith ./cmd/batholith

.PHONY: test
test: deps format vet ## run every test; installs what they need
	@all=$$($(GO) list $(PACKAGES)); failed=0; \
	run() { if [ -n "$$1" ]; then echo "+ go test $${*:2}"; $(GO) test "$${@:2}" $(TESTFLAGS) $$1 || failed=1; fi; }; \
	run "$$(grep -vE '$(PROGRAM)' <<<"$$all" || true)" $(RACE); \
	run "$$(grep -E '$(PROGRAM)|$(RANDOM)' <<<"$$all" || true)" -p 4; \
	exit $$failed

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
	$(GO) vet $(RACE) $(PACKAGES)

.PHONY: bench
bench: ## measure against floors that are measured in the same run
	$(GO) run ./internal/bench

# MinIO and SeaweedFS are built from the Go module proxy, which takes a quarter of an hour on two processors and is done once.
.PHONY: test-servers
test-servers: ## run the object suite and the crash tests against MinIO and SeaweedFS
	@scripts/test-servers.sh $(SERVERS)

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
