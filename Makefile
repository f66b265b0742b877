# `make` alone prints what there is. Everything is set up by the target that needs it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)/operator

# One number chooses the faults and the examples that this run tries. Give it again to repeat a run.
# (Not `?=`: that would draw another number each time the variable is read.)
ifndef WHIMBREL_SEED
WHIMBREL_SEED := $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
endif
export WHIMBREL_SEED
export WHIMBREL_CLUSTER ?= whimbrel

CRD := crds/whimbrel.dev_databasemigrations.yaml
CRD_COPY := charts/whimbrel/files/crd.yaml
REFERENCE := docs/reference.md
CODE := operator tests bench

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Setting up

.PHONY: venv
venv: $(VENV)/.complete ## Create .venv with everything that development needs

$(VENV)/.complete: pyproject.toml
	@bash tests/system_packages.sh python
	@echo "setting up $(VENV) from pyproject.toml"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[local]' --group dev
	@touch $@

# What `whimbrel run` needs and nothing else: a third of the time, and bytecode only where it is used.
$(VENV)/.local: pyproject.toml
	@bash tests/system_packages.sh python
	@test -e $(VENV)/.complete || echo "setting up $(VENV) with what whimbrel itself needs"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -e $(VENV)/.complete || $(BIN)/python -m pip install --quiet --no-compile \
		--disable-pip-version-check --editable '.[local]'
	@touch $@

.PHONY: system
system: ## Install the Debian packages that the tests need, where they are missing
	@bash tests/system_packages.sh tests

.PHONY: launcher
launcher: ## Build the static launcher (launcher/whimbrel-launcher)
	@bash tests/system_packages.sh compiler
	@$(MAKE) -C launcher

##@ Working

CHECKS := check-lint check-format check-types check-layers check-shape check-generated

.PHONY: check
check: venv ## Lint, format, types, layers, shape, generated files: under a minute
	@$(MAKE) --keep-going $(CHECKS)

.PHONY: $(CHECKS)
check-lint: venv
	@$(BIN)/ruff check --output-format=concise $(CODE)

check-format: venv
	@$(BIN)/ruff format --check $(CODE)

check-types: venv
	@$(BIN)/mypy

check-layers: venv
	@$(BIN)/lint-imports

check-shape: venv
	@$(BIN)/python tests/shape.py operator/whimbrel

check-generated: venv
	@$(BIN)/python -m whimbrel.model.crd | diff -u $(CRD) - \
		&& diff -u $(CRD) $(CRD_COPY) \
		&& $(BIN)/python -m whimbrel.model.reference | diff -u $(REFERENCE) - \
		|| { echo "generated files are out of date: run 'make crds'"; exit 1; }

.PHONY: crds
crds: venv ## Write the files that are generated from whimbrel/model
	@mkdir -p $(dir $(CRD) $(CRD_COPY))
	@$(BIN)/python -m whimbrel.model.crd > $(CRD)
	@cp $(CRD) $(CRD_COPY)
	@$(BIN)/python -m whimbrel.model.reference > $(REFERENCE)

.PHONY: format
format: venv ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

##@ Testing

PYTEST = $(BIN)/python -m pytest --hypothesis-seed=$(WHIMBREL_SEED)
# Many tests wait for a server or a process: a worker more than cores, each with its own servers.
IN_PARALLEL := -n 3 --dist worksteal
# A file of tests/loss counts at its end what all of its rounds did: the same worker runs all of it.
BY_FILE := -n 3 --dist loadfile
# A story mostly waits for the cluster, and disturbs no other.
STORIES := -n 4 --dist worksteal
# What `make test` leaves out: see tests/sampling.py.
LEFT_OUT := soak or sampled
ON_MARIADB := $(wildcard tests/db/test_mariadb*.py tests/scenarios/test_*mariadb*.py)
# Empty where the cluster is the one-node one, which tests reach by its name.
KUBECONFIG_OF_TESTS = WHIMBREL_TEST_KUBECONFIG="$$($(BIN)/python tests/cluster/up.py kubeconfig)"

# A tool that finds our folders on its path is started again where they change: the first import of
# each would make its __pycache__ in the middle of a test.
.PHONY: bytecode
bytecode: venv
	@$(BIN)/python -m compileall -q operator

.PHONY: test
test: venv system launcher bytecode ## Everything, with a seeded sample of the faults (cluster included)
	@$(MAKE) --jobs 2 --output-sync=target check cluster-up # the cluster mostly waits
	@echo "seed $(WHIMBREL_SEED): repeat this run with WHIMBREL_SEED=$(WHIMBREL_SEED) make test"
	@$(PYTEST) $(IN_PARALLEL) -m 'not soak and not cluster' --ignore=tests/cluster
	@$(KUBECONFIG_OF_TESTS) $(PYTEST) $(STORIES) -m 'cluster and not soak and not alone' tests/cluster
	@$(KUBECONFIG_OF_TESTS) $(PYTEST) -m 'cluster and not soak and alone' tests/cluster

.PHONY: test-fast
test-fast: venv system launcher bytecode ## What needs no cluster
	@echo "seed $(WHIMBREL_SEED): repeat this run with WHIMBREL_SEED=$(WHIMBREL_SEED) make test-fast"
	@$(PYTEST) $(IN_PARALLEL) -m 'not soak and not cluster' --ignore=tests/cluster

.PHONY: soak
soak: venv system launcher bytecode cluster-up ## All that make test leaves out; PostgreSQL 14 and 17, MariaDB 11.4, Django 6 too (long)
	@echo "seed $(WHIMBREL_SEED)"
	@bash tests/system_packages.sh soak
	@$(BIN)/python -m tests.maven_postgres
	@$(BIN)/python -m tests.maven_mariadb
	@$(BIN)/python -m tests.django_six
	@WHIMBREL_SOAK=1 $(PYTEST) tests/matrix # in one process: it writes the table
	@WHIMBREL_SOAK=1 $(PYTEST) $(BY_FILE) -m '($(LEFT_OUT)) and not cluster' tests/loss
	@WHIMBREL_SOAK=1 $(PYTEST) $(IN_PARALLEL) -m '($(LEFT_OUT)) and not cluster' \
		--ignore=tests/matrix --ignore=tests/loss --ignore=tests/cluster
	@$(KUBECONFIG_OF_TESTS) WHIMBREL_SOAK=1 $(PYTEST) $(STORIES) \
		-m '($(LEFT_OUT)) and cluster and not alone' tests/cluster
	@$(KUBECONFIG_OF_TESTS) WHIMBREL_SOAK=1 $(PYTEST) \
		-m '($(LEFT_OUT)) and cluster and alone' tests/cluster
	@WHIMBREL_SOAK=1 $(PYTEST) $(IN_PARALLEL) -m 'not soak' -k 'postgresql and (14 or 17)' \
		tests/db tests/scenarios
	@WHIMBREL_SOAK=1 WHIMBREL_MARIADB=11.4 $(PYTEST) $(IN_PARALLEL) $(ON_MARIADB)

##@ Looking

.PHONY: demo
demo: $(VENV)/.local ## Show the main job on an embedded PostgreSQL, in three minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo/run.sh

# Asked of the cluster that runs: a measurement must not begin by loading the machine with a build.
BENCHES := bench-latency bench-fairness bench-footprint bench-switch bench-pod
.PHONY: $(BENCHES) bench-runner
bench-latency: venv ## Seconds from kubectl apply to Ready, against a Job by hand
bench-fairness: venv ## A small migration beside four long ones, against it alone
bench-footprint: venv ## Memory and CPU of the operator with 1, 300 and 1,000 objects
bench-switch: venv ## A blue-green release at 200 requests/s, and how fast a bad one is taken back
bench-pod: venv ## A tool with ten migrations from kubectl apply to Ready, against a Pod by hand that starts it bare
$(BENCHES):
	@$(KUBECONFIG_OF_TESTS) $(BIN)/python -m $(subst -,.,$@)

bench-runner: venv ## CPU of one runner with nothing to do (no cluster needed)
	@$(BIN)/python -m bench.runner

.PHONY: bench-checkpoint
bench-checkpoint: venv system ## A checkpoint of 2,000,000 rows against a bare copy; writers meanwhile (no cluster needed)
	@$(BIN)/python -m bench.checkpoint

.PHONY: bench-overhead
bench-overhead: venv system launcher ## Each tool behind the runner, against the bare tool (no cluster needed)
	@$(BIN)/python -m bench.overhead

##@ Cluster

.PHONY: image
image: ## Build the image whimbrel:dev with docker or buildah
	@$(PYTHON) tests/cluster/up.py image

.PHONY: cluster-up
cluster-up: venv ## A Kubernetes with Whimbrel and a PostgreSQL in it; prints how to use kubectl
	@$(BIN)/python tests/cluster/up.py up

.PHONY: cluster-down
cluster-down: ## Take that cluster away, with every process, mount and namespace of it
	@$(PYTHON) tests/cluster/up.py down

.PHONY: clean
clean: ## Delete what was built or set up here (not the cache below ~/.cache/whimbrel)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .build dist
	@if test -e launcher/Makefile; then $(MAKE) -C launcher clean; fi
