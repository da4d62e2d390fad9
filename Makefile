# Everything sets itself up: a venv in .venv, versions as in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-contract lint bench rules-table docs clean

demo: .venv/installed  ## trains on 2,624 real photos of solar cells, evaluates, asks two photos
	$(BIN)/vizsla demo

test: .venv/installed  ## every test
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-contract: .venv/installed .venv-contract/installed  ## scripts under vizsla and under AWS's own launcher; exports in smdebug's readers
	$(BIN)/pytest tests/contract

lint: .venv/installed  ## ruff, mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/installed  ## measures the claims, side by side; writes bench/results.md
	$(BIN)/python bench/run

rules-table: .venv/installed  ## how often each rule is right; trains with and without faults, writes it into docs/rules.md
	$(BIN)/python -m bench.rules_table

docs: .venv/installed  ## the pages that are built from what the code says
	$(BIN)/python docs/build.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,lite,dev]'
	touch $@

# AWS's launcher brings scipy, gevent and boto3 in versions of its own, and a C extension to build.
.venv-contract/installed: tests/contract/requirements.txt tests/contract/smdebug.txt
	$(PYTHON) -m venv .venv-contract
	.venv-contract/bin/pip install --quiet --requirement tests/contract/requirements.txt
	.venv-contract/bin/pip install --quiet --no-deps --requirement tests/contract/smdebug.txt
	touch $@

clean:  ## all but the runs
	rm -rf .venv .venv-contract build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
