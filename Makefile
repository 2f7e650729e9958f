# Everything happens in a virtual environment of this folder; Python 3.11 or newer is all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test test-all test-fast lint format dev clean

demo: $(VENV)/installed  ## the double-moon problem, end to end
	$(BIN)/gibbous demo --overwrite

PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 15

test: $(VENV)/developed  ## all tests, but of the slow ones a tenth, another one each day
	$(PYTEST) --turn $$(($$(date +%s) / 86400))/10

test-all: $(VENV)/developed  ## all tests
	$(PYTEST)

test-fast: $(VENV)/developed  ## none of the slow ones
	$(PYTEST) -m "not slow"

lint: $(VENV)/developed  ## static checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/developed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dev: $(VENV)/developed
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV) gibbous-demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/developed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/installed
