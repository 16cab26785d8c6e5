# Everything a person or the pipeline starts. `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up test bench setup build lint clean

together := scripts/setup.d/together.sh
scripts := scripts/setup scripts/up scripts/test scripts/bench scripts/fuzz-api scripts/setup.d/*.sh .ci/run

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

up: ## Set up this machine, build Springtide, bring it up and serve its console
	@$(together) packages 'scripts/setup --packages'
	@$(together) setup 'scripts/setup' build 'cargo build --release --locked -p springtide-cli'
	@scripts/up

test: ## Run every test, on real Odoo 19.0 and 14.0
	@$(together) packages 'scripts/setup --packages --tests'
	@$(together) setup 'scripts/setup --tests --series 19.0 --series 14.0' build 'cargo build --locked --workspace --all-targets'
	@scripts/test

bench: ## Time the planner and real Odoo, each figure beside its peer
	@scripts/bench

setup: ## Put the parts that Springtide runs on this machine
	@scripts/setup

build: ## Build the release binary
	@cargo build --release --locked -p springtide-cli

lint: ## Check formatting, lints and shell scripts
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@shellcheck -x $(wildcard $(scripts))

clean: ## Remove what was built here (the cache of Odoo roots stays)
	@cargo clean
