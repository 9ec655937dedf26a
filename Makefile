# The two commands that a fresh machine with Python 3.11 and make needs: `make demo` and `make test`.
# Both build .venv on first use; constraints.txt pins what goes in.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test check-fresh clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help:
	@echo "make demo         fit, explain and save a model on a built-in data set; writes demo/report.html"
	@echo "make test         format, lint, types, tests"
	@echo "make check-fresh  both of these in a clean clone with an empty .venv"
	@echo "make clean        remove .venv, demo and every cache"

demo: $(VENV)/runtime.stamp
	$(BIN)/flowssl demo -o demo

test: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --durations=10

check-fresh:
	scratch="$$(mktemp -d)"; trap 'rm -rf "$$scratch"' EXIT; \
	git clone --quiet . "$$scratch/flowssl"; \
	$(MAKE) -C "$$scratch/flowssl" demo; \
	test -s "$$scratch/flowssl/demo/report.html"; \
	$(MAKE) -C "$$scratch/flowssl" test

clean:
	rm -rf $(VENV) demo build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Stamps, so that only a change of the pins or of the declared dependencies installs again.
$(VENV)/runtime.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[plot,tables]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	touch $@
