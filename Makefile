# Every task of the project; CI runs exactly these. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than processors: tests wait for disks, servers and each other.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test torture lint types layers format docs matrix bench check clean

help:  ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev --editable ".[all]"
	@touch $@

install: $(STAMP)  ## Make the virtual environment, with everything for development

demo: $(STAMP)  ## Load a year of real flights into a table, and see what atio does
	@$(BIN)/python examples/nycflights.py

test: $(STAMP)  ## Run all tests but the long attacks
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not torture"

torture: $(STAMP)  ## Run the long attacks, and write docs/reliability.md (as root; half an hour and more)
	@$(BIN)/python -m tests.torture.report

lint: $(STAMP)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

layers: $(STAMP)  ## Check that imports go down only
	$(BIN)/lint-imports

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

matrix: $(STAMP)  ## Print the matrix of types that come back exactly, write that of files
	@$(BIN)/python -m atio.writers.matrix > docs/writers.md
	@$(BIN)/python -m tests.fidelity

bench: $(STAMP)  ## Print the ratio tables, beside the peers (about 25 minutes)
	@$(BIN)/python -m benchmarks

check: lint types layers docs test  ## Everything CI runs

clean:  ## Remove what the tasks made
	rm -rf $(VENV) .venv-peers site dist build demo_table .pytest_cache .mypy_cache .ruff_cache .hypothesis
