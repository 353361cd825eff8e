# Every command of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go
LINT = $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Compile the program (the first time takes minutes)
	$(GO) build -o bin/eks-gpu-slicing .

.PHONY: unit
unit: ## Test the program without an engine: seconds, once compiled
	$(GO) test ./...

.PHONY: test
test: unit ## Run all tests
	cd rehearsal && $(GO) test -count=1 ./... # what they test lies outside their module, where Go's cache does not look

.PHONY: lint
lint: generated ## Lint both modules and check what is generated
	$(GO) mod tidy -diff
	$(LINT) run ./...
	cd rehearsal && $(LINT) run --config ../.golangci.yml ./...

.PHONY: generated
generated: ## Check that the generated code is current
	cd rehearsal && $(GO) run ./manifestgen -check

.PHONY: generate
generate: ## Rewrite the generated code from the pinned versions
	cd rehearsal && $(GO) run ./manifestgen
