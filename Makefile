# One entry per developer verb. Everything happens in $(VENV); nothing is taken from the machine's own packages.
PYTHON ?= python3
JOBS ?= auto
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-annotate --allow-unsafe \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: help install lint format test matrix coverage mutation bench docs site pins

help:           ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements/test.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/test.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed  ## make the environment from the pinned requirements

lint: install   ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## let ruff mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

test: install   ## all tests, on all cores (JOBS=1 for one)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

# pyenv hides the versions that are not chosen; all of its versions are offered to nox, which takes those that it wants.
matrix: install ## all tests on every supported Python that the machine has
	PYENV_VERSION=$${PYENV_VERSION:-$$(pyenv versions --bare 2>/dev/null | paste -sd: -)} $(BIN)/nox --session tests

coverage: install ## all tests, with the lines they did not reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutation: install ## which changes to core/ no test notices (hours; MUTANTS='pipeline.core.rows*' for a part)
	$(PIP) install --editable '.[mutation]'
	HYPOTHESIS_PROFILE=mutation $(BIN)/mutmut run $(MUTANTS)
	$(BIN)/python -m tests.mutation_score

bench: install  ## all benchmarks, peers included (an hour)
	$(PIP) install --editable '.[bench]'
	$(BIN)/python -m benchmarks run
	$(BIN)/python -m benchmarks report

docs: install   ## check every example and every reference table in the documentation
	$(BIN)/python -m pytest -q tests/docs

site: install   ## build the documentation as a site, in build/site
	$(BIN)/python docs/site/pages.py build/site-pages
	$(BIN)/sphinx-build -q -W --keep-going -b html build/site-pages build/site

pins: install   ## pin the dependencies anew
	$(PIP) install pip-tools
	$(COMPILE) --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --extra test --extra lint --extra docs --output-file requirements/test.txt pyproject.toml requirements/build.in
