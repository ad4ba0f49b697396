# `make help` lists the targets. The scripts in tools/ print what they install and start.

SHELL := /bin/bash
# Finds the programs of .venv without activation, and Docker's without root's PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin
# mypy checks the code for each of these versions.
PYTHONS := 3.11 3.12 3.13
# How many tests run at once where an engine is used (tests/distribution.py).
WORKERS := 2
# A test that hangs fails after 20 minutes, and shows where. The slowest has taken eight.
PYTEST := pytest -n $(WORKERS) --timeout 1200
# Which Koji: empty for the pinned one, or what tools/koji takes. `test-koji` calls it SOURCE.
KOJI :=
SOURCE := current
BOOKWORM := docs/examples/bookworm/moromi.yml

.DEFAULT_GOAL := help
.PHONY: help demo down images test test-slow test-unit test-image test-system test-koji test-mock test-ansible test-upstream test-distribution test-site test-engines test-soak test-swarm test-kubernetes test-workflows test-debian test-long lint bench purge

help: ## list the targets
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 25

demo: images ## build the images, start a Koji and build an RPM in it (KOJI=current: Koji 1.35.3)
	@tools/demo "$(KOJI)"

down: ## stop and remove what `make demo` started (KOJI as above); the images stay
	@! [ -x .venv/bin/toji ] || ! tools/engine status 2>/dev/null || \
	    toji --system "$$(tools/koji system "$(KOJI)")" remove
	@tools/engine stop

images: ## build the images
	@tools/setup host
	@tools/engine start
	@options=$$(tools/koji options "$(KOJI)") && moromi $$options build

test: ## run all tests but the slow and the long ones; a private engine that this starts is stopped at the end
	@tools/setup test
	@tools/engine with $(MAKE) --no-print-directory _test

_test: lint
	@moromi build
	@$(PYTEST) -m 'not slow and not long'

test-slow: ## run the tests of about a minute each that `make test` leaves out
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && $(PYTEST) -m slow'

test-unit: ## run the tests that need no engine
	@tools/setup test
	@pytest tests/unit

test-image test-system: test-%: ## run one of the tiers that need an engine
	@tools/setup test
	@tools/engine with bash -c 'moromi build && $(PYTEST) tests/$*'

# Without the tests that are about the pinned Koji.
test-koji: ## run the tests of images and systems with another Koji (SOURCE=current, or a source tree)
	@tools/setup test
	@tools/engine with bash -c 'options=$$(tools/koji options "$(SOURCE)") && moromi $$options build && \
	    $(PYTEST) $${options/-c/--koji-config} tests/image tests/system \
	    $(foreach name,examples installed readme,--ignore tests/system/test_$(name).py)'

test-mock: ## run the tests of builders with upstream's mock, and build real packages with both (SOURCE=current, or a source tree of it)
	@tools/setup test
	@tools/engine with bash -c 'file=$$(tools/mock "$(SOURCE)") && moromi -c $$file build && \
	    pytest --koji-config $$file tests/image/koji_builder tests/system/test_upstreams_mock.py -m "long or not long"'

test-ansible: ## run koji-ansible's modules twice on a Koji (SOURCE=a source tree of it)
	@tools/setup test
	@pip install --quiet 'ansible-core==2.19.*'
	@tools/engine with bash -c 'moromi build -q && \
	    KOJI_ANSIBLE=$$(realpath "$(SOURCE)") pytest tests/system/test_koji_ansible.py'

test-upstream: ## run Koji's own unit tests against what the images have installed (SOURCE as above)
	@tools/setup test
	@tools/engine with bash -c 'options=$$(tools/koji options "$(SOURCE)") && \
	    moromi $$options build -q koji-hub koji-builder && \
	    pytest -sq $${options/-c/--koji-config} tests/image/test_upstream.py'

test-distribution: ## build some dozens of real packages, and with Maven, on a distribution made of Debian's packages
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && pytest -m long $(foreach name,distribution distribution_guide maven newer_rpm,tests/system/test_$(name).py)'

test-site: ## run the tests with a KDC, with a mail server, with Fedora Messaging, and with PostgreSQL of Debian 12 outside of the system
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && pytest -m long $(foreach name,kerberos mail fedora_messaging external_database,tests/system/test_$(name).py)'

test-engines: ## run a Koji on the Docker and the Podman of three suites of Debian, an hour or two
	@tools/setup test
	@tools/setup debian
	@tools/engine with bash -c 'moromi build -q && pytest -m long $(foreach name,engines builders_elsewhere,tests/system/test_$(name).py)'

test-soak: ## run 300 builds, while a part is broken every half minute
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && pytest -m long tests/system/test_soak.py'

test-swarm: ## run a Koji on three nodes of Docker Swarm, and lose the builder's and the data's
	@tools/setup test
	@tools/setup engines
	@tools/engine with bash -c 'moromi build -q && pytest -m long tests/system/test_swarm.py'

test-kubernetes: ## run a Koji on a cluster of yours, whose builders are drained and lost (KUBECONFIG=FILE REGISTRY=NAME)
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && moromi push "$(REGISTRY)" && \
	    KUBECONFIG="$(realpath $(KUBECONFIG))" REGISTRY="$(REGISTRY)" pytest -m long tests/system/test_kubernetes.py'

test-workflows: ## run the jobs of docs/examples/ci in containers, with a registry
	@tools/setup test
	@tools/engine with bash -c 'moromi build -q && pytest -m long tests/system/test_in_container.py'

test-debian: ## run `make demo` and `make test` in a clone on the other Debian, 12 or 13
	@tools/setup debian
	@tools/debian "$$(tools/debian other)" bash -ec 'for target in demo down test "bench QUICK=1" "demo KOJI=$(BOOKWORM)"; do time make $$target; done'

test-long: test-slow test-distribution test-site test-workflows test-swarm test-engines test-soak test-debian ## run all that `make test` leaves out, but for other versions of Koji and mock, and a cluster: most of a day (-k: go on after a failure)

lint: ## check the style and the types (ruff, hadolint, mypy)
	@tools/setup test
	@ruff check --quiet . && ruff format --check --quiet .
	@# The release of Debian decides the versions of packages, and its packages name their users.
	@hadolint --ignore DL3008 --ignore DL3066 koji-*/Dockerfile docs/examples/*/*/Dockerfile
	@set -e; for version in $(PYTHONS); do mypy --no-error-summary --python-version $$version \
	    nagoya kojicallbacks.py util bench demo; done
	@# Each by itself, since all have a module `entrypoint`.
	@set -e; for image in $(patsubst %/entrypoint.py,%,$(wildcard koji-*/entrypoint.py)); do \
	    mypy --no-error-summary --exclude '/mock/' $$image; done
	@! [ -d koji-builder/mock ] || mypy --no-error-summary koji-builder/mock

bench: ## measure speed and size, side by side (QUICK=1: in two minutes; KOJI: also that one; MOCK: both mocks)
	@tools/setup test
	@tools/engine with bash -c 'options=$$(tools/koji options "$(KOJI)") && moromi build -q && \
	    $(if $(KOJI),moromi $$options build -q && )$(if $(MOCK),mock=$$(tools/mock "$(MOCK)") && \
	    moromi -c $$mock build -q && options="-m $$mock" && )python -m bench $(if $(QUICK),quick) $$options'

purge: down ## delete the private engine with its images, and .venv
	@tools/engine purge
	@rm -rf .venv src
