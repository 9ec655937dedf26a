# The two commands that a fresh machine with Python 3.11 and make needs: `make demo` and `make test`.
# Both build .venv on first use; constraints.txt pins what goes in.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test docs test-lowest check-fresh clean

PYTHON ?= python3
VENV := .venv
LOWEST := .venv-lowest
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SITE := docs/_build/html

help:
	@echo "make demo         fit, explain and save a model on a built-in data set; writes demo/report.html"
	@echo "make test         format, lint, types, tests, examples in docstrings"
	@echo "make docs         build the documentation, run its examples; open $(SITE)/index.html"
	@echo "make test-lowest  tests with the lowest versions of the dependencies that pyproject.toml allows"
	@echo "make check-fresh  demo and test in a clean clone with an empty .venv"
	@echo "make clean        remove environments, demo, the site and every cache"

demo: $(VENV)/runtime.stamp
	$(BIN)/flowssl demo -o demo

test: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict src
	$(BIN)/repo-review .
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --durations=10
	$(BIN)/python -m pytest -n 2 --quiet --doctest-modules src

# Warnings are errors, and the site loads nothing over the network.
docs: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs $(SITE)
	@if grep --recursive --include='*.html' --extended-regexp --only-matching \
		'<(script|link|img|iframe)[^>]+(src|href)="(https?:)?//[^"]*"' $(SITE); then \
		echo "the pages above load something over the network" >&2; exit 1; fi

# Warnings of old versions are not errors here. Tests that train for long are left out.
test-lowest: $(LOWEST)/stamp
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --quiet --override-ini filterwarnings=default \
		$(addprefix --ignore=tests/,baselines benchmarks docs estimators properties report)

check-fresh:
	scratch="$$(mktemp -d)"; trap 'rm -rf "$$scratch"' EXIT; \
	git clone --quiet . "$$scratch/flowssl"; \
	$(MAKE) -C "$$scratch/flowssl" demo; \
	test -s "$$scratch/flowssl/demo/report.html"; \
	$(MAKE) -C "$$scratch/flowssl" test

clean:
	rm -rf $(VENV) $(LOWEST) demo build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/_generated docs/api docs/benchmarks docs/gallery docs/sg_execution_times.rst
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Dependency groups need a newer pip than Python 3.11 comes with.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip

# Stamps, so that only a change of the pins or of the declared dependencies installs again.
$(VENV)/runtime.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[plot,tables]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --upgrade pip
	$(INSTALL) --group dev --editable '.[images,ode,plot,tables,text]'
	touch $@

$(LOWEST)/stamp: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt \
		--group test --editable '.[images,ode,plot,tables,text]'
	touch $@
