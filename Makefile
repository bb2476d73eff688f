# Every command a developer or a curious reader needs. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= out/demo

# A window needs a screen. Where there is none (a server, CI), Debian's xvfb draws on a virtual one,
# and the demo closes its window when it is done instead of waiting for a reader.
ifeq ($(shell uname -s),Linux)
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
SCREEN := xvfb-run --auto-servernum --server-args="-screen 0 1600x1000x24"
CLOSE := --close
# Two tests at a time, each process with a screen of its own: two windows on one would fight for the focus.
WORKERS ?= 2
TOGETHER := --dist worksteal --tx '$(WORKERS)*popen//env:OMP_NUM_THREADS=1//python=$(SCREEN) $(BIN)/python'
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test recipes check format-check format types imports benchmarks model wheel clean

help:  ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY)  ## Make the environment in .venv

# torch first: the pinned release, so that no newer one is pulled in by another package.
$(READY): pyproject.toml constraints.txt
	@bash scripts/system-packages.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[app,dev,training]'
	@touch $(READY)

demo: $(READY)  ## The whole loop on a synthetic study; opens the window if there is a display
	$(SCREEN) $(BIN)/cinema demo --out $(OUT) $(CLOSE)

test: $(READY)  ## All tests, the window included
	$(BIN)/python -m pytest $(TOGETHER)

recipes: $(READY)  ## Every training recipe for a few steps on miniatures, loaded back and evaluated
	$(BIN)/python -m pytest tests/training/test_recipes.py

check: format-check types imports test  ## What must be green before a change lands

format-check: $(READY)  ## ruff, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(READY)  ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

imports: $(READY)  ## The arrows between the rooms
	$(BIN)/lint-imports

benchmarks: $(READY)  ## Every measured figure, a table per command
	$(BIN)/python -m benchmarks.segment
	$(BIN)/python -m benchmarks.inference
	$(BIN)/python -m benchmarks.import
	$(SCREEN) $(BIN)/python -m benchmarks.launch
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.finetune
	$(BIN)/python -m benchmarks.bundled
	$(BIN)/python -m benchmarks.measures
	$(BIN)/python -m benchmarks.review
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.training
	$(SCREEN) $(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python -m benchmarks.reading_faults

model: $(READY)  ## Train the bundled model again
	$(BIN)/python -m training.bundled

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) build dist out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
