# One set of targets for people and for CI. Everything runs in $(VENV), made on first use and reused.
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
# a test file stays on one core: what its tests share is made once; some hundred tests start a process
# of their own, and each would compile transformers anew where the machine forbids bytecode; while they
# wait for it, one worker more than there are cores uses what they leave
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(abspath $(VENV))/bytecode \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# what `make cases` judges with; nothing of it is in the repository
SHARED ?= $(or $(GEOFOVEA_SHARED),../shared)

.PHONY: help setup lock demo test suite quick oldest newest ray cases web browser check format docs wheel bench clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## Make the virtual environment, from the lock

# uv installs in seconds what pip installs in minutes; torch comes by pip, which follows the
# settings of a machine that keeps a CPU build at hand
UV = VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv
$(BIN)/uv:
	@echo "setup: an environment in $(VENV), with uv to install into it"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/uv
	@echo "setup: torch, the largest download"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt torch
	@echo "setup: everything else that constraints.txt pins"
	@$(UV) pip install -c constraints.txt --build-constraints constraints.txt --group dev -e .
	@touch $@

lock: | $(BIN)/uv  ## Pin the newest of everything that pyproject.toml allows: constraints*.txt
	$(UV) pip compile pyproject.toml --upgrade --group dev --all-extras --universal \
		--python-version 3.11 --no-emit-index-url --no-annotate --no-header -o constraints.txt --quiet
	sed -E '/^(transformers|tokenizers|huggingface-hub)==/d' constraints.txt > $(VENV)/others.txt
	echo 'transformers==5.2.0' | $(UV) pip compile - --upgrade --constraints $(VENV)/others.txt \
		--python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		-o constraints-oldest.txt --quiet

demo: setup  ## Write a gigapixel scene and ask it one question of each kind
	$(BIN)/geofovea demo --output demo-output

test: check suite  ## Everything that CI runs: checks, then all tests

suite: setup
	GEOFOVEA_ENVIRONMENT=locked $(PYTEST) -q

quick: setup  ## Tests without the slow ones
	$(PYTEST) -q -m "not slow"

# a second environment costs gigabytes; the old release and what it needs go in front of the path
OLDEST := $(VENV)/oldest-transformers
$(OLDEST)/.ready: $(VENV)/.ready constraints-oldest.txt
	@echo "setup: the oldest transformers in $(OLDEST)"
	@$(UV) pip install --target $(OLDEST) --no-deps -r constraints-oldest.txt
	@touch $@

oldest: $(OLDEST)/.ready  ## Tests of the pipeline with the oldest transformers that is supported
	PYTHONPATH=$(abspath $(OLDEST)) $(PYTEST) -q -m "not slow" tests/pipeline

# The lock does not count here: all is taken as new as pyproject.toml allows, each time anew.
# TORCH=torch takes the newest torch as well, whose build for Linux brings gigabytes of CUDA.
NEWEST := $(VENV)-newest
TORCH ?= $(shell sed -nE 's/^(torch==[^ ;]*).*/\1/p' constraints.txt)
newest:  ## Quick tests with the newest release of every dependency, in an environment of its own
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv $(TORCH)
	VIRTUAL_ENV=$(abspath $(NEWEST)) $(NEWEST)/bin/uv pip install --group dev -e .
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n auto --dist loadfile -q -m "not slow"

ray: setup  ## Tests on a local Ray, which the others leave out for its size
	$(UV) pip install -c constraints.txt --build-constraints constraints.txt -e '.[ray]'
	$(PYTEST) -q tests/pipeline/runs/executors/test_ray.py

cases: setup  ## Faults that people met, with the programs that judge them
	@if test -x $(SHARED)/cases/run; \
		then GEOFOVEA_MODEL=embedded PYTHON=$(BIN)/python $(SHARED)/cases/run geo model robust; \
		else echo "skipped: there is no $(SHARED)/cases/run; set GEOFOVEA_SHARED to its folder"; fi

web:  ## Build the page from web/ (Node 20 or newer) into the package
	cd web && npm ci --ignore-scripts --no-audit --no-fund && npm run -s build

CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser)
browser: setup  ## Tests of the page in a real browser; installs Debian's Chromium where there is none
	test -n "$(CHROMIUM)" || { apt-get update && apt-get install -y --no-install-recommends chromium; }
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	CI=true $(PYTEST) -q tests/pipeline/viewer

check: setup  ## Lint, formatting, types and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_prose.py

format: setup  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## Build the site of the documentation, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "the site is in site/; look at it with: $(BIN)/python -m http.server -d site"

# an environment of its own: what the wheel lacks is not found by chance
wheel: setup  ## Build the package in dist/ and ask a question with it alone
	rm -rf dist $(VENV)-wheel
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet -c constraints.txt dist/*.whl
	$(VENV)-wheel/bin/geofovea demo --side 2048 --output $(VENV)-wheel/demo

bench: setup  ## Measure quality and cost; takes long
	$(BIN)/geofovea bench synthetic --output runs/bench
	$(BIN)/python benchmarks/pyramid_cost.py

clean:  ## Remove the environments and everything that was made
	rm -rf $(VENV) $(NEWEST) $(VENV)-wheel demo-output runs site dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
