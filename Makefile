# tenfold: `make run` and `make test` do all the set-up on a fresh machine (Python 3.11+ and pip).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What `make serve` serves: the run folder that was changed last, unless you say another.
MODEL ?= $(firstword $(shell ls -td runs/*/ 2>/dev/null))
# Options for `tenfold run` and `tenfold serve`, for example: make run ARGS="--recipe report --data ~/cifar10"
ARGS ?=
# A process a core, each with whole files, so that what a file's tests share is made once.
PARALLEL ?= -n auto --dist loadfile
# Each computes on that one core: threads of several processes that wait for each other burn it.
test fast-tests: export OMP_NUM_THREADS ?= 1
# Options for pip, when it fills the environment.
PIP_ARGS ?=
# Which tests `make test` runs, as pytest's arguments; none for all.
TESTS ?=

.PHONY: help run serve test check style types fast-tests format docs clean

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tenfold needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY)  ## Run a whole study and print where its report is
	$(BIN)/tenfold run $(ARGS)

serve: $(READY)  ## Serve the newest model at http://127.0.0.1:8000
	@test -n "$(MODEL)" || { echo "There is no run folder yet. First: make run"; exit 2; }
	$(BIN)/tenfold serve $(MODEL) $(ARGS)

test: $(READY)  ## Run all tests
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

check: style types fast-tests  ## Lint, types, layers and the fast tests; with -j 2 side by side
	@echo "Style, types, layers and fast tests: all passed."

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

fast-tests: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not browser" --quiet

format: $(READY)  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Build the documentation site into build/docs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --quiet
	@echo "Documentation: $(CURDIR)/build/docs/index.html"

clean:  ## Remove the environment and caches, not your runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
