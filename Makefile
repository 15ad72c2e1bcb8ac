# make demo   remasters the short sample in tests/data and says where the result is
# make test   runs the fast tests, several at once; ARGS="--release -k window" is handed to pytest (-n0: one at a time)
# Both set up .venv by themselves. PYTHON=/path/to/python3.13 chooses the Python it is made from.

PY := .venv/bin/python

.PHONY: help setup demo test lint
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
