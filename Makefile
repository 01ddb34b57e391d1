# Two commands for a newcomer: `make tour` and `make test`. Python 3.11-3.13 and make are all they need.

PYTHON    ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP       := $(BIN)/python -m pip --disable-pip-version-check
TORCH     := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
# Each process takes a run of files in a row, so that most tests stay beside those that they share fixtures with.
PARALLEL  := -n auto --maxprocesses 8 --dist worksteal
# On Linux the default index serves a CUDA build of several GB; PyTorch's own index has the small one.
CPU_INDEX := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help install tour test check format docs bench clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

install: $(INSTALLED)  ## make .venv and install into it (the other targets do this by themselves)

tour: $(INSTALLED)  ## every method's demonstration, offline, as one page: runs/tour/report.html
	@$(BIN)/tenon tour

test: $(INSTALLED)  ## the tests, side by side; choose with ARGS="tests/methods -k sepllm"
	@$(BIN)/python -m pytest $(or $(ARGS),$(PARALLEL))

check: $(INSTALLED)  ## format, lint, types, doctests, layer rule
	@echo "== format" && $(BIN)/ruff format --check .
	@echo "== lint" && $(BIN)/ruff check .
	@echo "== types" && $(BIN)/mypy
	@echo "== doctests" && $(BIN)/python -m pytest --doctest-modules -q tenon
	@echo "== layers" && $(BIN)/python -m pytest -q tests/test_layers.py

format: $(INSTALLED)  ## let ruff put the code in shape
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(INSTALLED)  ## write anew what docs and READMEs take from the code and from results files
	@$(BIN)/python docs/make.py
	@$(BIN)/python -m tenon.core.cards $$(git ls-files '*.md')

bench: $(INSTALLED)  ## time every method beside its peer; results in bench/results
	@for script in bench/*.py; do [ -e "$$script" ] || { echo "No benchmark yet."; break; }; \
	  echo "== $$script"; $(BIN)/python "$$script" || [ $$? -eq 2 ] || exit 1; done  # 2: its peer is not installed

clean:  ## remove .venv and caches; runs/ is yours and stays
	rm -rf $(VENV) build dist .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(if $(PYTHON),$(PYTHON),false) -c '$(SUPPORTED)' || { \
	  echo "Tenon needs Python 3.11, 3.12 or 3.13, and '$(or $(PYTHON),python3)' is not one (or is missing)."; \
	  echo "Install one and name it: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version). The first time this takes some minutes."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@if [ "$$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1; then \
	  echo "No NVIDIA GPU found: taking the CPU build of torch."; \
	  $(PIP) install -q --timeout 5 --retries 0 --no-deps --index-url $(CPU_INDEX) $(TORCH) 2>/dev/null \
	    || echo "PyTorch's CPU index does not answer: taking torch from the index that pip is set up with."; \
	fi
	@echo "Installing Tenon and what it needs."
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "Installed: torch $$($(BIN)/python -c 'import torch; print(torch.__version__)')."
