# Everything a newcomer, a developer and the CI need; `make` alone lists it.

PYTHON ?= python3
UV_VERSION = 0.13.9
SIZE_MB ?= 200
KEEP ?=

# The project uses its own environment, whatever is active in the shell.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHONDONTWRITEBYTECODE =
# uv does not read pip's settings; the index is the one that matters.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

VENV = .venv/bin
INSTALLED = .venv/installed
SANDBOX = $(VENV)/python -m include.sandbox

.DEFAULT_GOAL = help
.PHONY: help install demo demo-database demo-documents demo-configuration up down status test lint bench requirements clean compose-env

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with everything the project needs

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ledgerkeep needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make install PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(VENV)/uv pip install --python $(VENV)/python --require-hashes --compile-bytecode -r requirements.txt
	$(VENV)/uv pip install --python $(VENV)/python --no-deps --no-build-isolation -e .
	touch $(INSTALLED)

demo: $(INSTALLED) ## backup, WAL, proven restore and report, through a real scheduler (KEEP=1, SIZE_MB=200)
	$(SANDBOX) demo --size-mb $(SIZE_MB) $(if $(KEEP),--keep)

demo-database: $(INSTALLED) ## incrementals, a deployment, an approved recovery, retention (KEEP=1, SIZE_MB=200)
	$(SANDBOX) demo-database --size-mb $(SIZE_MB) $(if $(KEEP),--keep)

demo-documents: $(INSTALLED) ## documents lost, found missing, brought back to the moment before (KEEP=1, SIZE_MB=200)
	$(SANDBOX) demo-documents --size-mb $(SIZE_MB) $(if $(KEEP),--keep)

demo-configuration: SIZE_MB = 20
demo-configuration: $(INSTALLED) ## an account exported, changed by hand, named, put back (KEEP=1)
	$(SANDBOX) demo-configuration --size-mb $(SIZE_MB) $(if $(KEEP),--keep)

up: $(INSTALLED) ## start the sandbox and leave it running (SIZE_MB=200)
	$(SANDBOX) up --size-mb $(SIZE_MB)

down: $(INSTALLED) ## stop the sandbox; its data stay
	$(SANDBOX) down

status: $(INSTALLED) ## say what of the sandbox runs
	$(SANDBOX) status

test: $(INSTALLED) ## run every test, files side by side, one more than there are cores (4 at most)
	$(VENV)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED) ## check style, types and the direction of imports
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	$(VENV)/lint-imports

bench: $(INSTALLED) ## measure against pg_basebackup, and pgBackRest where it is on the PATH
	$(VENV)/python -m include.bench

requirements: $(INSTALLED) ## resolve requirements.in into requirements.txt anew
	$(VENV)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade requirements.in -o requirements.txt

compose-env: ## make the secrets of the sandbox in containers, see docker-compose.yaml
	$(PYTHON) include/sandbox/container/make_env.py

clean: $(INSTALLED) ## stop the sandbox and remove its data
	$(SANDBOX) clean
