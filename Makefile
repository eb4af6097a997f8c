# Everything here sets itself up: it needs Python 3.11 or later with pip, and no more.
#   make demo        restore a moment of a small Live Photo made on the spot (no PyTorch)
#   make test        all tests, those of training included (installs PyTorch)
#   make test-slow   the slow tests too, of which each takes more than some seconds
#   make check       style, types, formatting

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SOURCES := pyproject.toml $(shell find src -type f -not -path '*/__pycache__/*' -not -path '*.egg-info/*')
TESTS ?= tests
# Tests of one file share what they make, so they run in one process.
PYTEST_OPTIONS := -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow check docs clean

demo: .venv/installed
	.venv/bin/livemoments demo demo-output

test: .venv-test/installed
	.venv-test/bin/python -m pytest $(PYTEST_OPTIONS) $(TESTS)

test-slow: .venv-test/installed
	.venv-test/bin/python -m pytest $(PYTEST_OPTIONS) --slow $(TESTS)

check: .venv-test/installed
	PATH="$(CURDIR)/.venv-test/bin:$$PATH" scripts/check

docs: .venv-test/installed
	.venv-test/bin/python scripts/write_cli_docs.py

# The demo installs the package as a user does: a copy, the core alone.
.venv/installed: $(SOURCES)
	@echo "Setting up .venv ..."
	rm -rf build  # setuptools would pack what an older build left there
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet .
	touch $@

.venv-test/installed: pyproject.toml constraints.txt
	@echo "Setting up .venv-test with PyTorch; the first time this takes minutes ..."
	$(PYTHON) -m venv --clear .venv-test
	.venv-test/bin/python -m pip install --quiet -c constraints.txt -e ".[dev,train,sd3,evaluate]"
	touch $@

clean:
	rm -rf .venv .venv-test demo-output
