# Batholith. `make` or `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
PACKAGES  ?= ./...

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/batholith, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o bin/batholith ./cmd/batholith

.PHONY: release
release: ## build what is published into dist/: archives, packages, SBOMs, checksums; VERSION=v1.2.3, else the tag
	$(GO) run ./scripts/release $(if $(VERSION),-version $(VERSION))

.PHONY: test
test: ## run all tests and install what they need; PACKAGES=./internal/… selects some
	@scripts/test.sh $(PACKAGES)

.PHONY: deps
deps: ## install the tests' dependencies: C compiler, node, AWS SDKs and CLI
	@scripts/deps.sh

.PHONY: format
format: ## fail if a file is not formatted with gofmt
	@files=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):" $$files >&2; exit 1; fi

.PHONY: vet
vet: ## run go vet
	$(GO) vet $(PACKAGES)

.PHONY: bench-store
bench-store: ## commits a second of one job on PostgreSQL, with 1 and 8 workers
	$(GO) test ./internal/store -run '^$$' -bench PostgresCommits -benchtime 2000x

.PHONY: bench
bench: ## run the benchmarks; each is compared with a lower bound measured in the same run
	$(GO) run ./internal/bench

.PHONY: bench-cluster
bench-cluster: ## measure several workers and APIs on PostgreSQL: rate, take-over, latency with a million jobs
	$(GO) test ./tests/cluster -run '^$$' -bench . -benchtime 1x -timeout 60m

# MinIO and SeaweedFS are built once, from the Go module proxy. That takes 15 minutes on two processors.
.PHONY: test-servers
test-servers: ## run the object suite and the crash tests against MinIO and SeaweedFS
	@scripts/test-servers.sh $(SERVERS)

SEEDS ?= 200

.PHONY: sim
sim: ## simulate the engine with kills, freezes and outages, with SEEDS random seeds
	BATHOLITH_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 24h ./internal/engine

.PHONY: lint
lint: ## run golangci-lint, if it is installed
	@if command -v golangci-lint >/dev/null; then golangci-lint run; \
	else echo "golangci-lint is not installed; nothing was linted" >&2; exit 1; fi

.PHONY: generate
generate: ## update the generated files
	$(GO) generate ./...

.PHONY: clean
clean: ## remove everything that was built and installed here
	rm -rf bin .tools tests/sdk/node_modules tests/programs/node_modules tests/servers/node_modules tests/console/node_modules
