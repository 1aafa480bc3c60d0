# Everything a checkout needs, from a machine that has only python3, cargo, gcc and make.
# `make help` lists the targets. Each step of the set-up leaves a stamp in .venv/, so that a second call only
# does what has changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
# maturin looks for the interpreter, pip and zig of the environment that is active.
ENTER := env PATH="$(CURDIR)/$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)"
# What the tests run besides the package itself, as COMMAND:DEBIAN-PACKAGE.
TEST_TOOLS := tshark:tshark tcpdump:tcpdump nginx:nginx-light curl:curl ethtool:ethtool nft:nftables \
  ip:iproute2 ping:iputils-ping iperf3:iperf3 wrk:wrk
# The oldest C library the wheel runs on.
MANYLINUX ?= manylinux_2_17
# A virtual environment that is active, or a PYO3_* left in the shell, must not leak into the build.
unexport PYO3_BUILD_EXTENSION_MODULE VIRTUAL_ENV CONDA_PREFIX
export PATH := /usr/local/sbin:/usr/sbin:/sbin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RUST_SOURCES := Cargo.toml Cargo.lock \
  $(shell find rust -name fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)
RUST_VERSION = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: help demo test test-rust test-python lint format bench wheel build clean lock

help: ## show this list
	@echo 'midsock: make TARGET; every target does its own set-up'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## watch TCP retransmissions and web traffic in the bundled capture
	@$(BIN)/python -m midsock.demo

test: test-rust test-python ## run all tests, of the Rust core and of the Python package

test-rust: ## run the tests of the Rust core only
	cargo test --locked

test-python: build $(STAMP)-tools ## run the tests of the Python package only; PYTEST='-k name' narrows them
	$(BIN)/python -m pytest $(PYTEST)

lint: build ## check formatting, lints and types, of Rust and of Python
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy python $(sort $(dir $(wildcard tests/*.py benches/*.py examples/*.py)))
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml midsock._midsock

format: $(STAMP)-packages ## set the code in the project's format
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: build ## measure: criterion for the core, pytest-benchmark for the binding
	cargo bench --locked
	$(BIN)/python -m pytest benches --benchmark-enable --benchmark-only

wheel: build ## build a manylinux abi3 wheel into dist/ and check it in an empty environment
	rm -rf dist
	$(ENTER) maturin build --release --locked --strip --zig --compatibility $(MANYLINUX) --interpreter python \
	  --out dist
	./.ci/check-wheel $(BIN)/python dist/midsock-*.whl

build: $(STAMP)-build ## build the package into .venv for use from this checkout

lock: $(STAMP)-packages ## pin anew the versions in requirements-dev.txt
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --group pyproject.toml:dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --output-file requirements-dev.txt

clean: ## remove everything that was built, the virtual environment included
	rm -rf $(VENV) dist target rust/fuzz/target python/midsock/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find python tests benches examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# --- set-up ---

# Debian ships the venv module without what fills an environment; the package that adds it bears the version.
$(STAMP)-venv:
	@command -v cargo >/dev/null || \
	  { echo 'cargo is missing: install Rust $(RUST_VERSION) or later from https://rustup.rs' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or later is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || ./.ci/debian-packages required \
	  "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(STAMP)-packages: $(STAMP)-venv requirements-dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

# The Python half is used from where it is; only the Rust half and the metadata need a build.
$(STAMP)-build: $(STAMP)-packages $(RUST_SOURCES) pyproject.toml README.md
	$(ENTER) PIP_QUIET=1 maturin develop --release --locked --quiet
	@touch $@

# Missing tools only cost the tests that use them, which then say so.
$(STAMP)-tools: $(STAMP)-venv
	@missing=; for t in $(TEST_TOOLS); do command -v "$${t%%:*}" >/dev/null || missing+=" $${t##*:}"; done; \
	  if [[ -n $$missing ]]; then ./.ci/debian-packages optional $$missing; fi
	@touch $@
