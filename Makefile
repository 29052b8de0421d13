# From nothing to a result:  make run     The tests:  make test
# Needs Python 3.11 or newer and a network; everything is installed into .venv.

PYTHON ?= python3
VENV ?= .venv
JOB ?= ablate --component bias --variants rab,none,tables,embeddings+alibi --seeds 0-2 --set training.epochs=3 --rounds 8 --jobs 2 --threads 1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install --constraint constraints.txt
SOURCES := genrank_cli tests

.PHONY: run test lint clean

run: $(VENV)/installed
	@$(BIN)/genrank $(JOB)

# The models of the tests are too small for a second thread, which would only fight with other work.
test: $(VENV)/installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu" --numprocesses 2 --dist worksteal

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks

# The build backend is installed first, at its pinned version, instead of in an isolated build.
$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing genrank into $(VENV) (minutes, the first time)" >&2
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing what the tests need into $(VENV)" >&2
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is not Python 3.11 or newer; try: make PYTHON=python3.12 run" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }
