# make run: set up, then the main job. make test: set up, then the tests. Nothing else is needed.
# make bench: what it costs, beside a plain script.
# Which stack, and by which Python, setup.sh picks unless one of these says it: STACK=tfx-1.16 or
# tfx-1.21, PYTHON=python3.10.
STACK ?=
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
# Half of a run is Python on one core: two test processes pay, more need more than 8 GB.
JOBS ?= 2
# Of pytest: `make test TESTS='tests/components -m "not browser"'`.
TESTS ?=
# A bare Debian 13, made once, and what is made there: `make test-trixie TRIXIE=run`.
TRIXIE_ROOT ?= build/trixie
TRIXIE ?= run test
# The keys of a config, as the models have them; and the public data sets, as their readers do.
REFERENCES := docs/reference/config.md docs/reference/datasets.md

.PHONY: setup run test test-flink test-spark test-kserve test-image test-kfp test-trixie test-stacks lint bench format lock package clean

setup:
	@STACK='$(STACK)' PYTHON='$(PYTHON)' sh setup.sh $(VENV)

run: setup
	$(BIN)/tfxray run --config configs/demo.yaml --out $(OUT)

test: setup
	@sh tests/servers.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

# On a Flink cluster of its own: needs root, Java and Maven, and says so where these are missing.
test-flink: setup
	$(BIN)/python -m pytest -s tests/flink/run_on_flink.py

# On a Spark cluster of its own, likewise.
test-spark: setup
	$(BIN)/python -m pytest -s tests/spark/run_on_spark.py

# The pushed model behind KServe's own server, in an environment of its own: 1.7 GB.
test-kserve: setup
	$(BIN)/python -m pytest -s tests/kserve/run_on_kserve.py

# The nodes' image, built from kubeflow/Dockerfile: needs root, buildah, debootstrap and runc, and says
# so where these are missing.
test-image: setup
	$(BIN)/python -m pytest -s tests/image/run_in_image.py

# On a cluster with Kubeflow Pipelines, which kubeflow/README.md leads to: needs its address and kubectl,
# and says so where these are missing. `make test-kfp KFP_HOST=http://localhost:8080`.
test-kfp: setup
	$(BIN)/python -m pytest -s tests/kubeflow/run_on_kubeflow.py

# Both need root and debootstrap, and say so where these are missing (77).
test-trixie:
	@sh tests/trixie.sh $(TRIXIE_ROOT) make $(TRIXIE) JOBS=$(JOBS) TESTS='$(TESTS)' || [ $$? = 77 ]

test-stacks: setup
	@sh tests/stacks.sh $(TRIXIE_ROOT) || [ $$? = 77 ]

# Hours; benchmarks/bench.py --help tells what to leave out, and how to measure on real X-rays.
bench: setup
	$(BIN)/python benchmarks/bench.py $(BENCH)

# The packages are folders of this root, so mypy is shown them below a folder named tfxray.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build/lint && ln -sfn $(CURDIR) build/lint/tfxray
	MYPYPATH=build/lint $(BIN)/mypy -p tfxray.pipeline -p tfxray.components -p tfxray.configs -p tfxray.schema
	@for page in $(REFERENCES); do \
	  name=$$(basename $$page .md); \
	  $(BIN)/tfxray $$name --reference > build/lint/$$name.md || exit 1; \
	  diff -u $$page build/lint/$$name.md || { echo "$$page is out of date: make format"; exit 1; }; \
	done

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@mkdir -p build $(dir $(REFERENCES))
	for page in $(REFERENCES); do \
	  name=$$(basename $$page .md); \
	  $(BIN)/tfxray $$name --reference > build/$$name.md && mv build/$$name.md $$page || exit 1; \
	done

# The newer one holds for two Pythons: `--universal` writes down where they differ.
COMPILE = $(BIN)/uv pip compile --quiet --extra dev --no-header --no-annotate pyproject.toml
lock: setup
	$(COMPILE) --python-version 3.10 --output-file requirements-tfx-1.16.lock
	$(COMPILE) --python-version 3.12 --universal --output-file requirements-tfx-1.21.lock

# A release's sdist and wheel. setuptools would add files that an earlier build has noted.
package: setup
	rm -rf dist *.egg-info
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info
