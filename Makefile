# `make train` and `make test` are all that a newcomer types; both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
READY = $(VENV)/.ready
EXTRAS = report,images,tensorboard

.PHONY: help train test check format docs bench peers clean

train: $(READY)  ## train the textbook's network and print its test accuracy
	$(BIN)/dnn train --config configs/mnist.yaml
	$(BIN)/dnn evaluate
	@echo 'next: $(BIN)/dnn report'

test: check  ## run the whole test suite
	@echo 'testing (some minutes)'
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	@echo 'next: make train'

check: $(READY)  ## check format, lint, types, imports and spelling
	@echo 'checking format, lint, types, imports and spelling'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## build the documentation into docs/_build/html
	@echo 'installing what builds the documentation'
	$(PIP) install --quiet --constraint constraints.txt --group docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build/html
	@echo 'next: open docs/_build/html/index.html'

bench: $(READY)  ## measure dnn beside its peers for ten minutes, and write the tables of README and docs
	$(BIN)/python benchmarks/bench.py --docs

peers: $(READY)  ## install the peers that the benchmark compares with
	@echo 'installing the peers (some minutes)'
	$(PIP) install --quiet --constraint constraints.txt --group bench

clean:  ## remove the virtual environment and the caches, never a run
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist docs/_build

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

# pip knows dependency groups from 25.1 on.
$(READY): pyproject.toml constraints.txt
	@echo 'creating $(VENV)'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing dnn and what its tests need into $(VENV) (a minute or two)'
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]' --group dev
	touch $@
