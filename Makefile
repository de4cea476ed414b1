# The contributor's front door. CI runs the same targets (.ci/run).

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.penchant-setup
PIP_VERSION := 26.3

# The embedded server's Python backend works with Python 3.11 and 3.12 (STUB_NUMPY_SHA256 in tritonserver.py).
USABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	"$$python" -c '$(USABLE)' 2>/dev/null && echo "$$python" && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: $(STAMP) ## make .venv with everything, Triton included
	@echo "Ready: source $(BIN)/activate"

$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(USABLE)' 2>/dev/null || { \
		echo "penchant needs Python 3.11 or 3.12, found: $$(python3 --version 2>&1);" \
			"install one, or run: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),setup)" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV) >/dev/null 2>&1 || \
		{ "$(PYTHON)" -m venv --without-pip --clear $(VENV) && \
		  "$(PYTHON)" -m pip --quiet --python $(BIN)/python install pip; } || { \
		echo "this Python can make no virtual environment; on Debian: apt install python3-venv" >&2; \
		rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip==$(PIP_VERSION)
	@echo "Installing penchant and what it needs (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	@$(BIN)/penchant install tritonserver
	@touch $@

demo: $(STAMP) ## train, register, publish, serve, score, report
	@$(BIN)/penchant demo

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest

check: $(STAMP) ## lint, formatting, types, import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## remove the environment, caches and builds; models in .penchant stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		.coverage dist build clients/examples/node/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
