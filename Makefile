# Two commands for everybody: `make demo` and `make test`. Both keep their environment in .venv, and need
# Python 3.10 or newer and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
# Most tests wait for something, so that more of them run at a time than there are cores. JOBS=0: one after the other.
JOBS ?= 3
SECONDS ?= 60
SEED ?=
STALENESS ?=
SDK_TESTS := tests/integrations/google $(wildcard tests/cases/test_case_classification*.py) \
	tests/cases/test_case_streaming_async_callables.py tests/cases/test_case_streaming_async_streams.py
# Each as `pip install` takes it; without a version, the newest.
SDKS := google-genai==1.75.0 google-genai google-generativeai==0.8.5 google-generativeai

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest test-sdks docs screenshots faults mutants bench bench-rules simulate lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## four workers, one breaker, a service that fails and comes back; ARGS="--keep" leaves it running
	$(BIN)/sharedbreaker demo $(ARGS)

test: $(VENV)/.test ## all tests, on servers that they start themselves; ARGS="tests/core -k probe" for some of them
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-oldest: $(VENV)/.oldest ## the rules and the core on the oldest redis-py that is supported
	# It leaves sockets to the garbage collector, which the newer ones do not.
	$(VENV)/oldest/bin/python -m pytest tests/rules tests/core tests/async \
		--breakers sync -W ignore::pytest.PytestUnraisableExceptionWarning -W ignore::ResourceWarning $(ARGS)

test-sdks: $(SDKS:%=$(VENV)/.sdk-%) ## the integrations with each of Google's SDKs, the oldest supported and the newest, alone
	@for sdk in $(SDKS); do echo "with $$sdk alone"; $(VENV)/sdk-$$sdk/bin/python -m pytest $(SDK_TESTS) $(ARGS) || exit 1; done

docs: $(VENV)/.test ## write the tables that the docs have from tests and from the code
	$(BIN)/python tests/integrations/google/outcome_docs.py
	$(BIN)/python tests/cli/cli_docs.py
	$(BIN)/python tests/cases/case_table.py
	$(BIN)/python tests/docs/state_diagram.py

screenshots: $(VENV)/.test ## take the pictures of docs/web.md; needs Chromium and a font
	$(BIN)/python tests/integrations/web/screenshots.py

faults: $(VENV)/.test ## kill, freeze and cut everything for SECONDS=60, then compare books; SEED=7 repeats a run, STALENESS=0.1
	$(BIN)/python tests/faults --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(STALENESS),--staleness $(STALENESS))

mutants: $(VENV)/.test ## small faults in the rules, and whether tests notice; ARGS="--sample 100 --seed 7", all 2,000 take hours
	$(BIN)/python tests/mutation/run_mutants.py $(ARGS)

bench: $(VENV)/.bench ## what a call costs, beside the peers: writes docs/performance.md in ten minutes; ARGS=--quick for two
	$(BIN)/python -m benchmarks $(ARGS)

bench-rules: $(VENV)/.test ## what each rule takes inside Redis: writes docs/trip-rules.md; ARGS="--before REVISION" beside an earlier one
	$(BIN)/python -m benchmarks.rules_cost $(ARGS)

simulate: $(VENV)/.bench ## what each rule makes of an outage, in virtual time: fills in docs/choosing-settings.md in some minutes
	$(BIN)/python -m benchmarks.simulation

lint: $(VENV)/.lint ## formatting, lint, types, and which floor may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --level error
	$(BIN)/lint-imports

format: $(VENV)/.lint ## put the code into the shape that `make lint` wants
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the environment and all that was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.pip:
	@echo "making the environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	@echo "installing what the demo needs, the Google SDK among it: about a minute"
	$(PIP) install --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "installing what the tests need"
	$(PIP) install --group test
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	@echo "installing what the benchmarks draw with"
	$(PIP) install --group bench
	@touch $@

$(VENV)/.oldest: $(VENV)/.test
	@echo "installing the oldest redis-py that is supported"
	$(PYTHON) -m venv $(VENV)/oldest
	$(VENV)/oldest/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	$(VENV)/oldest/bin/python -m pip --disable-pip-version-check --quiet install --editable '.[demo]' 'redis==5.0.1' --group test
	@touch $@

$(VENV)/.sdk-%: $(VENV)/.pip pyproject.toml
	@echo "installing $* alone"
	$(PYTHON) -m venv $(VENV)/sdk-$*
	$(VENV)/sdk-$*/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	$(VENV)/sdk-$*/bin/python -m pip --disable-pip-version-check --quiet install --editable . '$*' --group integrations
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@echo "installing the linters"
	$(PIP) install --group lint
	@touch $@
