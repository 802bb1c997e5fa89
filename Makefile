# The project's commands. Everything lives in .venv/ at the root; nothing is installed elsewhere.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed

# Each process that a test starts compiles our modules anew where an image forbids the cache of bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-kafka check lint tools bench up pictures lock

help: ## Show these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "lpstream needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(INSTALLED) ## Run the whole pipeline once on the embedded stack; look at out/demo/index.html
	$(BIN)/lpstream demo

test: $(INSTALLED) ## Run all tests, on the best stack that this machine has
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

test-kafka: $(INSTALLED) ## Every test at full length, on Apache Kafka
	LPSTREAM_TEST_KAFKA=apache LPSTREAM_GUARANTEES=full $(BIN)/pytest tests/integration tests/unit tests/browser
	LPSTREAM_TEST_KAFKA=apache LPSTREAM_GUARANTEES=full $(BIN)/pytest tests/guarantees -s
	LPSTREAM_TEST_KAFKA=apache LPSTREAM_TEST_KAFKA_NODES=3 LPSTREAM_GUARANTEES=full $(BIN)/pytest tests/guarantees -s -k broker

check: lint tools ## ruff, mypy --strict, the unit tests, and the production files by the tools that judge them
	$(BIN)/pytest tests/unit tests/production -q

tools: ## Fetch promtool and nginx into .lpstream/tools/, where apt is there
	@.ci/tools

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## Measure against named references; writes out/bench.json
	$(BIN)/lpstream bench

up: $(INSTALLED) ## Start everything and keep it running; prints each door with an example
	$(BIN)/lpstream up

pictures: $(INSTALLED) ## Encode the pages' pictures anew from their drawings (needs Chromium)
	$(BIN)/python -m streams.proof.pictures

lock: $(INSTALLED) ## Pin versions and hashes of all dependencies anew (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra embedded --extra tracing --extra verify --extra dev --python-version 3.11 -o constraints.txt pyproject.toml
	uv pip compile --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra tracing --python-version 3.13 -c constraints.txt -o constraints-image.txt pyproject.toml
	uv pip compile --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra tracing --extra screenshots --python-version 3.13 -c constraints-image.txt -o constraints-browser.txt pyproject.toml
