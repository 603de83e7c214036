# Every target makes or updates .venv from a bare Python 3.11 by itself.
PYTHON ?= python3
BIN := .venv/bin

# Which board's userland `make arm64` emulates: SUITE=trixie has Python 3.13.
SUITE ?= bookworm
ARCH ?= arm64

.PHONY: demo test check bench arm64 install format clean

demo: .venv/installed            ## draw, train, export, verify, classify, benchmark
	$(BIN)/edgetl demo --overwrite

# tests/runtime runs within, in a venv that holds the device's wheel only.
test: .venv/installed .venv-mediapipe/installed  ## all tests; EDGETL_TEST_DATA adds those on real photos
	$(BIN)/python -m pytest -q --ignore=tests/runtime

# QUICK=1: what depends on the processor only.
arm64: .venv/installed           ## the device's wheel on an emulated board; BUNDLE=PATH, as root
	SUITE=$(SUITE) ARCH=$(ARCH) $(BIN)/python tests/boards/check.py $(if $(QUICK),--quick) $(BUNDLE)

check: .venv/installed           ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed .venv-mediapipe/installed  ## ours against peers; needs EDGETL_TEST_DATA
	$(BIN)/python benchmarks/preprocessing.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/quantization.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/device.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python benchmarks/faults.py
	$(BIN)/python benchmarks/rejection.py

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: .venv/installed

.venv/installed: pyproject.toml runtime/pyproject.toml constraints.txt
	@echo "installing into .venv (TensorFlow is large: about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e './runtime[all]' -e '.[dev]'
	@touch $@

.venv-mediapipe/installed: benchmarks/requirements.txt
	@echo "installing MediaPipe, a peer, into .venv-mediapipe"
	@$(PYTHON) -m venv .venv-mediapipe
	@.venv-mediapipe/bin/python -m pip install --quiet --disable-pip-version-check \
		-r benchmarks/requirements.txt
	@touch $@

clean:
	rm -rf .venv .venv-mediapipe edgetl-demo
