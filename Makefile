# Run "make help" for what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)

GOLANGCI_VERSION := v2.15.0
BENCHSTAT_VERSION := latest
BIN := $(CURDIR)/bin
export PATH := $(BIN):$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/signalbox
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN)/signalbox ./cmd/signalbox

.PHONY: run
run: build ## Build, and run the quickstart on the embedded bus
	$(BIN)/signalbox run examples/quickstart

.PHONY: test
test: $(BIN)/kube ## Run all tests
	SIGNALBOX_REQUIRE_KUBE=1 go test ./...

.PHONY: kube
kube: $(BIN)/kube ## Build the Kubernetes API that tests run against (minutes, once)

# The modules do not know their own version.
KUBE_VERSION = $(shell sed -n 's/^\tk8s.io\/kubernetes //p' test/kube/server/go.mod)
KUBE_LDFLAGS = $(foreach p,k8s.io/component-base/version k8s.io/client-go/pkg/version,-X $(p).gitVersion=$(KUBE_VERSION))

$(BIN)/kube: $(addprefix test/kube/server/,go.mod go.sum main.go etcd.go)
	cd test/kube/server && CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w $(KUBE_LDFLAGS)' -o $@ .
	@touch $@

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
generate: ## Generate deep copies, CRDs, the reference and the install manifests
	go run ./internal/crdgen/deepcopy
	go run ./internal/crdgen
	go run ./internal/installgen

# The image's reference, the same for image and install-manifest.
IMAGE ?= signalbox:latest
# What builds images: docker (with BuildKit), podman, ...
ENGINE ?= docker
# install: for a whole cluster. namespaced: for one namespace.
INSTALL ?= install

.PHONY: image
image: ## Build the image IMAGE with ENGINE
	$(ENGINE) build --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' -t '$(IMAGE)' .

.PHONY: install-manifest
install-manifest: ## Print the manifest that installs IMAGE (make -s); INSTALL=namespaced for one namespace
	@go run ./internal/installgen -image '$(IMAGE)' -print '$(INSTALL)'

.PHONY: bench
bench: ## Benchmark the event path, and the whole against the machine's ceiling
	go test -run '^$$' -bench . -benchmem ./eventbus/... ./eventsource/... ./sensor/... ./webhook/...
	go run ./test/bench

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN)

.PHONY: e2e
e2e: ## Walk through a cluster as a user does: KUBECONFIG, IMAGE=REFERENCE that it can pull
	@test "$(origin IMAGE)" != file || { echo "say which image: make e2e IMAGE=REFERENCE (the cluster of KUBECONFIG has to be able to pull it)" >&2; exit 2; }
	go test -tags e2e ./test/e2e -count=1 -timeout 30m -v -image '$(IMAGE)'
