# Batholith. `make` or `make help` lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
PACKAGES  ?= ./...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## make bin/batholith, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/batholith ./cmd/batholith

.PHONY: test
test: ## run every test; installs what they need. PACKAGES=./internal/… runs some
	@scripts/test.sh $(PACKAGES)

.PHONY: deps
deps: ## install what the tests need: C compiler, node, AWS SDKs and CLI
	@scripts/deps.sh

.PHONY: format
format: ## fail when a file is not gofmt'ed
	@files=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):" $$files >&2; exit 1; fi

.PHONY: vet
vet: ## run go vet
	$(GO) vet $(PACKAGES)

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
