# Every target sets the machine up first: `.venv` from the hash-locked requirements. See trademaster/local/bootstrap.py.
.DEFAULT_GOAL := help
.PHONY: help setup demo code sandbox test fuzz sdk lint audit rehearse storm bench screenshots lock clean

CANDIDATES := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup:  ## Make .venv (done by every other target)
	@for python in $(CANDIDATES); do \
		if command -v $$python >/dev/null && $$python -c '$(NEW_ENOUGH)' 2>/dev/null; then \
			exec $$python trademaster/local/bootstrap.py; \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed and none was found: install it, or name it with PYTHON=/path/to/python." >&2; exit 1

demo: setup  ## Run everything with simulated brokers; Ctrl-C stops it
	@exec .venv/bin/python -m trademaster.local.demo

code: setup  ## Print a code of the demo's support user, for the second factor
	@exec .venv/bin/python -m trademaster.local.code

sandbox: setup  ## Run the simulated brokers alone
	@exec .venv/bin/python -m trademaster.local.sandbox

test: setup  ## Run the tests against real PostgreSQL and Redis
	.venv/bin/python -m pytest

fuzz: setup  ## Ask the whole API with a hundred made-up inputs per operation
	FUZZ_EXAMPLES=100 .venv/bin/python -m pytest tests/test_schema_fuzz.py

sdk: setup  ## Try the brokers' own SDKs on the simulated brokers
	.venv/bin/python -m tests.sdk

# The type checker reads the settings, which refuse to be read without these; nothing is opened.
NO_SERVICES := SECRET_KEY=lint FIELD_ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
	DATABASE_URL=postgres://lint/lint REDIS_URL=redis://lint/0

ROOMS := accounts brokers health market orders portfolio trademaster
lint: setup  ## Check style, types and security rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/bandit --quiet --configfile pyproject.toml --recursive $(ROOMS)
	$(NO_SERVICES) .venv/bin/mypy

audit: setup  ## List licences, write a bill of materials, ask for known vulnerabilities
	.venv/bin/python -m trademaster.local.supply

rehearse: setup  ## Rehearse a bad day: dying sessions, brokers, workers and servers
	.venv/bin/python -m trademaster.rehearsal
	.venv/bin/python -m trademaster.rehearsal streams

storm: setup  ## Two thousand orders through a storm of faults; our book must be the exchange's
	.venv/bin/python -m trademaster.rehearsal storm

bench: setup  ## Measure; prints one table
	.venv/bin/python -m bench

screenshots: setup  ## Draw every page of the demo into docs/screenshots
	.venv/bin/python -m tests.screenshots

LOCK := UV_PYTHON_DOWNLOADS=never .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
lock: setup  ## Regenerate the locks from requirements*.in (UPGRADE=1 takes the newest versions)
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements.in -o requirements.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) -c requirements.lock requirements-dev.in -o requirements-dev.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements-audit.in -o requirements-audit.lock

clean:  ## Remove .venv, the demo's data and all caches
	rm -rf .venv .venv-audit .venv-sdk sbom.json .run staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
