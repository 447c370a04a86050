# Start with `make train` or `make test`: both create the virtual environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
READY = $(VENV)/.ready
EXTRAS = report,images,parquet,onnx,litert,serve,tensorboard

.PHONY: help train test long check torture format docs bench bench-serve peers clean

train: $(READY)  ## train the textbook's network and print its test accuracy
	$(BIN)/dnn train --config configs/mnist.yaml
	$(BIN)/dnn evaluate
	@echo 'next: $(BIN)/dnn report'

test: check  ## run the whole test suite
	@echo 'running the tests (several minutes)'
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	@echo 'next: make train'

long: $(READY)  ## run the tests that take about a minute each: all of MNIST, transfer on MNIST, the benchmark
	@echo 'running the long tests (three minutes)'
	$(BIN)/python -m pytest -m long

check: $(READY)  ## check lint rules, format, types, imports and spelling
	@echo 'checking lint rules, format, types, imports and spelling'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

format: $(READY)  ## format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

torture: $(READY)  ## kill trainings, fail every file operation, cut the power, damage inputs; print a table of counts
	@echo 'torturing dnn (two hours or more)'
	$(BIN)/python -m tests.torture

docs: $(READY)  ## build the documentation into docs/_build/html
	@echo 'installing the packages that build the documentation'
	$(PIP) install --quiet --constraint constraints.txt --group docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build/html
	@echo 'next: open docs/_build/html/index.html'

bench: $(READY)  ## measure dnn and its peers (about ten minutes) and update the tables in the README and the docs
	$(BIN)/python benchmarks/bench.py --docs

bench-serve: $(READY)  ## measure the server beside a tutorial's (two minutes) and print a table
	$(BIN)/python benchmarks/serving.py

peers: $(READY)  ## install the other libraries that the benchmark measures
	@echo 'installing the other libraries (several minutes)'
	$(PIP) install --quiet --constraint constraints.txt --group bench

clean:  ## remove the virtual environment, caches and build results, but no runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist docs/_build

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

# Installing a dependency group needs pip 25.1.
$(READY): pyproject.toml constraints.txt
	@echo 'creating $(VENV)'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing dnn and its development tools into $(VENV) (a minute or two)'
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]' --group dev
	touch $@
