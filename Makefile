# One set of targets for people and for CI. Everything runs in $(VENV), made on first use and reused.
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
# progress bars and OpenMP threads of several processes would only get in each other's way in CI
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup demo test quick oldest ray check format bench clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## Make the virtual environment

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e .
	@touch $@

demo: setup  ## Write a gigapixel scene and ask it one question of each kind
	$(BIN)/geofovea demo --output demo-output

test: check  ## Everything that CI runs: checks, then all tests
	$(PYTEST) -q

quick: setup  ## Tests without the slow ones
	$(PYTEST) -q -m "not slow"

# a second environment costs gigabytes; the old release and what it needs go in front of the path
OLDEST := $(VENV)/oldest-transformers
$(OLDEST)/.ready: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(OLDEST) \
		--no-deps 'transformers==5.2.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(OLDEST) \
		'huggingface_hub>=1.3,<2' 'tokenizers>=0.22,<=0.23'
	@touch $@

oldest: $(OLDEST)/.ready  ## Tests of the pipeline with the oldest transformers that is supported
	PYTHONPATH=$(OLDEST) $(PYTEST) -q -m "not slow" tests/pipeline

ray: setup  ## Tests on a local Ray, which the others leave out for its size
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(PYTEST) -q tests/pipeline/test_ray_crew.py

check: setup  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## Measure quality and cost; takes long
	$(BIN)/geofovea bench synthetic --output runs/bench
	$(BIN)/python benchmarks/pyramid_cost.py

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) demo-output runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
