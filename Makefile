# pacsd: `make help` lists the targets. Everything but a Python 3.11 or newer is fetched into .venv.

PYTHON ?= python3
CONFIG ?= config/pacsd.toml
CRASH_ROUNDS ?= 100
FUZZ_SECONDS ?= 300
PYTEST_ARGS ?=
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help serve test test-containers crash fuzz bench bench-quick bench-index check lock sbom audit clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.installed  ## Start the server with config/pacsd.toml (another: make serve CONFIG=FILE)
	$(BIN)/pacsd serve --config $(CONFIG)

test: $(VENV)/.installed-test  ## Run all tests but the containers'; those whose peers (DCMTK) are missing are skipped
	$(BIN)/python -m pytest -m "not containers" $(PYTEST_ARGS)

test-containers: $(VENV)/.installed-test  ## Build the image and run it with Docker Compose, as a hospital does
	$(BIN)/python -m pytest tests/containers $(PYTEST_ARGS)

crash: $(VENV)/.installed-test  ## Kill the server CRASH_ROUNDS (100) times under load, and at each step; from another seed each time
	seed=$${PACSD_TEST_CRASH_SEED:-$$(date +%s)} && echo "PACSD_TEST_CRASH_SEED=$$seed" && \
	PACSD_TEST_CRASH_ROUNDS=$(CRASH_ROUNDS) PACSD_TEST_CRASH_SEED=$$seed \
		$(BIN)/python -m pytest tests/crash $(PYTEST_ARGS)

fuzz: $(VENV)/.installed-test  ## Fuzz each parser for FUZZ_SECONDS (300), with atheris where .venv has it
	for target in pdu command-set acceptor requestor header identifier part10 conversion archive; do \
		PYTHONPATH=server:tests $(BIN)/python -m fuzz.campaign $$target $(FUZZ_SECONDS) || exit 1; \
	done

# Tables and figures go to build/bench/. A later option overrides an earlier one: make bench BENCH_ARGS="--rounds 1".
COMPARE := $(BIN)/python bench/compare.py
bench: $(VENV)/.installed-bench  ## Measure beside Orthanc, DCMTK, pynetdicom where installed (an hour); BENCH_ARGS
	$(COMPARE) store,client,idle,durability --assoc 1,4,8 --ack quick,nagle --clients dcmsend,storescu \
		--out build/bench/all $(BENCH_ARGS)
	$(COMPARE) store --kinds large --assoc 1,2 --max-seconds 20 --warm-gib 0 --out build/bench/large $(BENCH_ARGS)

bench-quick: $(VENV)/.installed-bench  ## The same in few minutes: one round, fewer cases
	$(COMPARE) store,client,idle,durability --rounds 1 --assoc 1,8 --max-seconds 3 --client-count 100 \
		--idle 1,500 --kills 1 --kill-kinds small --warm-gib 3 --out build/bench/quick $(BENCH_ARGS)

bench-index: $(VENV)/.installed-bench  ## C-FIND on generated indices of up to a million studies; BENCH_ARGS
	$(BIN)/python bench/index.py --out build/bench/index $(BENCH_ARGS)

check: $(VENV)/.installed-check  ## Lint, formatting, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=server $(BIN)/lint-imports

# A version that still fits stays; deploy/lock/ removed before, everything becomes the newest.
LOCK := $(BIN)/uv pip compile --quiet --no-header --python-platform linux --python-version 3.11 --generate-hashes
lock: $(VENV)/.installed-lock  ## Write deploy/lock/, what the image is made of, anew from pyproject.toml
	$(LOCK) --extra postgresql --output-file deploy/lock/server.txt pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
		| $(LOCK) --output-file deploy/lock/build.txt -

sbom: $(VENV)/.installed-audit  ## Write build/sbom.json: what the image's Python packages are (CycloneDX)
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json \
		deploy/lock/server.txt

audit: $(VENV)/.installed-audit  ## Ask PyPI's advisory database about the versions in deploy/lock/
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r deploy/lock/server.txt -r deploy/lock/build.txt

clean:  ## Remove .venv and all caches; data/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage build dist
	find server tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

# pip 25.1 is the first that knows dependency groups (PEP 735); a new venv brings an older one.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group test
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

$(VENV)/.installed-lock: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --group lock
	touch $@

$(VENV)/.installed-audit: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --group audit
	touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group check
	touch $@
