# `make demo` runs the whole pipeline, `make test` the tests; both set up .venv themselves, once.
# PYTHON=... picks the interpreter (3.11.5 or newer: before, possessive quantifiers of re match wrongly, and answers are misread), SEEDS=... a folder of human-written seeds in Spider's or BIRD's layout.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
EXTRAS := train,data,pipeline,serve,telemetry,databases,dev
# For `make image`: IMAGE=... its name, DOCKER=... what builds it, BUILD_FLAGS=... more for the build, such as --build-arg.
DOCKER ?= docker
IMAGE ?= sense-train:dev
BUILD_FLAGS ?=
# pip compiles nothing (--no-compile); modules are compiled at their first import, and Python keeps the result
unexport PYTHONDONTWRITEBYTECODE
# For `make demo TEACHER=http`: examples to keep, and the port of the endpoint.
HTTP_COUNT ?= 1000
HTTP_PORT ?= 8090
# in the form of code_revision in sense/tracking/runs.py
REVISION = $(shell git rev-parse HEAD)$(if $(shell git status --porcelain -- sense),-dirty)

.PHONY: help demo test check deps docs docs-serve image nano-base clean
help:
	@echo 'make demo    the whole pipeline on this machine, ends with report/index.html   (SEEDS=folder: your own seeds;'
	@echo '             TEACHER=http: the teacher is an LLM, for which an endpoint on this machine stands in)'
	@echo 'make test    the tests'
	@echo 'make check   format, lint, types, imports between packages, parameters, code dependencies, documentation'
	@echo 'make deps    write the code that each stage depends on into dvc.yaml'
	@echo 'make docs    the documentation as a site, build/docs/index.html; make docs-serve shows it at http://127.0.0.1:8000'
	@echo 'make image   the container image that runs the pipeline on a cluster   (IMAGE=name)'
	@echo 'make nano-base   pretrain the base sense-nano and put it into sense/training/sense_nano   (about three hours)'
	@echo 'make clean   delete what runs made (data, models, metrics, report, mlflow.db); .venv stays'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 14))' \
	  || { echo 'SENSE needs Python 3.11.5 to 3.13; name one: make PYTHON=/path/to/python3.11'; exit 2; }
	@echo 'Setting up .venv (once; a few minutes and about 3 GB) ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(READY)
ifdef SEEDS
	@PATH="$(CURDIR)/$(BIN):$$PATH" sense profile --set data.seeds="$(SEEDS)"
endif
ifeq ($(TEACHER),http)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sense profile --set synthesize.teacher=llm --set synthesize.count=$(HTTP_COUNT) \
	  --set 'synthesize.llm={model: grammar, base_url: "http://127.0.0.1:$(HTTP_PORT)/v1"}'
	@echo 'params.yaml asks this endpoint now; back: sense profile --set synthesize.teacher=grammar, and the former synthesize.count'
	@PATH="$(CURDIR)/$(BIN):$$PATH" sense teacher serve --port $(HTTP_PORT) --params params.yaml \
	  --fault 429=0.02 --fault 500=0.02 --fault truncated=0.02 --fault refusal=0.02 --fault wrong-sql=0.1 -- dvc repro
else
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
endif
	@PATH="$(CURDIR)/$(BIN):$$PATH" sense results
	@if [ -t 1 ] && { [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; }; then \
	  $(BIN)/python -m webbrowser "file://$(CURDIR)/report/index.html"; fi

# one thread in each worker: two workers keep two processors busy
WORKERS ?= 2
test: $(READY)
	@OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(BIN):$$PATH" pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest tests/test_arrows.py tests/test_contract.py tests/stages/test_code_dependencies.py tests/config/test_keys.py
	@$(MAKE) --no-print-directory docs

deps: $(READY)
	@$(BIN)/python -m sense.stages.code_dependencies dvc.yaml

# a broken link or any other warning is an error
docs: $(READY)
	@$(BIN)/sphinx-build -q -E -W --keep-going -d build/doctrees docs build/docs
	@echo 'build/docs/index.html'

docs-serve: docs
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

# The base is pretrained three times: from random weights, and from there twice on other data. Killed and run again, it goes on from its last checkpoint.
NANO := build/nano-base
PRETRAIN = PATH="$(CURDIR)/$(BIN):$$PATH" SENSE_WORK=work MLFLOW_TRACKING_URI=sqlite:///mlflow.db
PROFILE = --params $(CURDIR)/configs/nano-base-$(*F).yaml
nano-base: $(NANO)/3/sft.json
	@$(BIN)/python -m sense.training.nano_base $(NANO)/3

# each goes on from the base of the one before
$(NANO)/2/sft.json: $(NANO)/1/base
$(NANO)/3/sft.json: $(NANO)/2/base
$(NANO)/%/base: $(NANO)/%/sft.json
	@$(BIN)/python -m sense.training.nano_base $(@D) $@

.PRECIOUS: $(NANO)/%/synthesize.json $(NANO)/%/sft.json $(NANO)/%/base
$(NANO)/%/synthesize.json: $(READY) configs/nano-base-%.yaml
	@mkdir -p $(@D)
	@cd $(@D) && $(PRETRAIN) sense ingest $(PROFILE) --seeds $(CURDIR)/sense/seeds --seed seed --dev dev --metrics ingest.json
	@cd $(@D) && $(PRETRAIN) sense synthesize $(PROFILE) --seed seed --dev dev --strong strong --unseen unseen --heldout heldout \
	  --decontamination decontamination.json --metrics synthesize.json

# two processes of one thread are faster than one process of two: the matrices are small
$(NANO)/%/sft.json: $(NANO)/%/synthesize.json
	@cd $(@D) && $(PRETRAIN) OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m sense sft $(PROFILE) --strong strong --seed seed \
	  --model model --curve curve.csv --metrics sft.json

image:
	$(DOCKER) build --target train --build-arg REVISION=$(REVISION) $(BUILD_FLAGS) -t $(IMAGE) .

clean:
	rm -rf data models metrics report dvc.lock mlflow.db .mlflow.db.lock mlruns mlartifacts .sense dvc_plots build/docs build/doctrees
