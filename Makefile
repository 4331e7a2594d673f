.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: .venv/.complete ## Put kdev with all it needs at .venv/bin/kdev

.venv/.complete: pyproject.toml requirements/dev.lock
	scripts/setup $(PYTHON)
	@touch $@

.PHONY: help setup
