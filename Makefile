# The words of this project, the same for people and for CI. `make` alone prints them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
TEST_PROCESSES ?= 2
# Independent decoder, and the shell of an access point, for the tests; installed only where missing and we are root.
APT_PACKAGES := tshark shellcheck busybox

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-thorough audit run lint types imports format bench accuracy accuracy-days coverage package-openwrt test-radio test-architectures test-aws clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make the virtual environment and install everything the other words need

$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Ivizone needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another with: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up: a virtual environment in $(VENV) (about a minute the first time)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

.PHONY: apt
apt:
	@for package in $(APT_PACKAGES); do \
	  command -v $$package >/dev/null && continue; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing $$package (Debian)" >&2; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null || echo "$$package could not be installed; its tests will be skipped" >&2; \
	  else echo "$$package is not installed and we are not root; its tests will be skipped (apt-get install $$package)" >&2; fi; \
	done

demo: setup ## a simulated day, and any CAPTURES="a.pcap b.pcap", from the air to the merchant's page
	@$(BIN)/ivizone-cloud demo $(DEMO_ARGS) $(if $(CAPTURES),--captures $(CAPTURES))

test: setup apt lint types imports ## everything that needs no special machine
ifdef TEST_ARGS
	$(BIN)/python -m pytest -q $(TEST_ARGS)
else
	$(BIN)/python -m pytest -q -m alone
	$(BIN)/python -m pytest -q -m "not alone" -n $(TEST_PROCESSES) --dist loadfile
endif

test-thorough: setup ## what no mode may tell, over every way to set up a store (a minute)
	IVIZONE_THOROUGH=1 $(BIN)/python -m pytest -q tests/cloud/test_modes_everywhere.py $(TEST_ARGS)

test-radio: setup ## the agent beside a real mac80211 stack in a VM; about fifteen minutes, builds a guest image the first time
	IVIZONE_RADIO=1 $(BIN)/python -m pytest -q tests/radio $(TEST_ARGS)

test-architectures: setup ## the formats' tests under emulated big-endian and 32-bit processors (ten minutes)
	@tests/architectures/run.sh $(or $(ARCHITECTURES),s390x armhf) || [ $$? = 77 ]

test-aws: ## Kinesis, S3, PostgreSQL and the Kinesis Client Library in emulators on this machine, with faults (13 min)
	@bash tests/support/aws/set_up.sh build/aws $(PYTHON)
	IVIZONE_TEST_AWS=1 build/aws/venv/bin/python -m pytest -q -n 2 --dist worksteal tests/aws tests/contracts $(TEST_ARGS)

test-browser: setup ## the pages in the system's Chromium: journeys, axe-core, golden pictures (5 min)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || echo "chromium is not installed; on Debian: apt-get install chromium" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@mkdir -p build/browser; command -v npm >/dev/null && npm install --prefix build/browser --no-audit --no-fund --silent axe-core@4 || echo "npm is not installed; accessibility is not checked" >&2
	IVIZONE_BROWSER=1 $(BIN)/python -m pytest -q tests/browser $(TEST_ARGS)

FIRST ?= 0
SEEDS ?= $(FIRST)-$(shell expr $(FIRST) + 999)
test-faults: setup ## a thousand seeded schedules of faults (SEEDS=17 plays one again, REPEAT=20 often)
	PYTHONPATH=.:tests $(BIN)/python -m faults.run $(SEEDS) --repeat $(or $(REPEAT),1) --jobs $(or $(JOBS),1)

TARGET ?= all
SECONDS ?= 600
fuzz: setup ## look for inputs that break something, SECONDS for each target (TARGET=frame for one)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	PYTHONPATH=.:tests $(BIN)/python -m fuzz.run $(TARGET) --seconds $(SECONDS)

soak: setup ## a day at 200 frames a second through agent and cloud, faster than it lasts
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

PIP_AUDIT ?= 2.10.1
audit: setup ## known weaknesses of the packages that ship; fails where the advisory service cannot be asked about each
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT); }
	@$(BIN)/python deploy/audit.py build/audit/bin/pip-audit $(AUDIT_ARGS)

run: setup ## the embedded cloud on this machine (data in ./ivizone-data)
	$(BIN)/ivizone-cloud serve

lint: setup ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .

format: setup ## let ruff mend and format
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: setup ## mypy --strict
	$(BIN)/mypy

imports: setup ## the import contracts of setup.cfg
	$(BIN)/lint-imports

coverage: setup apt ## the tests, with line and branch coverage
	$(BIN)/python -m pytest -q --cov=agent --cov=cloud --cov=simulator --cov-branch --cov-report=term-missing:skip-covered

bench: setup apt ## frames, bytes, memory, start-up and ingest, as ratios in one run; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks.run --write docs/benchmarks.md

PHONES ?= $(or $(IVIZONE_SHARED),../shared)/data/phones
accuracy: setup ## counts against labelled phones, PHONES=folder; writes the crowds of docs/accuracy.md
	$(BIN)/python -m benchmarks.accuracy.run $(PHONES) --write docs/accuracy.md

accuracy-days: setup ## sixty simulated days beside their truth; writes the days of docs/accuracy.md (an hour and more)
	$(BIN)/python -m benchmarks.accuracy.days --seeds 20 --shoppers 2000 --write docs/accuracy.md

package-openwrt: setup ## the two .ipk for OpenWrt 24.10, without the SDK, in build/openwrt
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --requirement deploy/openwrt/structlog.txt --dest build/wheels
	@$(BIN)/python deploy/openwrt/package.py ipk build/openwrt --structlog build/wheels/structlog-*.whl

package-aws: setup ## the application bundle for Elastic Beanstalk, in build/beanstalk
	@rm -rf build/beanstalk build/lib build/bdist.*
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/beanstalk/wheel .
	@$(BIN)/python deploy/aws/package.py zip build/beanstalk --wheel build/beanstalk/wheel/ivizone-*.whl

clean: ## remove what the other words made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
