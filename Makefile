# `make check` is what must be green before a commit; `.ci/run` runs the same and the slow tests.
PYTHON ?= python

.PHONY: help check test test-slow lint types docs docs-write site fuzz coverage mutate bench format format-check

help:
	@echo "make check         format check, lint, types, docs, tests"
	@echo "make test          the default tests (minutes)"
	@echo "make test-slow     the slow tests too"
	@echo "make format        rewrite the code's layout"
	@echo "make docs-write    regenerate docs/reference"
	@echo "make site          the documentation site into site/"
	@echo "make fuzz          a minute of fuzzing of everything that reads files"
	@echo "make coverage      branch coverage of _core, video and sampling"
	@echo "make mutate        mutation testing of selection, identity and store"
	@echo "make bench         print what the README claims"

check: format-check lint types docs test

test:
	$(PYTHON) -m pytest -q -n auto --dist loadfile

test-slow:
	$(PYTHON) -m pytest -q -m "slow or not slow"

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

docs:
	$(PYTHON) scripts/build_docs.py --check
	$(PYTHON) scripts/check_docstrings.py

site:
	NO_MKDOCS_2_WARNING=1 $(PYTHON) scripts/build_site.py

docs-write:
	$(PYTHON) scripts/build_docs.py

fuzz:
	$(PYTHON) scripts/fuzz.py --seconds 60

coverage:
	$(PYTHON) scripts/branch_coverage.py

mutate:
	$(PYTHON) scripts/mutate.py

bench:
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(PYTHON) $$script; done

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

format-check:
	$(PYTHON) -m ruff format --check .
