# Run "make help" for what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

GOLANGCI_VERSION := v2.15.0
BENCHSTAT_VERSION := latest
BIN := $(CURDIR)/bin
export PATH := $(BIN):$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/signalbox
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/signalbox ./cmd/signalbox

.PHONY: run
run: build ## Build, and run the quickstart on the embedded bus
	$(BIN)/signalbox run examples/quickstart

.PHONY: test
test: ## Run all tests
	go test ./...

.PHONY: race
race: ## Run the tests of the event path with the race detector
	go test -race -short ./eventbus/... ./eventsource/... ./sensor/... ./webhook/... ./internal/dataplane/...

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## Run the linters
	$< run ./...

$(BIN)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

.PHONY: fmt
fmt: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## Format the code
	$< fmt ./...

.PHONY: generate
generate: ## Generate deep copies, CRDs and the reference
	go run ./internal/crdgen/deepcopy
	go run ./internal/crdgen

.PHONY: bench
bench: ## Benchmark the event path, and the whole against the machine's ceiling
	go test -run '^$$' -bench . -benchmem ./eventbus/... ./eventsource/... ./sensor/... ./webhook/...
	go run ./test/bench

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN)
