# `make train` and `make test` are all a newcomer types; both set up what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: train test check format docs bench peers clean

train: $(READY)  ## train the textbook network and print its test accuracy
	$(BIN)/dnn train --config configs/mnist.yaml
	$(BIN)/dnn evaluate
	@echo 'next: $(BIN)/dnn report'

test: check  ## the whole test suite
	@echo 'testing (some minutes)'
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	@echo 'next: make train'

check: $(READY)  ## lint, format and types
	@echo 'checking lint, format and types'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## rewrite the README's generated parts
	$(BIN)/python tools/readme.py

bench: $(READY)  ## measure dnn beside its peers, for ten minutes, and write the README's tables
	$(BIN)/python benchmarks/bench.py --readme

peers: $(READY)  ## install the peers that the benchmark compares with
	@echo 'installing the peers (some minutes)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'

clean:  ## remove the virtual environment and the caches, never a run
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist

$(READY): pyproject.toml constraints.txt
	@echo 'creating $(VENV)'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing dnn and what its tests need into $(VENV) (a minute or two)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
