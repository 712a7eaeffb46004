# Two commands: `make demo` shows the product on synthetic data, `make test` runs every test. For contributors: `make lint`
# checks style and types, `make docs` builds the site into build/docs. Each builds .venv first where there is none.
# `make test-lowest` tests with the lowest versions that pyproject.toml allows.
# PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test lint docs test-lowest
demo: .venv/ready
	.venv/bin/crossmatch demo demo

test: .venv/ready
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 -q

lint: .venv/ready
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

docs: .venv/ready
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/docs
	@echo 'The site: build/docs/index.html'

# PyTorch from PyPI comes with CUDA, 4 GB in all. TORCH_LOWEST=torch==2.13.0 takes another version.
test-lowest:
	rm -rf build/lowest && $(PYTHON) -m venv build/lowest
	$(PYTHON) .ci/lowest.py --extras itk $(if $(TORCH_LOWEST),--instead '$(TORCH_LOWEST)') > build/lowest/versions.txt
	build/lowest/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	build/lowest/bin/python -m pip install --quiet --constraint build/lowest/versions.txt '.[itk]' \
		pytest hypothesis pydicom-data
	OMP_NUM_THREADS=1 build/lowest/bin/python -P -m pytest -q -m 'not slow' -o filterwarnings=default tests/test_api.py \
		tests/formats tests/dataset tests/recipes tests/runs tests/scoring tests/reports tests/training/test_fit.py \
		tests/inference/test_predict_files.py --deselect 'tests/formats/test_formats.py::test_files_that_are_none[.seg.dcm]'

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "crossmatch needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv/bin/python -m pip install --progress-bar on '$(TORCH)'
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	@touch $@
