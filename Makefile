# Everything is set up below this folder: tools in .venv, binaries and state in .local.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
CLUSTER ?= local
NODE ?= simulated
VENV := .venv
BIN := $(VENV)/bin
DOCS := .local/docs
AUDIT := .local/audit
RUNTIME := .local/runtime
SBOM := .local/sbom/resilience-operator.cdx.json
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header
CHART_FILES := manifests/helm/resilience-operator/files
CHART_COPIES := crds/resilience-operator.io_resiliencepolicies.yaml manifests/base/rbac.yaml manifests/base/rbac-people.yaml \
  manifests/base/admission.yaml manifests/components/auth/rbac-auth.yaml \
  manifests/monitoring/alerts.yaml manifests/monitoring/grafana-dashboard.json \
  manifests/components/gitops/rbac-gitops.yaml manifests/components/configuration/rbac-configuration.yaml \
  manifests/components/secrets/rbac-secrets.yaml
export PYTHONPATH := operator
export NODE
# Whatever the environment says: the tests start the operator hundreds of times, and without byte code each takes twice the CPU.
export PYTHONDONTWRITEBYTECODE :=
# Side by side where pods are simulated, the long ones first; one after another on the one real node.
TESTS_simulated := -n 6 --dist load --maxschedchunk 1
TESTS_real := tests/real
TESTS_kind := tests/real

$(VENV)/.stamp: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Set PYTHON=...") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.stamp ## Set up the tools

.PHONY: demo
demo: venv ## Set up from nothing and run the main job in front of you (NODE=real: on this machine as a node)
	$(BIN)/python -m tests.demo --node $(NODE)

.PHONY: test
test: venv ## Set up from nothing and pass every test (NODE=real: those on this machine as a node, NODE=kind: on kind)
	$(BIN)/python -m tests.cluster build --clients
	$(BIN)/python -m tests.browser install
	$(BIN)/pytest $(TESTS_$(NODE)) $(PYTEST_ARGS)

.PHONY: unit
unit: venv ## The unit tests alone (seconds, no cluster)
	$(BIN)/pytest tests/unit $(PYTEST_ARGS)

.PHONY: flux
flux: venv ## Build Flux's controllers, up to half an hour; from then on the tests with them run too
	$(BIN)/python -m tests.cluster build --flux

.PHONY: lint
lint: venv ## Style, types, import contract, generated files in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m resilience_operator.tools.crd --check
	$(BIN)/python -m resilience_operator.tools.reference --check
	$(BIN)/python -m resilience_operator.tools.chart_schema --check
	$(BIN)/python -m resilience_operator.tools.chart_readme --check
	$(BIN)/python -m resilience_operator.tools.configuration --check
	$(BIN)/python -m resilience_operator.tools.events --check
	@for file in $(CHART_COPIES); do cmp $$file $(CHART_FILES)/$${file##*/} || { echo 'run `make generate`'; exit 1; }; done

.PHONY: format
format: venv ## Mend style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: generate
generate: venv ## Write the generated files anew (CRD, reference, what the Helm chart has of others)
	$(BIN)/python -m resilience_operator.tools.crd
	$(BIN)/python -m resilience_operator.tools.reference
	$(BIN)/python -m resilience_operator.tools.chart_schema
	$(BIN)/python -m resilience_operator.tools.chart_readme
	$(BIN)/python -m resilience_operator.tools.configuration
	$(BIN)/python -m resilience_operator.tools.events
	cp $(CHART_COPIES) $(CHART_FILES)
	{ printf '%s\n' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' '  name: resilience-operator' 'spec:'; \
	  sed 's/^/  /' manifests/monitoring/alerts.yaml; } > manifests/monitoring/prometheusrule.yaml

.PHONY: docs
docs: venv ## Build the documentation's site into .local/site, strictly
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(BIN)/uv pip sync --quiet --python $(DOCS)/bin/python --require-hashes requirements/docs.txt
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --clean --config-file .mkdocs.yml

.PHONY: image-test
image-test: venv ## Build the image with buildah and run it as the cluster would (root, minutes; BASE=IMAGE for a base)
	$(BIN)/pytest tests/image -rs $(PYTEST_ARGS)

.PHONY: dist
dist: venv ## Build the wheel and the source distribution into dist/
	$(BIN)/hatchling build --clean -d dist

.PHONY: krew
krew: dist ## Archive the kubectl plugin for krew into .local/krew/
	rm -rf .local/krew
	mkdir -p .local/krew/content
	cp -p .krew/kubectl-resilience LICENSE requirements/runtime.txt dist/*.whl .local/krew/content/
	tar -C .local/krew/content --owner=0 --group=0 --numeric-owner -czf .local/krew/kubectl-resilience.tar.gz .

$(AUDIT)/.stamp: requirements/audit.txt | $(VENV)/.stamp
	@test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(BIN)/uv pip sync --quiet --python $(AUDIT)/bin/python --require-hashes requirements/audit.txt
	@touch $@

.PHONY: sbom
sbom: venv $(AUDIT)/.stamp ## Write the SBOM (CycloneDX) of the Python packages in the image
	@test -x $(RUNTIME)/bin/python || $(PYTHON) -m venv --without-pip $(RUNTIME)
	$(BIN)/uv pip sync --quiet --python $(RUNTIME)/bin/python --require-hashes requirements/runtime.txt
	@mkdir -p $(dir $(SBOM))
	@sed "s/^dynamic = .*/version = \"$$($(BIN)/hatchling version)\"/" pyproject.toml > $(dir $(SBOM))pyproject.toml
	$(AUDIT)/bin/cyclonedx-py environment $(RUNTIME)/bin/python --pyproject $(dir $(SBOM))pyproject.toml \
	  --spec-version 1.6 --output-reproducible --validate --output-file $(SBOM)
	@echo $(SBOM)

.PHONY: audit
audit: venv $(AUDIT)/.stamp ## Check the pinned requirements for known vulnerabilities (asks pypi.org)
	$(AUDIT)/bin/python tests/advisories.py requirements/*.txt

.PHONY: bench
bench: venv ## The benchmarks
	$(BIN)/python -m tests.bench

.PHONY: chaos
chaos: venv ## Ten minutes of random harm on 200 policies (CHAOS_ARGS="--minutes 1 --seed 7")
	$(BIN)/python -m tests.cluster build
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

.PHONY: cluster cluster-down
cluster: venv ## Start the local control plane (CLUSTER=kind or auto: what is installed; NODE=real for pods that run)
	$(BIN)/python -m tests.cluster up --provider $(CLUSTER) --node $(NODE)
cluster-down: ## Stop it; nothing survives
	$(BIN)/python -m tests.cluster down

.PHONY: kind-image
kind-image: venv ## Build a node image for kind without a registry (root, docker, debootstrap)
	$(BIN)/python -m tests.cluster kind-image

.PHONY: lock
lock: ## Compile the pinned requirements (LOCK_ARGS=--upgrade for newer versions)
	$(LOCK) $(LOCK_ARGS) pyproject.toml -o requirements/runtime.txt
	$(LOCK) $(LOCK_ARGS) --group dev pyproject.toml requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) $(LOCK_ARGS) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) $(LOCK_ARGS) requirements/uv.in -o requirements/uv.txt
	$(LOCK) $(LOCK_ARGS) requirements/docs.in -o requirements/docs.txt
	$(LOCK) $(LOCK_ARGS) requirements/audit.in -o requirements/audit.txt

.PHONY: clean
clean: ## Remove what was set up (stops the cluster first)
	-test -x $(BIN)/python && $(BIN)/python -m tests.cluster down
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache
