# Needs git, make and Python 3.11 or newer. Everything else goes into .venv; only as root is anything installed by apt.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
# Every process compiles what it imports unless the first may keep it, and pip would compile what nobody imports.
export PYTHONDONTWRITEBYTECODE :=
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

.PHONY: help demo demo-rollback test lint bench bench-drift bench-performance bench-rollback bench-serve clean

help:  ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1  \2/p' Makefile

demo: .venv/all.installed  ## watch real models, catch a bad version, roll it back, and say where to look
	$(BIN)/controlplane demo

demo-rollback: .venv/all.installed  ## a worse version takes the alias under load: how long until all traffic is good, with a picture
	$(BIN)/controlplane demo --live

# One thread a process: those of OpenBLAS and OpenMP spin while they wait, for cores that the other process needs.
test: export OMP_NUM_THREADS := 1
test: export OPENBLAS_NUM_THREADS := 1
test: lint .venv/browser.found  ## lint, type check, and run every test and doctest
	$(BIN)/pytest -n 2 --dist loadfile

lint: .venv/dev.installed  ## ruff and mypy
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

bench: .venv/dev.installed  ## print the numbers the product promises, one program a number
	for bench in tests/benchmarks/*.py; do $(BIN)/python "$$bench"; done

bench-drift: .venv/dev.installed .venv-peers/installed  ## drift beside its peers: speed, memory, false pages, detection
	for bench in speed memory detection; do $(BIN)/python tests/benchmarks/drift/$$bench.py --json build/bench-drift/$$bench.json; done

bench-performance: .venv/dev.installed .venv-peers/installed  ## attribution, label-free estimates, weak slices, speed
	for bench in attribution label_free slices speed; do $(BIN)/python tests/benchmarks/performance/$$bench.py --json build/bench-performance/$$bench.json; done

bench-rollback: .venv/all.installed .venv/dev.installed  ## an action explored whole, real kills, decisions, the chain, latency
	for bench in life kills decisions chain latency; do $(BIN)/python tests/benchmarks/rollback/$$bench.py --json build/bench-rollback/$$bench.json; done

bench-serve: .venv/all.installed .venv/dev.installed  ## a server beside MLflow's, swaps under load, a log in trouble
	for bench in beside_mlflow swap trouble; do $(BIN)/python tests/benchmarks/serving/$$bench.py --json build/bench-serve/$$bench.json; done

clean:  ## remove what was installed and built here
	rm -rf .venv .venv-peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Control Plane needs Python 3.11 or newer and $(PYTHON) is %d.%d: name another one with make PYTHON=/path/to/python3" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq "$$package"; else echo "$(PYTHON) cannot create virtual environments: run 'sudo apt install $$package' and try again" >&2; exit 1; fi; }
	@$(PYTHON) -m venv .venv

# One stamp a set of extras (all, dev), so that a second make installs nothing.
.venv/%.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv; the first time takes a few minutes"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt -e '.[$*]'
	@touch $@

# Evidently, NannyML and river want older libraries than ours.
.venv-peers/installed: tests/benchmarks/drift/peers.txt | .venv/bin/python
	@echo "Installing the peers into .venv-peers; the first time takes a few minutes"
	@$(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

.venv/browser.found: .venv/dev.installed
	@if command -v $(BROWSERS) >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; then :; \
	elif [ "$$(id -u)" = 0 ] && $(BIN)/playwright install --with-deps chromium; then :; \
	elif $(BIN)/playwright install chromium; then :; \
	else echo "The dashboard tests need a browser: install chromium (Debian: 'sudo apt install chromium') and try again" >&2; exit 1; fi
	@touch $@
