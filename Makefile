# Every command of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO ?= go
RUN ?= TestSoak
LINT = $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What each command needs, said in words instead of "command not found".
.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or later is needed: https://go.dev/dl"; exit 1; }

.PHONY: preview
preview: tools ## Show what the stack would create, offline: the first time builds for some minutes
	bin/rehearse preview

.PHONY: rehearse
rehearse: tools ## Live the stack's whole life with the examples, offline: the first time builds for some ten minutes
	bin/rehearse run --workload examples --scale inflate-amd64=5 --scale inflate-arm64=3

.PHONY: tools
tools: go ## Build the rehearse command into bin/
	@cd rehearsal && $(GO) build -o ../bin/rehearse ./cmd/rehearse

.PHONY: clean-tools
clean-tools: tools ## Remove the tools that the rehearsal has built and kept
	bin/rehearse clean-tools

.PHONY: build
build: go ## Compile the program alone
	$(GO) build -o bin/eks-gpu-slicing .

.PHONY: unit
unit: go ## Test the program without an engine: seconds, once compiled
	$(GO) test ./...

.PHONY: test
test: unit ## Run all tests
	# What these test lies outside their module, where Go's cache does not look. The first
	# of them builds the tools, from nothing in more than Go's ten minutes.
	cd rehearsal && $(GO) test -count=1 -timeout 40m ./...

.PHONY: bench
bench: go ## Time previews with the engine's own floor beside them, runs, forecasts, and 100 to 4,000 pods: half an hour
	cd rehearsal && $(GO) test -run '^$$' -bench 'Preview|Run' -benchtime 5x ./scenario
	cd rehearsal && $(GO) test -run '^$$' -bench 'Forecast|Scale' -benchtime 1x -timeout 60m ./scenario

.PHONY: soak
soak: go ## The stories that are too long for make test, or one of them: make soak RUN=TestSoakTaken. docs/soak.md is the record
	cd rehearsal && SOAK=1 $(GO) test -count=1 -run '$(RUN)' -parallel 1 -json -timeout 6h ./scenario | $(GO) run ./soakrecord ../docs/soak.md

.PHONY: lint
lint: generated ## Lint both modules and the workflows, and check what is generated
	$(GO) mod tidy -diff
	$(LINT) run ./...
	cd rehearsal && $(GO) mod tidy -diff
	cd rehearsal && $(LINT) run --config ../.golangci.yml ./...
	$(GO) tool -modfile=$(CURDIR)/tools/go.mod actionlint .github/workflows/*.yml
	bash -n .github/workflows/check-cluster.sh
	bash -n .ci/run

.PHONY: generated
generated: go ## Check that the generated code is current
	cd rehearsal && $(GO) run ./manifestgen -check
	cd rehearsal && $(GO) run ./catalogue/generate -check

.PHONY: generate
generate: go ## Rewrite the generated code from the pinned versions
	cd rehearsal && $(GO) run ./manifestgen
	cd rehearsal && $(GO) generate ./catalogue
