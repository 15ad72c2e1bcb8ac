# make demo   remasters the short sample in tests/data and says where the result is
# make test   runs the fast tests; ARGS="--release -k window" is handed to pytest
# make lint   checks style and types
# make docs   builds the documentation as HTML and checks its links
# Each sets up .venv by itself. PYTHON=/path/to/python3.13 chooses the Python it is made from.

PY := .venv/bin/python

.PHONY: help setup demo test lint docs
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup:
	@PYTHON="$(PYTHON)" sh .ci/setup

demo: setup
	@$(PY) -m export.demo

test: setup
	@$(PY) -m pytest -n auto --dist loadfile $(ARGS)

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m ty check

docs: setup
	@$(PY) -c "import sphinx, myst_parser, furo" 2>/dev/null || $(PY) -m pip install --quiet -e '.[docs]'
	@$(PY) -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -c docs . docs/_build
	@echo "documentation: docs/_build/docs/index.html"
