# `make help` lists what can be made. The scripts in tools/ say what they install and start.

SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/pytest
# How many tests run at once where an engine is used (tests/distribution.py).
WORKERS := 2

.DEFAULT_GOAL := help
.PHONY: help demo down images test test-unit test-image test-system lint bench purge

help: ## list these targets
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 25

demo: images ## build the images, start a Koji and build an RPM in it
	@tools/demo

down: ## end and remove all that `make demo` started; the images stay
	@! [ -x $(BIN)/toji ] || ! tools/engine status 2>/dev/null || $(BIN)/toji --system koji remove
	@tools/engine stop

images: ## build the images
	@tools/setup host
	@tools/engine start
	@$(BIN)/moromi build

test: ## run every test; an engine that is started for it is ended again
	@tools/setup test
	@tools/engine with $(MAKE) --no-print-directory _test

_test: lint
	@$(BIN)/moromi build
	@$(PYTEST) -n $(WORKERS)

test-unit: ## run the tests that need no engine
	@tools/setup test
	@$(PYTEST) tests/unit

test-image test-system: test-%: ## run one of the tiers that need an engine
	@tools/setup test
	@tools/engine with bash -c '$(BIN)/moromi build && $(PYTEST) -n $(WORKERS) tests/$*'

lint: ## check the style and the types
	@tools/setup test
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary nagoya kojicallbacks.py util bench demo
	@# Each by itself, since all have a module `entrypoint`.
	@set -e; for image in $(patsubst %/entrypoint.py,%,$(wildcard koji-*/entrypoint.py)); do $(BIN)/mypy --no-error-summary $$image; done

bench: ## measure speed and size, side by side
	@tools/setup test
	@tools/engine with bash -c '$(BIN)/moromi build -q && $(BIN)/python -m bench'

purge: down ## delete the private engine's images too, and .venv
	@tools/engine purge
	@rm -rf .venv src
