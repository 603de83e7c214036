# Every target makes or updates its venv from a bare Python by itself. With another Python:
# make test-quick PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEVICE ?= .venv-device
# A file of versions for pip; none (CONSTRAINTS=) takes the newest.
CONSTRAINTS ?= constraints.txt
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check \
	--upgrade --upgrade-strategy eager $(CONSTRAINTS:%=-c %)
# As many processes share the tests, each file to one of them; the longest file comes first.
JOBS ?= 2
# The quick part: what meets the libraries that we depend on, such as engines and converters.
QUICK_DEVICE := $(wildcard tests/runtime/test_*.py) tests/runtime/settings \
	$(addprefix tests/runtime/serving/test_, access.py app.py connections.py server.py)
QUICK := tests/test_dependencies.py tests/test_end_to_end.py \
	$(addprefix tests/export/test_, litert.py metadata.py onnx.py variants.py) \
	$(addprefix tests/edgetl/test_, data_check.py metrics.py tensorboard.py)

# Peers in the browser: MediaPipe's and ONNX Runtime's packages; npm writes this file last.
BROWSER_PEERS := benchmarks/browser/node_modules/.package-lock.json

# Which board's userland `make arm64` emulates: SUITE=trixie has Python 3.13.
SUITE ?= bookworm
ARCH ?= arm64

# The phone's page, which the wheel of edgetl carries.
PAGE := export/edgetl_export/phone/page/index.html
PAGE_SOURCES := $(shell find phone -type f -not -path '*/node_modules/*' -not -path '*/made/*')

.PHONY: demo test quick test-quick test-device test-lowest test-newest constraints
# Without npm, all but the phone's page can be had.
.PHONY: phone check-phone arm64 schema check bench reference-bundle reference install format clean

demo: $(VENV)/installed            ## draw, train, export, verify, classify, benchmark
	$(BIN)/edgetl demo --overwrite

# tests/runtime runs within, in a venv that holds the device's wheel only.
test: install .venv-mediapipe/installed $(BROWSER_PEERS)  ## all tests; EDGETL_TEST_DATA adds those on real photos
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST) \
		tests/test_device_wheel.py tests/edgetl tests/export tests/phone $(wildcard tests/test_*.py)

# What one runs while working: no training, browser or broker.
quick: $(VENV)/installed         ## the tests that take a minute and a half in all
	$(BIN)/python -m pytest -q -n $(JOBS) --quick $(PYTEST) tests/runtime tests/edgetl tests/export

test-quick: $(VENV)/installed    ## the workstation's quick part
	$(BIN)/python -m pytest -q $(PYTEST) $(QUICK)

test-device: TESTS ?= tests/runtime
test-device:                     ## the device's tests on its wheel alone, in $(DEVICE)
	@$(PYTHON) -m venv $(DEVICE)
	@$(DEVICE)/bin/python $(PIP_INSTALL) './runtime[all]' pytest hypothesis
	$(DEVICE)/bin/pytest -q $(PYTEST) $(TESTS)

# Old versions may warn of what changed since in what they need themselves.
# Their training leaves the small network of two tests without an opinion: nothing to follow.
test-lowest: PYTEST := -W ignore::DeprecationWarning -W ignore::FutureWarning \
	$(addprefix --deselect tests/export/test_,$(addsuffix .py::test_int8_follows_keras,litert onnx))
test-lowest: .venv-lowest/constraints.txt .venv-device-lowest/constraints.txt  ## the oldest we allow
	$(MAKE) test-quick VENV=.venv-lowest CONSTRAINTS=.venv-lowest/constraints.txt PYTEST="$(PYTEST)"
	$(MAKE) test-device DEVICE=.venv-device-lowest CONSTRAINTS=.venv-device-lowest/constraints.txt \
		PYTEST="$(PYTEST)" TESTS="$(QUICK_DEVICE)"

test-newest:                     ## the newest versions that there are
	@rm -f .venv-newest/installed
	$(MAKE) test-quick VENV=.venv-newest CONSTRAINTS=
	$(MAKE) test-device DEVICE=.venv-device-newest CONSTRAINTS= TESTS="$(QUICK_DEVICE)"

constraints: test-newest         ## writes down the newest versions, with Python 3.11
	@{ sed -n '/^#/p' constraints.txt; \
		.venv-newest/bin/python -m pip freeze --all --exclude pip --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

.venv-lowest/constraints.txt: tests/lowest.py pyproject.toml runtime/pyproject.toml
	@mkdir -p $(@D)
	@$(PYTHON) $^ > $@

.venv-device-lowest/constraints.txt: tests/lowest.py runtime/pyproject.toml
	@mkdir -p $(@D)
	@$(PYTHON) $^ > $@

# REDUCED=1: what depends on the processor only.
arm64: $(VENV)/installed           ## the device's wheel on an emulated board; BUNDLE=PATH, as root
	SUITE=$(SUITE) ARCH=$(ARCH) $(BIN)/python tests/boards/check.py $(if $(REDUCED),--quick) $(BUNDLE)

DESCRIBE = $(BIN)/python -c 'import sys; from edgetl_runtime.$(1) import describe_schema; \
	sys.stdout.buffer.write(describe_schema())'

schema: $(VENV)/installed        ## the JSON Schemas of answers, benchmarks and bundles, from their records
	$(call DESCRIBE,answers) > runtime/edgetl_runtime/answers.schema.json
	$(call DESCRIBE,benchmarking.reading) > runtime/edgetl_runtime/benchmarking/benchmark.schema.json
	$(call DESCRIBE,bundle.reader) > phone/src/bundle/bundle.schema.json

check: $(VENV)/installed           ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-phone; fi

check-phone: phone/node_modules/installed
	cd phone && npm run --silent check

bench: install .venv-mediapipe/installed $(BROWSER_PEERS)  ## ours against peers; needs EDGETL_TEST_DATA
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
	$(BIN)/python benchmarks/browser.py
	$(BIN)/python benchmarks/estimator.py
	$(BIN)/python benchmarks/without_opencv.py

reference-bundle: $(VENV)/installed   ## the bundle that machines are compared by, in minutes
	$(BIN)/python benchmarks/reference_bundle.py reference.bundle --overwrite

reference: $(VENV)/installed       ## reference.html: the machines of benchmarks/reference, on a page
	$(BIN)/edgetl bench-report benchmarks/reference/*.json --out reference.html --overwrite

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/installed
	@$(MAKE) --no-print-directory phone || true

phone: $(PAGE)                     ## the page for phones, of phone/; needs Node.js 20 and npm

$(PAGE): phone/node_modules/installed $(PAGE_SOURCES)
	@echo "building the phone's page (the first time two minutes)"
	@cd phone && npm run --silent build

phone/node_modules/installed: phone/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing, and \`edgetl phone\` needs it in a" \
		"checkout: install Node.js 20 or newer, then run: make phone" >&2; exit 1; }
	@cd phone && npm ci --silent --ignore-scripts
	@touch $@

$(VENV)/installed: pyproject.toml runtime/pyproject.toml $(CONSTRAINTS)
	@echo "installing into $(VENV) (TensorFlow is large: about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP_INSTALL) -e './runtime[all]' -e '.[dev]'
	@touch $@

.venv-mediapipe/installed: benchmarks/requirements.txt
	@echo "installing MediaPipe, a peer, into .venv-mediapipe"
	@$(PYTHON) -m venv .venv-mediapipe
	@.venv-mediapipe/bin/python -m pip install --quiet --disable-pip-version-check \
		-r benchmarks/requirements.txt
	@touch $@

$(BROWSER_PEERS): benchmarks/browser/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "installing the browser's peers into benchmarks/browser/node_modules" && \
		npm ci --silent --prefix benchmarks/browser && touch $@; \
	else echo "npm (Node.js) is missing: the tests and benchmarks of the browser's peers skip"; fi

clean:
	rm -rf .venv .venv-* edgetl-demo benchmarks/browser/node_modules
