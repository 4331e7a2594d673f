.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

setup: .venv/.complete ## Put kdev, with all it needs, at .venv/bin/kdev

.venv/.complete: pyproject.toml requirements/dev.lock scripts/setup
	scripts/setup $(PYTHON)
	@touch $@

demo: setup ## Shadow a service of an embedded cluster, and kill the agent while requests go through (root)
	scripts/demo

test: lint types unit integration wheel ## Everything that must hold before a change lands (root)

unit: setup ## The fast tests: no root, no network but loopback
	$(BIN)/pytest -q tests/unit

coverage: setup ## The fast tests again, and which lines and branches they do not reach
	$(BIN)/coverage run -m pytest -q tests/unit
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-empty

integration: setup .cache/tests-ready ## Real Envoy, real namespaces, real clients (root)
	$(BIN)/python -m tests.leftovers .cache/before.json
	$(BIN)/pytest tests/integration; status=$$?; \
	KDEV_TESTS_BEFORE=.cache/before.json $(BIN)/pytest -q tests/last && exit $$status

.cache/tests-ready: scripts/setup-tests
	scripts/setup-tests
	@mkdir -p .cache && touch $@

lint: setup ## Style, layering and spelling of the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

LAPTOP := $(foreach room,cli session kube layer mesh_adapters policies tunnel,-p kdev.$(room))

types: setup ## mypy strict: all for Linux, the laptop's side for each platform it runs on
	$(BIN)/mypy -p kdev
	$(BIN)/mypy --platform darwin $(LAPTOP)
	$(BIN)/mypy --platform win32 $(LAPTOP)

wheel: setup ## Build the wheel, install it in a clean environment, try it there
	scripts/try-wheel

bench: setup .cache/tests-ready ## Measure: direct, sidecar, pass-through, mirror, steal (root)
	$(BIN)/python -m benchmarks

docs: setup ## Write the reference pages that are generated from code
	$(BIN)/python -m docs.generate

lock: ## Resolve the dependencies again and write their hashes
	scripts/lock

clean: ## Delete what was made here
	rm -rf .venv .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help setup demo test unit coverage integration lint types wheel bench docs lock clean
