# Two commands: `make table1` makes the main table, `make test` runs the tests.  Both set up what they need first.
# VENV=/elsewhere puts the virtual environment elsewhere; PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.PHONY: setup table1 test lint

setup: $(VENV)/.ready

# torch first: whichever build the machine's index offers under the pinned version then satisfies the rest.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

table1: setup
	snakemake --profile local results/table1.csv

test: setup
	python -m pytest -n 2 --dist loadfile

lint: setup
	ruff check . && ruff format --check . && snakefmt --check Snakefile workflow && snakemake --lint
