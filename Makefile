# Two commands: `make up` runs the honeynet on this machine, `make test` runs every check. Both set up what they need.
.DELETE_ON_ERROR:
.PHONY: help up demo test lint unit soak docs bench room engine victim clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TESTED := $(VENV)/.tested
ARGS   ?=
SEAL   := src/eudaemon/possession/seal/seal.image
VICTIM := src/eudaemon/demo/built/victim

# The store's engine, without the data frame libraries that it declares and nobody here uses.
ENGINE := $(shell sed -n 's/^ *"\(chdb-core[^"]*\)".*/\1/p' pyproject.toml)

help:  ## what there is to make
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(READY) $(SEAL) $(VICTIM)  ## run sensor, farm and web page on this machine (ARGS="--data DIR --config FILE")
	@exec $(BIN)/eudaemon up $(ARGS)

demo: $(READY)  ## attack your own sensor, harmlessly, while `make up` runs
	@$(BIN)/eudaemon demo $(ARGS)

test: lint unit  ## every check: types, lint, tests (installs what they need)

lint: $(TESTED)
	@$(BIN)/ruff check src tests bench packaging
	@$(BIN)/ruff format --check src tests bench packaging
	@$(BIN)/mypy
	@sh packaging/check_engine.sh lint

unit: $(TESTED) $(SEAL) $(VICTIM)
	@sh packaging/check_engine.sh unit
	@$(BIN)/pytest $(ARGS)

soak: $(TESTED) $(SEAL)  ## attack a sensor for 20 minutes; possess and release every victim and server 1,000 times (about four hours)
	@$(BIN)/python bench/soak.py --minutes 20
	@EUDAEMON_CYCLES=1000 $(BIN)/pytest -m "" tests/possession $(ARGS)

docs: $(READY)  ## make the pages that are made from the code
	$(BIN)/python packaging/make_docs.py

bench: $(TESTED)  ## every number that the README states (half an hour; `python bench/NAME.py --help` for one)
	@for b in sensor held store; do echo "== bench/$$b.py"; $(BIN)/python bench/$$b.py || exit 1; done

engine: $(SEAL)  ## build the possession engine (with Rust); part of up and test where Rust is

$(SEAL): $(shell find native/seal -name target -prune -o -type f -print)
	@sh packaging/make_engine.sh

victim: $(VICTIM)  ## build the victim of `eudaemon demo victim` (with a C compiler); part of up and test where there is one

$(VICTIM): native/victim/victim.c packaging/make_victim.sh
	@sh packaging/make_victim.sh

room: $(READY)  ## begin a new protocol: make room NAME=x
	@$(BIN)/python packaging/new_room.py $(NAME)

clean:  ## remove what was set up
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; install Python 3.11 or newer, or say PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; say PYTHON=python3.12, say" >&2; exit 1; }
	@echo "Setting up $(VENV) …"
	@sh packaging/make_venv.sh $(PYTHON) $(VENV)

$(READY): pyproject.toml | $(BIN)/python
	@echo "Installing what the honeynet needs (about 200 MB the first time) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[farm-without-engine,emulation,forensics]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps '$(ENGINE)'
	@touch $@

$(TESTED): pyproject.toml packaging/debian-test-packages.txt $(READY)
	@echo "Installing what the tests need …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	@sh packaging/install_test_packages.sh
	@touch $@
