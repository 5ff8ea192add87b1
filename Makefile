# make run: set up, then the main job. make test: set up, then the tests. Nothing else is needed.
# make bench: what it costs, beside a plain script.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell cat requirements.lock setup.py | cksum | cut -d' ' -f1)
OUT ?= runs/demo
# Half of a run is Python on one core: two test processes pay, more need more than 8 GB.
JOBS ?= 2

.PHONY: setup run test lint bench format lock clean

setup: $(READY)

# The stamp carries the lock's checksum: a second call installs nothing, a new lock does. Bytecode:
# some 25,000 files, compiled once here, or by every process where Python may not write (`python -B`).
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' || { \
	  echo "tfxray needs Python 3.10 (TFX 1.16 installs on no other); $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	  echo "Install it (pyenv install 3.10, or your system's python3.10 with its venv package), then: make PYTHON=python3.10 $(or $(MAKECMDGOALS),setup)" >&2; \
	  exit 2; }
	@command -v g++ >/dev/null || { \
	  echo "tfxray needs g++ and the Python headers: pyfarmhash, which TFX depends on, has no wheel. On Debian: apt-get install g++ python3-dev" >&2; \
	  exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(shell grep '^uv==' requirements.lock)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --requirement requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.ready-*
	@touch $@

run: setup
	$(BIN)/tfxray run --config configs/demo.yaml --out $(OUT)

test: setup
	@sh tests/servers.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Hours; benchmarks/bench.py --help tells what to leave out, and how to measure on real X-rays.
bench: setup
	$(BIN)/python benchmarks/bench.py $(BENCH)

# The packages are folders of this root, so mypy is shown them below a folder named tfxray.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build/lint && ln -sfn $(CURDIR) build/lint/tfxray
	MYPYPATH=build/lint $(BIN)/mypy -p tfxray.pipeline -p tfxray.components -p tfxray.schema

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	$(BIN)/uv pip compile --quiet --extra dev --python-version 3.10 --no-header --no-annotate setup.py --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
