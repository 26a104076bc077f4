# Every target loops over all modules of the repository. The two that matter:
#
#   make test    all tests of all modules with the race detector; installs what they need
#   make lint    formatting, vet, static analysis, tidiness
#
# Plain "go test ./..." in the root needs nothing but Go.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MODULES := $(patsubst %/,%,$(dir $(shell git ls-files go.mod '*/go.mod')))
GOLANGCI := .cache/golangci-lint
export GOWORK := off

.PHONY: all run test deps lint fmt tidy bench fuzz clean

all: lint test

run: ## the quickstart, on http://localhost:8000/
	go run ./examples/quickstart

deps: ## install what the tests need (Debian packages; npm packages by lock file)
	tools/deps
	tools/spabuilds/install
	tools/observatory/install
	tools/railway/install

test: deps ## every test of every module, none skipped for a missing tool
	export GATEHOUSE_TEST_ALL=1
	for m in $(MODULES); do
		echo "== $$m"
		# One package at a time where a database and a browser are held to limits of time.
		p=; case "$$m" in examples/deployment) p="-p 1" ;; esac
		(cd "$$m" && if [ -n "$$(go list ./... 2>/dev/null)" ]; then go test -race -shuffle=on $$p ./...; fi)
	done
	echo "== . without the race detector, which changes what is allocated"
	go test ./...

lint: $(GOLANGCI) ## gofumpt, go vet, staticcheck and others, go fix, go mod tidy
	for m in $(MODULES); do
		echo "== lint $$m"
		(
			cd "$$m"
			go mod tidy -diff
			[ -n "$$(go list ./... 2>/dev/null)" ] || exit 0
			go vet ./...
			go fix -diff ./...
			"$(CURDIR)/$(GOLANGCI)" run --config "$(CURDIR)/.golangci.yml" ./...
		)
	done

$(GOLANGCI): tools/go.mod tools/go.sum
	cd tools && go build -o "$(CURDIR)/$@" github.com/golangci/golangci-lint/v2/cmd/golangci-lint

fmt: $(GOLANGCI)
	for m in $(MODULES); do (cd "$$m" && "$(CURDIR)/$(GOLANGCI)" fmt --config "$(CURDIR)/.golangci.yml"); done

tidy:
	for m in $(MODULES); do (cd "$$m" && go mod tidy); done

bench: ## ratios against floors and peers; absolute times mean nothing
	go test -run '^$$' -bench . -benchtime 200ms ./...
	cd benchmarks && go test -run '^$$' -bench . -benchtime 200ms ./...

FUZZTIME ?= 20s
fuzz: ## every fuzz target of the root module for FUZZTIME
	for pkg in $$(go list ./...); do
		for target in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$pkg"
		done
	done

clean:
	rm -rf .cache

.ONESHELL:
