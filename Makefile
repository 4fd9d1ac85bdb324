# Every target sets itself up: Python 3.11 or later and pip suffice.

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
# Two for each processor: many tests wait for other processes, and for the disk.
WORKERS := $(shell $(PYTHON) -c 'import os; print(2 * os.cpu_count())')
READY := .venv/ready
# What tests write is kept in memory where there are two GB for it: a killed process loses nothing there either.
define MEMORY
import os, tempfile
folder = "/dev/shm"
room = os.statvfs(folder) if os.access(folder, os.W_OK) else None
fits = room and room.f_bavail * room.f_frsize > 2 << 30 and not room.f_flag & os.ST_NOEXEC
print(folder if fits else tempfile.gettempdir())
endef
TMPDIR := $(shell $(PYTHON) -c '$(MEMORY)')
export TMPDIR

.DEFAULT_GOAL := help
.PHONY: help demo test lint conformance fuzz chaos bench peers picture dist clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

demo: $(READY) ## kill a running program again and again, and watch it go on
	@$(BIN)/python -m examples.survive.driver

test: lint ## everything that has to hold, on every Python found
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --durations=10
	$(BIN)/nox -s tests

lint: $(READY) ## format, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

conformance: $(READY) ## CPython's own language tests, every await a death
	$(BIN)/python -m tests.conformance $(ARGS)

fuzz: $(READY) ## random programs, for as long as you like
	$(BIN)/python -m tests.fuzz $(ARGS)

chaos: $(READY) ## three workers, killed, stopped and cut off
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(READY) ## what a checkpoint costs
	$(BIN)/python -m tests.benchmarks $(ARGS)

peers: .venv-peers/ready ## the same work done by DBOS and LangGraph
	.venv-peers/bin/python -m tests.benchmarks.peers $(ARGS)

picture: $(READY) ## draw the README's picture
	$(BIN)/python assets/draw.py

dist: $(READY) ## source distribution and wheel
	$(BIN)/python -m build

clean: ## remove what was made
	rm -rf .venv .venv-peers .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

.venv-peers/ready: pyproject.toml
	rm -rf .venv-peers
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check -e '.[postgres]' \
		dbos pysqlite3-binary langgraph langgraph-checkpoint-sqlite
	touch $@

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and none is on the PATH"; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	touch $(READY)
