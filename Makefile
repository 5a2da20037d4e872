# The verbs of the project. Needs Python 3.11+, make and a C compiler; everything else is set up in
# .venv on first use and again only when pyproject.toml, setup.py or constraints.txt change.

PYTHON ?= python3
# The tests compare with torch; which build (CPU, CUDA) depends on the index, see CONTRIBUTING.md.
TORCH ?= torch==2.13.0
# Models of these are imported live in the tests, and the benchmarks run against them. Their own
# requirements contradict one another (nir), or are large and unused here (torchvision, samna).
PEERS := snntorch spikingjelly norse sinabs nirtorch
WORKERS ?= 2
RECORDINGS ?= tests/golden
AREA ?=
# Options for pytest, e.g. make test PYTEST="-k surrogate"
PYTEST ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
SETTINGS := pyproject.toml setup.py constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test conformance bench notebooks docs lint format types constraints clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 14

# ---- environments -------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "neurojax needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.demo-stamp: $(SETTINGS) | $(BIN)/python
	@echo "setting up $(VENV); this takes a minute or two ..."
	$(INSTALL) --editable ".[plot,data]"
	@touch $@

$(VENV)/.test-stamp: $(SETTINGS) | $(BIN)/python
	@echo "setting up $(VENV) for the tests; this takes a few minutes ..."
	$(INSTALL) $(TORCH) --editable ".[test,plot,data]"
	$(INSTALL) --no-deps $(PEERS)
	@touch $@ $(VENV)/.demo-stamp

# ---- what a user wants ---------------------------------------------------------------------------

demo: $(VENV)/.demo-stamp ## train, map, fine-tune and configure for every chip family; writes runs/demo
	$(BIN)/python -m neurojax.demo --out runs/demo

test: $(VENV)/.test-stamp ## all tests
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST)

conformance: $(VENV)/.test-stamp ## compare with recordings: RECORDINGS=dir AREA=name
	$(BIN)/python -m tests.conformance --recordings "$(RECORDINGS)" $(if $(AREA),--area $(AREA))

bench: $(VENV)/.test-stamp ## compare the speed with other libraries
	for source in benchmarks/[a-z]*.py; do \
	  $(BIN)/python -m benchmarks.$$(basename $$source .py) || exit 1; \
	done

# ---- what a developer wants ----------------------------------------------------------------------

notebooks: $(VENV)/.test-stamp ## run every notebook
	rm -rf build/notebooks && mkdir -p build/notebooks
	for source in notebooks/*.py; do \
	  $(BIN)/jupytext --quiet --output build/notebooks/$$(basename $$source .py).ipynb $$source || exit 1; \
	done
	$(BIN)/python -m pytest -q -c /dev/null --rootdir build/notebooks -p no:cacheprovider \
	  --nbmake --nbmake-kernel=python3 build/notebooks

docs: $(VENV)/.test-stamp ## check the links and run the examples of the documentation
	$(BIN)/python -m pytest -q tests/test_readme.py tests/test_doctests.py

lint: $(VENV)/.test-stamp ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.test-stamp ## format, and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An editable install shows a type checker only neurojax/; the real one has all three folders.
types: $(VENV)/.test-stamp ## check the types of the package as installed
	rm -rf build/lib build/types
	$(INSTALL) --no-deps --no-build-isolation --target build/types .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p neurojax

constraints: ## pin today's versions in constraints.txt
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet $(TORCH) ".[test,plot,data]"
	build/constraints/bin/python -m pip install --quiet --no-deps $(PEERS)
	sed -n '/^#/p' constraints.txt > build/constraints.txt
	build/constraints/bin/python -m pip freeze --all --exclude pip --exclude neurojax | sed 's/+cpu$$//' >> build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove what the commands made, the environment included
	rm -rf $(VENV) build dist runs *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
